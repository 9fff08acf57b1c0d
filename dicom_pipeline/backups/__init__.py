"""Backup of everything that a home and its servers hold, and the restore of it on an empty machine.

The order of the copies is the order of the flow, the objects last: so whatever the copied tables
and queues speak of is among the copied objects, and an object that came meanwhile is at most one
that its tables do not know of yet, which `reindex` closes.
"""

from dicom_pipeline.backups.backup import back_up
from dicom_pipeline.backups.manifest import Manifest
from dicom_pipeline.backups.restore import restore

__all__ = ["Manifest", "back_up", "restore"]
