"""Writing what is due: the manifests of marked studies, then the lists of their tenants.

Rows are read and files written under a lock on the manifest root, so that of two writers the later
one has read what is newer. The marks are taken back last: a crash before that leaves them, and
everything is written once more.
"""

import fcntl
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.catalog import Catalog, DueManifest, Study, WrittenManifest
from dicom_pipeline.errors import PipelineError, TransientError
from dicom_pipeline.manifests.addresses import (
    LIST_NAME,
    OBJECTS,
    RENDITIONS,
    address,
    manifest_name,
)
from dicom_pipeline.manifests.headers import Headers
from dicom_pipeline.manifests.listing import study_list
from dicom_pipeline.manifests.study import study_manifest
from dicom_pipeline.settings import Settings
from dicom_pipeline.storage import atomic_file, locate, make_directories

PORTION: Final = 1000
"""Studies that one run works on."""
BATCH: Final = 100
"""Studies whose marks are taken back together."""
FAILED_MAX: Final = 20
"""After so many studies that could not be written, the fault is not theirs."""

LOCK: Final = ".writing.lock"

logger = logging.getLogger(__name__)


class Batch(NamedTuple):
    """What was written together."""

    written: list[WrittenManifest]
    failed: list[Study]
    """Their marks stay."""
    bytes: int

    @property
    def counts(self) -> Counter[str]:
        """Figures, which add up over batches."""
        return Counter(
            studies=len(self.written),
            not_written=len(self.failed),
            shown=sum(one.shown for one in self.written),
            not_shown=sum(one.not_shown for one in self.written),
            failed=sum(one.failed for one in self.written),
            bytes=self.bytes,
        )


class Writer:
    """Writes the manifests that the catalog says are due."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._root = settings.manifests
        self._catalog = catalog
        self._url_of = address(settings)
        self._headers = Headers({OBJECTS: settings.storage, RENDITIONS: settings.renditions})

    def write_due(self, portion: int = PORTION) -> Iterator[Batch]:
        """Write a portion of what is due, the oldest marks first, batch by batch.

        A study that cannot be written keeps its mark and is passed over.

        Raises:
            TransientError: the catalog is away, a header cannot be read, or nothing can be
                written.
        """
        due = self._catalog.manifests_due(portion)
        failed = 0
        for start in range(0, len(due), BATCH):
            with self._alone():
                batch = self._write(due[start : start + BATCH])
            failed += len(batch.failed)
            yield batch
            if failed >= FAILED_MAX:
                raise TransientError(
                    f"{failed} study manifests could not be written: check the disk, the mount and "
                    f"the permissions of {self._root}"
                )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other process writes manifests here."""
        try:
            make_directories(self._root)
            with (self._root / LOCK).open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise TransientError(
                f"manifest root {self._root} cannot be written to ({type(error).__name__} "
                f"{error.errno}): check the disk, the mount and the permissions"
            ) from error

    def _write(self, due: Sequence[DueManifest]) -> Batch:
        written: dict[DueManifest, WrittenManifest] = {}
        size = 0
        for one in due:
            try:
                bytes_, written[one] = self._write_manifest(one.study)
                size += bytes_
            except TransientError:
                raise
            except (OSError, PipelineError) as error:
                logger.warning(
                    "manifest not written",
                    extra={"study_uid": one.study.study_uid, "reason": type(error).__name__},
                )
        self._catalog.note_manifests(list(written.values()))
        for tenant_id in sorted({one.study.tenant_id for one in written}):
            size += self._write_list(tenant_id)
        self._catalog.take_back(list(written))
        return Batch(list(written.values()), [one.study for one in due if one not in written], size)

    def _write_manifest(self, study: Study) -> tuple[int, WrittenManifest]:
        path = self._path(study.tenant_id, manifest_name(study.study_uid))
        with atomic_file(path) as file:
            manifest = study_manifest(self._catalog, study, self._url_of, self._headers.described)
            return file.write(manifest.content), manifest.summary

    def _write_list(self, tenant_id: str) -> int:
        with atomic_file(self._path(tenant_id, LIST_NAME)) as file:
            return file.write(study_list(self._catalog, tenant_id))

    def _path(self, tenant_id: str, name: str) -> Path:
        return locate(self._root, f"{tenant_id}/{name}")
