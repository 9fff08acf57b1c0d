"""Every statement that the product can send to Doris, with sample values.

For who wants to check them with Doris' own grammar, or to grant no more than they need. What the
product builds from parts is built here by the same code, for a warehouse that only writes down
what it is asked.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from rich.console import Console

from dicom_pipeline.backfill import candidates, following
from dicom_pipeline.backfill.selection import AUTOMATIC, Selection
from dicom_pipeline.cli import inspection, status
from dicom_pipeline.cli.exits import OK
from dicom_pipeline.demo import accounting, watch
from dicom_pipeline.errors import PermanentError
from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline.imaging.outcomes import Action, ErrorCode, Outcome
from dicom_pipeline.messages import Event, TransferStatus
from dicom_pipeline.migrations import load_migrations
from dicom_pipeline.moving.systems import System
from dicom_pipeline.moving.tables import TableCopy
from dicom_pipeline.moving.verification import compare
from dicom_pipeline.routine_load import statements as routine_load
from dicom_pipeline.schema_state import missing_migrations
from dicom_pipeline.stages.conversion_records import RECOVERED, conversion_records
from dicom_pipeline.stages.decided import Decided
from dicom_pipeline.table_columns import TableColumns
from dicom_pipeline.warehouse.columns import TABLES
from dicom_pipeline.warehouse.doris import schema, session
from dicom_pipeline.warehouse.doris.adapter import SHOW_BACKENDS
from dicom_pipeline.warehouse.doris.binding import rendered
from dicom_pipeline.warehouse.doris.options import DorisOptions, parse_options

if TYPE_CHECKING:
    from dicom_pipeline.catalog import Catalog
    from dicom_pipeline.moving.source import Tables
    from dicom_pipeline.warehouse import Warehouse

_URL: Final = "doris://user:password@frontend:9030/dicom_pipeline"
_TIME: Final = "2026-01-31T12:00:00.000001Z"
_VERSION: Final = 1_769_860_800_000_001
_UID: Final = "1.2.840.113619.2.1"
_EVENT: Final = Event(
    trace_id="019c1426-b000-7002-8000-000000000001",
    worker_node_id="node-1",
    tenant_id="o'neill",  # a quote, so that quoting is seen
    patient_id="",
    study_uid=_UID,
    series_uid=_UID,
    sop_uid=_UID,
    file_size=1,
    file_path="a/b.dcm",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    number_of_frames=None,
    created_time=_TIME,
    series_uid_hash=0,
    study_uid_hash=0,
    accession_number="",
    target_ts=None,
    study_date=None,
    transfer_status=TransferStatus.PENDING,
    source_ip="127.0.0.1",
    source_ae="MODALITY",
    version=_VERSION,
    digest="",
    file_name="b.dcm",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
)
_SAMPLES: Final = {str: _EVENT.tenant_id, int: 1, float: 1.5, bool: 1}


class Statement(NamedTuple):
    """A statement and what it is for."""

    purpose: str
    sql: str


Source = Callable[[], Iterator[Statement]]


class _Notebook:
    """Writes down what it is asked instead of asking."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def query(self, sql: str, **parameters: object) -> list[dict[str, object]]:
        self.asked.append(rendered(sql, parameters))
        return []


def every_statement() -> Iterator[Statement]:
    """All of them, each once, with what it is first needed for."""
    told: set[str] = set()
    for source in SOURCES:
        for statement in source():
            if statement.sql not in told:
                told.add(statement.sql)
                yield statement


def _connecting() -> Iterator[Statement]:
    yield Statement("begin of each connection", session.SET_TIME_ZONE)
    yield Statement("which backends are trusted", SHOW_BACKENDS)


def _migrating() -> Iterator[Statement]:
    options = parse_options(_URL)
    yield Statement("migrate", session.create_database(options))
    yield Statement("migrate", schema.bookkeeping(options))
    yield Statement("migrate", schema.APPLIED)
    yield from _migrations(options, "kept for ever")
    yield from _migrations(parse_options(f"{_URL}?retention_days=90"), "kept for 90 days")


