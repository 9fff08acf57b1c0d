"""Rows before they are loaded: what Doris would refuse is cut with a finding, or told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_pipeline.errors import PermanentError
from dicom_pipeline.warehouse import CONVERSION_RECORD, IMAGE, OBJECT_META, PATIENT, STUDY
from dicom_pipeline.warehouse.columns import TABLES
from dicom_pipeline.warehouse.doris.batches import batches, load_headers
from dicom_pipeline.warehouse.doris.fitting import Fitting
from dicom_pipeline.warehouse.doris.types import ROW_ORDER, TYPES
from dicom_pipeline_tests.services.doris.loading import Loader, Mapping
from dicom_pipeline_tests.services.doris.store import Database
from dicom_pipeline_tests.warehouse.doris_ddl import tables
from dicom_pipeline_tests.warehouse.samples import row_of, trace

LIMIT = 2000


def fit(table, **values):
    return Fitting(table, LIMIT).fit({**row_of(table), "findings": "", **values})


def test_text_is_cut_by_bytes_at_a_character_and_leaves_a_finding():
    row = fit(STUDY, study_description="影" * 342, findings="told before")
    assert row["study_description"] == "影" * 341
    assert row["findings"] == "told before\nstudy_description: longer than 1024 bytes, cut"


def test_what_fits_is_left_alone():
    row = fit(STUDY, study_description="影" * 341, findings="told before")
    assert row["study_description"] == "影" * 341
    assert row["findings"] == "told before"


def test_findings_themselves_are_cut():
    findings = fit(STUDY, findings="x" * 70_000)["findings"]
    assert findings == "x" * 65533


def test_a_key_that_is_too_long_is_told_without_its_value():
    with pytest.raises(
        PermanentError, match=r"dicom_patient.*patient_id VARCHAR\(256\)"
    ) as refusal:
        fit(PATIENT, patient_id="张" * 86)
    assert "张" not in str(refusal.value)


def test_json_loses_its_largest_parts_until_it_fits():
    tags = {"00100010": {"vr": "PN"}, "00091001": {"vr": "OB", "InlineBinary": "x" * 1500}}
    tags["00091002"] = {"vr": "OB", "InlineBinary": "y" * 1000}
    row = fit(IMAGE, tags=json.dumps(tags))
    assert set(json.loads(row["tags"])) == {"00100010", "00091002"}
    assert "tags: longer than 2000 bytes, its largest parts left out" in row["findings"]


def test_a_list_of_codes_that_is_too_long_is_left_out():
    row = fit(STUDY, procedure_codes=json.dumps([{"meaning": "x" * 3000}]))
    assert row["procedure_codes"] is None
    assert "procedure_codes" in row["findings"]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        (OBJECT_META, "created_time", "yesterday"),
        (OBJECT_META, "created_time", "2026-01-31T12:00:00.000001"),
        (OBJECT_META, "created_time", "2026-01-31T12:00:00.000001+08:00"),
        (OBJECT_META, "study_date", "2026-02-30"),
        (OBJECT_META, "study_date", "20260131"),
        (OBJECT_META, "file_size", 2**63),
        (IMAGE, "slice_thickness", float("nan")),
        (IMAGE, "image_comments", "\udcff"),
        (IMAGE, "tags", "{" * 3000),
        (CONVERSION_RECORD, "retryable", 1000),
    ],
)
def test_what_no_column_can_hold_is_told_without_its_value(table, column, value):
    with pytest.raises(
        PermanentError, match=f"table {table}: a value does not fit .*{column}"
    ) as no:
        Fitting(table, LIMIT).fit(row_of(table, **{column: value}))
    assert "2026" not in str(no.value)


def test_times_lose_their_mark_and_keep_their_microseconds():
    assert fit(OBJECT_META)["created_time"] == "2026-01-31 12:00:00.000001"


@given(
    st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**48 - 1)), min_size=2, max_size=5)
)
def test_the_one_number_orders_rows_as_version_and_trace_id_do(pairs):
    rows = [row_of(IMAGE, row_version=version, trace_id=trace(n)) for version, n in pairs]
    fitting = Fitting(IMAGE, LIMIT)
    by_number = sorted(rows, key=lambda row: int(str(fitting.fit(row)[ROW_ORDER])))
    assert by_number == sorted(rows, key=lambda row: (row["row_version"], row["trace_id"]))


def test_a_trace_id_that_is_no_uuid_is_told():
    with pytest.raises(PermanentError, match="column trace_id of table dicom_image"):
        fit(IMAGE, trace_id="trace-1")


text = st.text(alphabet=st.characters(codec="utf-8"), max_size=400)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            column.name: text
            for column in TABLES[STUDY].columns
            if column.type is str
            and TYPES[STUDY][column.name].name == "VARCHAR"
            and column.name not in {"tenant_id", "study_uid", "patient_id", "trace_id"}
        },
    )
)
def test_whatever_was_fitted_is_taken_by_a_strict_load(values):
    database = Database("imaging")
    database.create_table(tables()[STUDY], if_not_exists=False)
    headers = load_headers(STUDY)
    mapping = Mapping(
        headers["columns"],
        strict=headers["strict_mode"] == "true",
        zone=headers["timezone"],
        sequence=headers["function_column.sequence_col"],
    )
    fitted = Fitting(STUDY, LIMIT).fit(row_of(STUDY, **values))
    (batch,) = batches(STUDY, "label", [fitted], 1 << 20)
    loaded = Loader(database, STUDY, mapping).read(batch.lines)
    assert loaded.refused == []
    assert loaded.rows[0]["study_description"] == fitted["study_description"]
