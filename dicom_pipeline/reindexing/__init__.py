"""From the storage root alone back to tables: every stored file's event is published once more.

Each file carries its receipt, so its event is the one that the receiver has published, and the
stages do the rest as they do for new objects: idempotent, ordered by version. A journal in the home
remembers how far it came.
"""

from dicom_pipeline.reindexing.reindexing import Reindexing
from dicom_pipeline.reindexing.report import Counts, Scope

__all__ = ["Counts", "Reindexing", "Scope"]
