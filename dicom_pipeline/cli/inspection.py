"""What is known of one object, series or study, from all tables."""

from functools import partial
from typing import Final, NamedTuple

import msgspec
from rich.table import Column, Table

from dicom_pipeline.cache import open_cache
from dicom_pipeline.cache.catalog import catalog_database
from dicom_pipeline.cache.studies import StudyReads
from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.cli.exits import FAILED, OK
from dicom_pipeline.cli.screen import screen
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import open_warehouse


class Section(NamedTuple):
    """One question about a UID: who answers it, and how."""

    title: str
    source: str
    """``catalog``, ``warehouse``, or ``study``: the catalog, or the cache of its answers."""
    sql: str


_PATIENT: Final = Section(
    "Patient",
    "catalog",
    "SELECT p.tenant_id, p.patient_id, p.patient_name_alphabetic, p.patient_name_ideographic "
    "FROM patient AS p WHERE EXISTS (SELECT 1 FROM instance AS i WHERE i.tenant_id = p.tenant_id "
    "AND i.patient_id = p.patient_id "
    "AND (i.sop_uid = :uid OR i.series_uid = :uid OR i.study_uid = :uid))",
)

SECTIONS: Final = {
    "object": (
        Section(
            "Files, the current one last",
            "catalog",
            "SELECT tenant_id, created_time, file_path, file_size, transfer_syntax_uid, digest, "
            "findings FROM storage_record WHERE sop_uid = :uid ORDER BY row_version, trace_id",
        ),
        Section(
            "Index",
            "catalog",
            "SELECT tenant_id, study_uid, series_uid, sop_class_uid, instance_number, "
            "number_of_frames, image_rows, image_columns, file_path, findings "
            "FROM instance WHERE sop_uid = :uid",
        ),
        Section(
            "Rendition",
            "catalog",
            "SELECT tenant_id, action, rule, reason, file_path, transfer_syntax_uid, file_size, "
            "number_of_frames, error_code FROM rendition WHERE sop_uid = :uid",
        ),
        Section(
            "Receipts",
            "warehouse",
            "SELECT trace_id, created_time, source_ae, source_ip, transfer_status, target_ts, "
            "attempt, duplicate_of FROM dicom_object_meta WHERE sop_uid = :uid "
            "ORDER BY version, trace_id",
        ),
        Section(
            "Failed conversions",
            "warehouse",
            "SELECT stage, state, error_code, reason, library, library_version, retryable, attempt "
            "FROM dicom_conversion_record WHERE sop_uid = :uid",
        ),
        Section(
            "Attempts sent again",
            "warehouse",
            "SELECT stage, attempt, error_code, reason, library, library_version, backfill_id "
            "FROM dicom_conversion_retry WHERE sop_uid = :uid ORDER BY trace_id, attempt",
        ),
    ),
    "series": (
        Section(
            "Series",
            "catalog",
            "SELECT tenant_id, study_uid, modality, series_number, series_description, "
            "number_of_instances, total_size, findings FROM series WHERE series_uid = :uid",
        ),
        Section(
            "Renditions",
            "catalog",
            "SELECT action, error_code, COUNT(*) AS objects FROM rendition "
            "WHERE series_uid = :uid GROUP BY action, error_code ORDER BY action, error_code",
        ),
        Section(
            "Objects",
            "catalog",
            "SELECT sop_uid, instance_number, file_path FROM instance WHERE series_uid = :uid "
            "ORDER BY instance_number, sop_uid LIMIT 50",
        ),
    ),
    "study": (
        Section(
            "Study",
            "study",
            "SELECT tenant_id, study_date, study_description, number_of_series, "
            "number_of_instances, total_size, findings FROM study WHERE study_uid = :uid",
        ),
        Section(
            "Renditions",
            "study",
            "SELECT action, error_code, COUNT(*) AS objects FROM rendition "
            "WHERE study_uid = :uid GROUP BY action, error_code ORDER BY action, error_code",
        ),
        Section(
            "Series",
            "study",
            "SELECT series_uid, modality, series_number, number_of_instances FROM series "
            "WHERE study_uid = :uid ORDER BY series_number, series_uid",
        ),
    ),
}
"""What is asked, by what the UID may be. An object's UID comes first."""

Rows = list[dict[str, object]]


class Finding(msgspec.Struct):
    """What the tables say about a UID."""

    kind: str
    """``object``, ``series`` or ``study``."""
    sections: dict[str, Rows]


def inspect(settings: Settings, uid: str, *, patient: bool) -> list[Finding]:
    """Everything known of a UID, once for each thing that it names; empty when it is unknown.

    Args:
        settings: where the tables are.
        uid: SOP, series or study instance UID.
        patient: also ask for the patient's id and name.
    """
    with (
        open_cache(settings) as cache,
        open_catalog(settings) as catalog,
        open_warehouse(settings) as warehouse,
    ):
        query = {"catalog": catalog.query, "warehouse": warehouse.query}
        studies = StudyReads(cache, catalog_database(catalog, cache, settings), catalog.query)
        query["study"] = partial(studies.ask, uid)
        found = []
        for kind, sections in SECTIONS.items():
            answers = {one.title: query[one.source](one.sql, uid=uid) for one in sections}
            if any(answers.values()):
                if patient:
                    answers[_PATIENT.title] = catalog.query(_PATIENT.sql, uid=uid)
                found.append(Finding(kind, answers))
    return found


def run_inspect(settings: Settings, uid: str, *, patient: bool, as_json: bool) -> int:
    """The command `inspect`."""
    console = screen()
    found = inspect(settings, uid, patient=patient)
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())  # noqa: T201
    elif not found:
        console.print(
            f"{uid}: unknown. It was not received, or has not reached the tables: "
            "see `dicom-pipeline status`"
        )
    for finding in [] if as_json else found:
        console.print(f"[bold]{finding.kind}[/] {uid}", highlight=False)
        for title, rows in finding.sections.items():
            if rows:
                console.print(_table(title, rows))
    return OK if found else FAILED


def _table(title: str, rows: Rows) -> Table:
    """Few rows: each as a list of names and values, which fits long UIDs; else as a table."""
    if len(rows) > 3 and len(rows[0]) <= 4:  # noqa: PLR2004 - what fits a terminal's width
        table = Table(*rows[0], title=title, title_justify="left")
        for row in rows:
            table.add_row(*(_text(value) for value in row.values()))
        return table
    table = Table("name", Column("value", overflow="fold"), title=title, title_justify="left")
    table.show_header = False
    for row in rows:
        for name, value in row.items():
            if value not in {None, ""}:
                table.add_row(name, _text(value))
        table.add_section()
    return table


def _text(value: object) -> str:
    return "" if value is None else str(value)
