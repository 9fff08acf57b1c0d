"""``dicom_conversion_record``: receipts whose object could not be shown, until it can."""

from collections.abc import Sequence
from typing import Final

from dicom_pipeline.catalog import Catalog
from dicom_pipeline.stages.decided import Decided
from dicom_pipeline.table_columns import Row
from dicom_pipeline.warehouse import CONVERSION_RECORD, Warehouse

RENDITION_STAGE: Final = "rendition"
"""How ``dicom_conversion_record.stage`` names this stage."""

FAILED: Final = "failed"
RECOVERED: Final = "recovered"


def conversion_records(
    decided: Sequence[Decided], catalog: Catalog, warehouse: Warehouse
) -> list[Row]:
    """The rows for a batch whose renditions are in the catalog already.

    A failure is left out where the catalog knows better of the same receipt: a success that came
    first has left no row here that could outweigh it. A success is told where a failure was.
    """
    failed = [one for one in decided if one.outcome.error]
    shown = [one for one in decided if not one.outcome.error]
    known = _renditions(failed, catalog)
    complaints = _complaints(shown, warehouse)
    return [
        *(_row(one) for one in failed if known.get(one.event.trace_id, 0) <= one.row_version),
        *(_row(one) for one in shown if one.event.attempt or _answers(one, complaints)),
    ]


def _answers(shown: Decided, complaints: dict[str, int]) -> bool:
    complaint = complaints.get(shown.event.trace_id)
    return complaint is not None and complaint <= shown.row_version


def _renditions(failed: Sequence[Decided], catalog: Catalog) -> dict[str, int]:
    """The version of each receipt's rendition, unless a later receipt has replaced it."""
    if not failed:
        return {}
    tenants, tenant_names = _list("tenant", {one.event.tenant_id for one in failed})
    uids, uid_names = _list("uid", {one.event.sop_uid for one in failed})
    rows = catalog.query(
        "SELECT trace_id, row_version FROM rendition "  # noqa: S608 - names of parameters
        f"WHERE tenant_id IN ({tenant_names}) AND sop_uid IN ({uid_names})",
        **tenants,
        **uids,
    )
    return _versions(rows)


def _complaints(shown: Sequence[Decided], warehouse: Warehouse) -> dict[str, int]:
    """The version of each receipt's failure that still stands."""
    if not shown:
        return {}
    tenants, tenant_names = _list("tenant", {one.event.tenant_id for one in shown})
    traces, trace_names = _list("trace", {one.event.trace_id for one in shown})
    rows = warehouse.query(
        f"SELECT trace_id, row_version FROM {CONVERSION_RECORD} "  # noqa: S608 - as above
        f"WHERE tenant_id IN ({tenant_names}) AND trace_id IN ({trace_names}) "
        "AND stage = :stage AND state = :state",
        **tenants,
        **traces,
        stage=RENDITION_STAGE,
        state=FAILED,
    )
    return _versions(rows)


def _list(name: str, values: set[str]) -> tuple[dict[str, str], str]:
    """Values as named parameters, and their names as a statement lists them."""
    parameters = {f"{name}_{number}": value for number, value in enumerate(sorted(values))}
    return parameters, ", ".join(f":{parameter}" for parameter in parameters)


def _versions(rows: Sequence[Row]) -> dict[str, int]:
    return {str(row["trace_id"]): int(str(row["row_version"])) for row in rows}


def _row(decided: Decided) -> Row:
    event, error = decided.event, decided.outcome.error
    return {
        "tenant_id": event.tenant_id,
        "trace_id": event.trace_id,
        "stage": RENDITION_STAGE,
        "row_version": decided.row_version,
        "sop_uid": event.sop_uid,
        "study_uid": event.study_uid,
        "series_uid": event.series_uid,
        "sop_class_uid": event.sop_class_uid,
        "transfer_syntax_uid": event.transfer_syntax_uid,
        "error_code": error.code if error else None,
        "reason": error.reason if error else None,
        "library": error.library if error else None,
        "library_version": error.library_version if error else None,
        "retryable": int(error.retryable) if error else None,
        "attempt": event.attempt,
        "state": FAILED if error else RECOVERED,
        "created_time": event.created_time,
    }
