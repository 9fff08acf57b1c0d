"""From embedded to real: what the files of a home hold is copied into the systems of the settings.

Tables are copied row by row through the ports' ordered upserts, and the messages that no stage has
processed are published again, so copying twice, or onto newer rows, changes nothing. A journal in
the source's home remembers how far it came. In the end every row is compared.
"""

from dicom_pipeline.moving.copying import Copying, Report
from dicom_pipeline.moving.source import Source, hold_receivers
from dicom_pipeline.moving.systems import System, moved_systems

__all__ = ["Copying", "Report", "Source", "System", "hold_receivers", "moved_systems"]
