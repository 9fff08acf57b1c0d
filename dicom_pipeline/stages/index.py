"""The tag index: the header of each object, as rows of the study index and the tag tables."""

import errno
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from dicom_pipeline.catalog import Catalog, IndexedObject
from dicom_pipeline.imaging.tag_columns import IMAGE
from dicom_pipeline.imaging.tags import TagRecord, UnreadableHeaderError, read_tags
from dicom_pipeline.messages import Event, phase_of, row_version
from dicom_pipeline.ranges import Received, StageResult
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages.attempts import attempt_all
from dicom_pipeline.stages.files import Dead, find_files, gone
from dicom_pipeline.stages.skeletons import skeleton
from dicom_pipeline.storage import locate
from dicom_pipeline.table_columns import Row
from dicom_pipeline.warehouse import IMAGE as IMAGE_TABLE
from dicom_pipeline.warehouse import PATIENT as PATIENT_TABLE
from dicom_pipeline.warehouse import SERIES as SERIES_TABLE
from dicom_pipeline.warehouse import STUDY as STUDY_TABLE
from dicom_pipeline.warehouse import Warehouse
from dicom_pipeline.workers import LimitedPool, TaskFailure, describe

TAGS_AT_ONCE: Final = 64 << 20
"""Characters of tags that are held before they are written."""


class Header(NamedTuple):
    """What a worker process is asked to read."""

    path: Path
    character_set: tuple[str, ...] | None


class Unreachable(msgspec.Struct, frozen=True):
    """The file could not be opened or read: nothing is known of what is in it."""

    reason: str


Read = TagRecord | TaskFailure | Unreachable


class Indexed(NamedTuple):
    """The rows of one object: for the catalog, and its image row with all tags."""

    levels: IndexedObject
    tags: str
    readable: bool


def read_header(header: Header) -> Read:
    """Read one header. Runs in a worker process."""
    try:
        return read_tags(header.path, header.character_set)
    except UnreadableHeaderError as error:
        return TaskFailure("exception", str(error))
    except OSError as error:
        if error.errno is None:  # not the system's: pydicom raises it for broken sequences
            return TaskFailure("exception", describe(error))
        if error.errno == errno.ENOMEM:  # the file cannot be mapped in a worker's address space
            raise MemoryError from error
        return Unreachable(f"{type(error).__name__} {error.errno}")


class Indexer:
    """Indexes batches of events with a pool of worker processes."""

    def __init__(
        self,
        storage_root: Path,
        catalog: Catalog,
        warehouse: Warehouse,
        pool: LimitedPool[Header, Read],
    ) -> None:
        self._storage_root = storage_root
        self._catalog = catalog
        self._warehouse = warehouse
        self._pool = pool

    def index(self, received: Sequence[Received], label: str) -> StageResult:
        """Read the header of each event's file and write its rows.

        Raises:
            TransientError: the storage root or a file in it cannot be reached.
        """
        files = find_files(self._storage_root, received)
        dead = list(files.dead)
        counts = Counter(indexed=0, failed_unreadable_header=0, with_findings=0)
        for number, part in enumerate(in_parts(self._read(files.present, dead))):
            self._write(part, f"{label}/{number}")
            counts["indexed"] += len(part)
            counts["failed_unreadable_header"] += sum(not one.readable for one in part)
            counts["with_findings"] += sum(bool(one.levels.instance["findings"]) for one in part)
        return StageResult(counts, dead)

    def _read(self, present: Sequence[Received], dead: list[Dead]) -> Iterator[Indexed]:
        """The rows of each object; what turns out to be gone is added to ``dead``."""
        headers = [self._header(one.event) for one in present]
        for number, result in attempt_all(self._pool, headers):
            if isinstance(result, Unreachable):
                dead.append(gone(self._storage_root, present[number], result.reason))
            else:
                yield indexed_rows(present[number].event, result)

    def _write(self, indexed: Sequence[Indexed], label: str) -> None:
        self._catalog.index([one.levels for one in indexed])
        for table, rows in warehouse_rows(indexed).items():
            self._warehouse.load(table, rows, f"{table}:{label}")

    def _header(self, event: Event) -> Header:
        path = locate(self._storage_root, event.file_path)
        return Header(path, event.character_set or None)


@contextmanager
def open_indexer(settings: Settings, catalog: Catalog, warehouse: Warehouse) -> Iterator[Indexer]:
    """An indexer whose worker processes end with the context."""
    with LimitedPool(
        read_header,
        processes=settings.worker_processes,
        memory_bytes=settings.worker_memory_bytes,
        seconds=settings.index_seconds_per_object,
    ) as pool:
        yield Indexer(settings.storage, catalog, warehouse, pool)


def in_parts(indexed: Iterable[Indexed], limit: int = TAGS_AT_ONCE) -> Iterator[list[Indexed]]:
    """Cut a batch so that the tags held at a time have about ``limit`` characters at most."""
    part: list[Indexed] = []
    size = 0
    for one in indexed:
        part.append(one)
        size += len(one.tags)
        if size >= limit:
            yield part
            part, size = [], 0
    if part:
        yield part


def indexed_rows(event: Event, result: TagRecord | TaskFailure) -> Indexed:
    """The rows of one object; of an unreadable header, what the event itself tells.

    Such an object says nothing of its patient, study and series: theirs are skeleton rows.
    """
    if isinstance(result, TaskFailure):
        finding = f"unreadable header: {result.code}: {result.message}"
        common = _common(event, (finding,), readable=False)
        levels = skeleton(event)._replace(instance=_instance(event, _told_by(event), common))
        return Indexed(levels, "{}", readable=False)
    common = _common(event, result.findings, readable=True)
    levels = IndexedObject(
        patient=_with(result.patient, common, event),
        study=_with(result.study, common, event),
        series=_with(result.series, common, event),
        instance=_instance(event, result.image, common),
    )
    return Indexed(levels, result.tags, readable=True)


def _common(event: Event, findings: Sequence[str], *, readable: bool) -> Row:
    """What the rows of all levels have in common: a header that was read outweighs one that not."""
    phase = phase_of(event.attempt, tentative=not readable)
    return {
        "tenant_id": event.tenant_id,
        "trace_id": event.trace_id,
        "row_version": row_version(event.version, phase),
        "findings": "\n".join(dict.fromkeys((*event.findings, *findings))),
    }


def _instance(event: Event, row: Row, common: Row) -> Row:
    file = {"file_path": event.file_path, "file_size": event.file_size}
    return {**_with(row, common, event), **file}


def _with(row: Row, common: Row, event: Event) -> Row:
    """A row whose UIDs are the receiver's, so that every table joins with every other."""
    names = ("study_uid", "series_uid", "sop_uid")
    keys: dict[str, object] = {name: getattr(event, name) for name in names if name in row}
    if "patient_id" in row:
        keys["patient_id"] = row["patient_id"] or ""
    return {**row, **common, **keys}


_TOLD: Final = {column.name for column in IMAGE} & set(Event.__struct_fields__)


def _told_by(event: Event) -> Row:
    """What is known of an object whose header cannot be read."""
    return {name: getattr(event, name) for name in _TOLD}


def warehouse_rows(indexed: Sequence[Indexed]) -> dict[str, list[Row]]:
    """The rows of each tag table."""
    return {
        PATIENT_TABLE: [one.levels.patient for one in indexed],
        STUDY_TABLE: [one.levels.study for one in indexed],
        SERIES_TABLE: [one.levels.series for one in indexed],
        IMAGE_TABLE: [{**one.levels.instance, "tags": one.tags} for one in indexed],
    }
