"""The tag index: the header of each object, as rows of the study index and the tag tables."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.catalog import Catalog, IndexedObject, Row
from dicom_pipeline.imaging.tag_columns import IMAGE, PATIENT, SERIES, STUDY, TagColumn
from dicom_pipeline.imaging.tags import TagRecord, UnreadableHeaderError, read_tags
from dicom_pipeline.messages import Event
from dicom_pipeline.peers import Peers
from dicom_pipeline.ranges import Received, StageResult
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages.files import FILE_MISSING, file_is_missing
from dicom_pipeline.storage import locate
from dicom_pipeline.warehouse import IMAGE as IMAGE_TABLE
from dicom_pipeline.warehouse import PATIENT as PATIENT_TABLE
from dicom_pipeline.warehouse import SERIES as SERIES_TABLE
from dicom_pipeline.warehouse import STUDY as STUDY_TABLE
from dicom_pipeline.warehouse import Warehouse
from dicom_pipeline.workers import LimitedPool, TaskFailure


class Header(NamedTuple):
    """What a worker process is asked to read."""

    path: Path
    character_set: tuple[str, ...] | None


class Indexed(NamedTuple):
    """The rows of one object: for the catalog, and its image row with all tags."""

    levels: IndexedObject
    tags: str


def read_header(header: Header) -> TagRecord | TaskFailure:
    """Read one header. Runs in a worker process."""
    try:
        return read_tags(header.path, header.character_set)
    except UnreadableHeaderError as error:
        return TaskFailure("exception", str(error))


class Indexer:
    """Indexes batches of events with a pool of worker processes."""

    def __init__(
        self,
        storage_root: Path,
        peers: Peers,
        catalog: Catalog,
        warehouse: Warehouse,
        pool: LimitedPool[Header, TagRecord | TaskFailure],
    ) -> None:
        self._storage_root = storage_root
        self._peers = peers
        self._catalog = catalog
        self._warehouse = warehouse
        self._pool = pool

    def index(self, received: Sequence[Received], label: str) -> StageResult:
        """Read the header of each event's file and write its rows."""
        missing = [one for one in received if file_is_missing(self._storage_root, one.event)]
        lost = {one.offset for one in missing}
        events = [one.event for one in received if one.offset not in lost]
        headers = [self._header(event) for event in events]
        results = list(self._pool.map(headers))
        indexed = [indexed_rows(*pair) for pair in zip(events, results, strict=True)]
        self._catalog.index([one.levels for one in indexed])
        for table, rows in warehouse_rows(indexed).items():
            self._warehouse.load(table, rows, f"{table}:{label}")
        unreadable = sum(isinstance(result, TaskFailure) for result in results)
        findings = sum(bool(one.levels.instance["findings"]) for one in indexed)
        return StageResult(
            counts={
                "indexed": len(events),
                "unreadable_headers": unreadable,
                "with_findings": findings,
            },
            dead=[(one, FILE_MISSING, f"{one.event.file_path} is gone") for one in missing],
        )

    def _header(self, event: Event) -> Header:
        return Header(
            locate(self._storage_root, event.file_path),
            self._peers.character_set(event.source_ae, event.tenant_id),
        )


@contextmanager
def open_indexer(
    settings: Settings, peers: Peers, catalog: Catalog, warehouse: Warehouse
) -> Iterator[Indexer]:
    """An indexer whose worker processes end with the context."""
    with LimitedPool(
        read_header,
        processes=settings.worker_processes,
        memory_bytes=settings.worker_memory_bytes,
        seconds=settings.index_seconds_per_object,
    ) as pool:
        yield Indexer(settings.storage, peers, catalog, warehouse, pool)


def indexed_rows(event: Event, result: TagRecord | TaskFailure) -> Indexed:
    """The rows of one object; of an unreadable header, what the event itself tells."""
    if isinstance(result, TaskFailure):
        result = _from_event(event, f"unreadable header: {result.code}: {result.message}")
    findings = tuple(dict.fromkeys((*event.findings, *result.findings)))
    common: dict[str, object] = {
        "tenant_id": event.tenant_id,
        "trace_id": event.trace_id,
        "row_version": event.row_version,
        "findings": "\n".join(findings),
    }
    uids = {
        "study_uid": event.study_uid,
        "series_uid": event.series_uid,
        "sop_uid": event.sop_uid,
    }
    file = {"file_path": event.file_path, "file_size": event.file_size}
    return Indexed(
        IndexedObject(
            patient=_with(result.patient, common, uids),
            study=_with(result.study, common, uids),
            series=_with(result.series, common, uids),
            instance={**_with(result.image, common, uids), **file},
        ),
        result.tags,
    )


def _with(row: Row, common: Row, uids: Row) -> dict[str, object]:
    """A row whose UIDs are the receiver's, so that every table joins with every other."""
    keys = {name: uid for name, uid in uids.items() if name in row}
    if "patient_id" in row:
        keys["patient_id"] = row["patient_id"] or ""
    return {**row, **common, **keys}


_FROM_EVENT: Final = {
    "patient_id": "patient_id",
    "study_uid": "study_uid",
    "series_uid": "series_uid",
    "sop_uid": "sop_uid",
    "study_date": "study_date",
    "accession_number": "accession_number",
    "sop_class_uid": "sop_class_uid",
    "transfer_syntax_uid": "transfer_syntax_uid",
    "number_of_frames": "number_of_frames",
}


def _from_event(event: Event, finding: str) -> TagRecord:
    """What is known of an object whose header cannot be read."""

    def row(columns: Sequence[TagColumn]) -> dict[str, str | int | float | None]:
        return {
            column.name: getattr(event, _FROM_EVENT[column.name])
            if column.name in _FROM_EVENT
            else None
            for column in columns
        }

    return TagRecord(
        patient=row(PATIENT),
        study=row(STUDY),
        series=row(SERIES),
        image=row(IMAGE),
        tags="{}",
        findings=(finding,),
    )


def warehouse_rows(indexed: Sequence[Indexed]) -> dict[str, list[Row]]:
    """The rows of each tag table."""
    return {
        PATIENT_TABLE: [one.levels.patient for one in indexed],
        STUDY_TABLE: [one.levels.study for one in indexed],
        SERIES_TABLE: [one.levels.series for one in indexed],
        IMAGE_TABLE: [{**one.levels.instance, "tags": one.tags} for one in indexed],
    }
