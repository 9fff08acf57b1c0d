"""Whether the objects of a request are safe: looked up in the records, and read from the disk."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from threading import Event
from typing import Final, NamedTuple

from pydicom.filereader import read_file_meta_info

from dicom_pipeline.errors import TransientError
from dicom_pipeline.storage import locate, unfinished
from receiver.commitment.records import find
from receiver.commitment.requests import Reference
from receiver.commitment.transactions import FailureReason, Outcome
from receiver.failures import described
from receiver.part10 import Head, NotPart10Error, content_digest, read_head

logger = logging.getLogger(__name__)

SETTLE_SECONDS: Final = 10.0


class NotYetError(TransientError):
    """What was acknowledged may not have its record yet, or the storage is away: ask again."""


class _Stored(NamedTuple):
    """A file that a record names."""

    path: Path
    head: Head | None
    """None: it cannot be read."""

    @property
    def version(self) -> int:
        """Of its receipt; when that cannot be read, the one in the file's name."""
        if self.head and self.head.receipt:
            return self.head.receipt.version
        return int(self.path.stem.partition("~")[2] or 0)


class Evaluation:
    """Evaluates requests against one storage root and its outboxes."""

    def __init__(
        self,
        root: Path,
        outboxes: Path,
        settled: Callable[[float], bool],
        stopping: Event,
    ) -> None:
        """What it works on.

        Args:
            root: the storage root.
            outboxes: the folder of the receivers' outboxes, which hold the records.
            settled: waits, at most for the seconds given, until what this receiver acknowledged
                before the call has its records; False: it may not.
            stopping: when set, an evaluation ends with `NotYetError`.
        """
        self._root = root
        self._outboxes = outboxes
        self._settled = settled
        self._stopping = stopping

    def evaluate(self, tenant_id: str, references: Sequence[Reference]) -> Outcome:
        """What the report has to say. Reads every file in full.

        Raises:
            NotYetError: some objects may only seem to be unknown.
            TransientError: an outbox cannot be read.
        """
        uids = list(dict.fromkeys(each.sop_instance_uid for each in references))
        found = dict(find(self._outboxes, tenant_id, uids))
        if unknown := [uid for uid in uids if uid not in found]:
            found.update(self._find_again(tenant_id, unknown))
        reasons = self._reasons(tenant_id, references, found)
        judged = list(zip(references, reasons, strict=True))
        return Outcome(
            good=tuple(reference for reference, reason in judged if reason is None),
            failed=tuple((reference, reason) for reference, reason in judged if reason),
        )

    def _find_again(
        self, tenant_id: str, unknown: Sequence[str]
    ) -> Mapping[str, list[PurePosixPath]]:
        """Records of what had none at the first look.

        An acknowledged object lies in ``incoming/`` until it has its record, whichever receiver
        took it; so the folder is read before the records.
        """
        if not self._settled(SETTLE_SECONDS):
            raise NotYetError("receipts wait for their records: the outbox is slow or failing")
        finishing = _finishing(self._root)
        found = find(self._outboxes, tenant_id, unknown)
        if any(uid in finishing and uid not in found for uid in unknown):
            raise NotYetError("an object that was asked about is still being finished")
        return found

    def _reasons(
        self,
        tenant_id: str,
        references: Iterable[Reference],
        found: Mapping[str, Sequence[PurePosixPath]],
    ) -> list[FailureReason | None]:
        reasons = []
        for reference in references:
            if self._stopping.is_set():
                raise NotYetError("the receiver stops")
            paths = [locate(self._root, path) for path in found.get(reference.sop_instance_uid, ())]
            try:
                reason = _judge(tenant_id, reference, paths)
            except OSError as error:
                self._require_storage(tenant_id)
                logger.error(  # noqa: TRY400 - a traceback may quote values
                    "stored file cannot be read",
                    extra={"sop_uid": reference.sop_instance_uid, **described(error)},
                )
                reason = FailureReason.PROCESSING_FAILURE
            if reason is FailureReason.NO_SUCH_OBJECT and paths:
                self._require_storage(tenant_id)
            reasons.append(reason)
        return reasons

    def _require_storage(self, tenant_id: str) -> None:
        """A storage that is not mounted says nothing about the objects on it."""
        if not (self._root / tenant_id).is_dir():
            raise NotYetError(f"storage root {self._root} is away: mount it")


def _judge(tenant_id: str, reference: Reference, paths: Sequence[Path]) -> FailureReason | None:
    """Why an object is not safe; None: it is. The file that was received last decides."""
    stored = [_Stored(path, _head(path)) for path in paths if path.exists()]
    if not stored:
        return FailureReason.NO_SUCH_OBJECT
    path, head = max(stored, key=lambda each: each.version)
    if head is None or head.receipt is None or head.receipt.tenant_id != tenant_id:
        return _damaged(path)
    named = _named(path)
    if named is None or named.sop_instance_uid != reference.sop_instance_uid:
        return _damaged(path)
    if named.sop_class_uid != reference.sop_class_uid:
        return FailureReason.CLASS_CONFLICT
    return None if content_digest(path, head) == head.receipt.digest else _damaged(path)


def _damaged(path: Path) -> FailureReason:
    logger.error("stored file is damaged", extra={"file": path.name})
    return FailureReason.PROCESSING_FAILURE


def _head(path: Path) -> Head | None:
    try:
        return read_head(path)
    except NotPart10Error:
        return None


def _named(path: Path) -> Reference | None:
    """What object a file's group 0002 says it is; None when it does not say."""
    try:
        meta = read_file_meta_info(path)
        return Reference(str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID))
    except OSError:
        raise
    except Exception:  # noqa: BLE001 - pydicom raises all sorts for what it cannot read
        return None


def _finishing(root: Path) -> frozenset[str]:
    """SOP Instance UIDs of the complete files in ``incoming/``: perhaps acknowledged."""
    uids = set()
    for path in unfinished(root):
        try:
            named = _named(path) if _head(path) else None
        except FileNotFoundError:
            continue  # it has its record now
        if named:
            uids.add(named.sop_instance_uid)
    return frozenset(uids)