def _migrations(options: DorisOptions, retention: str) -> Iterator[Statement]:
    for migration in load_migrations(*schema.SCHEMA):
        for sql in schema.statements(migration, options):
            yield Statement(f"migration {migration.name}, receipts {retention}", sql)
        sql = rendered(schema.RECORD, schema.record(migration))
        yield Statement(f"migration {migration.name} was applied", sql)


def _looking() -> Iterator[Statement]:
    yield Statement("status", status.RECEIPTS)
    yield Statement("status", status.FAILURES)
    yield Statement("demo", rendered(watch.RECEIPTS, {"since": _TIME}))
    yield Statement("demo", accounting.FAILURES)
    pending = {"pending": TransferStatus.PENDING, "since": accounting.EVER}
    yield Statement("demo", rendered(accounting.DECIDED, pending))
    for sections in inspection.SECTIONS.values():
        for section in sections:
            if section.source == "warehouse":
                yield Statement("inspect", rendered(section.sql, {"uid": _UID}))
    yield from _noted("doctor", _doctor)
    yield from _noted("copy --verify", _verify)


def _converting() -> Iterator[Statement]:
    yield from _noted("renditions", _renditions)
    yield from _noted("backfill", _backfill)
    followed = {"backfill_id": "019c1426", "recovered": RECOVERED}
    yield Statement("backfill", rendered(following.OUTCOMES, followed))


def _reading_the_log_queue() -> Iterator[Statement]:
    for url in ("kafka://kafka:9092", "kafka+ssl://user:password@kafka:9093"):
        for sql in routine_load.statements(parse_options(_URL), KafkaUrl.parse(url)):
            yield Statement("routine load", sql)


SOURCES: Final[Sequence[Source]] = (
    _connecting,
    _migrating,
    _looking,
    _converting,
    _reading_the_log_queue,
)
"""What the statements come from."""


def _noted(purpose: str, work: Callable[[_Notebook], None]) -> Iterator[Statement]:
    notebook = _Notebook()
    work(notebook)
    for sql in notebook.asked:
        yield Statement(purpose, sql)


def _doctor(notebook: _Notebook) -> None:
    missing_migrations(notebook.query, "doris:", "warehouse")


def _renditions(notebook: _Notebook) -> None:
    shown = Decided(_EVENT, Outcome(action=Action.KEEP, rule="", reason=""))
    conversion_records([shown], cast("Catalog", notebook), cast("Warehouse", notebook))


def _backfill(notebook: _Notebook) -> None:
    everything = Selection(
        codes=(ErrorCode.TIMEOUT,),
        transfer_syntaxes=(_EVENT.transfer_syntax_uid,),
        studies=(_UID,),
        tenants=(_EVENT.tenant_id,),
        since=0,
        until=_VERSION,
        again=True,
    )
    for selection in (Selection(), AUTOMATIC, everything):
        candidates.count(cast("Warehouse", notebook), selection, _VERSION)
        list(candidates.ready(cast("Warehouse", notebook), selection, _VERSION))


class _OneRow:
    """A source of one row."""

    def __init__(self, columns: TableColumns) -> None:
        self._row = {column.name: _SAMPLES[column.type] for column in columns.columns}

    def batches(self, *_: object) -> Iterator[list[dict[str, object]]]:
        yield [self._row]


def _verify(notebook: _Notebook) -> None:
    for columns in TABLES.values():
        source = cast("Tables", _OneRow(columns))
        copy = TableCopy(
            System.WAREHOUSE, columns, columns.key, source, lambda _: None, notebook.query
        )
        compare(copy, lambda _: None)


def run_sql(out: Path) -> int:
    """The command `sql`.

    Raises:
        PermanentError: the file cannot be written.
    """
    found = list(every_statement())
    text = "\n".join(f"-- {one.purpose}\n{one.sql.rstrip()};\n" for one in found)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PermanentError(f"{out} cannot be written: {error.strerror}") from error
    Console().print(f"{len(found)} statements in {out}", highlight=False, soft_wrap=True)
    return OK
