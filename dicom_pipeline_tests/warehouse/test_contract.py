"""What every warehouse promises, whatever system it is."""

import multiprocessing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_pipeline.errors import PermanentError
from dicom_pipeline.warehouse import (
    CONVERSION_RECORD,
    IMAGE,
    OBJECT_META,
    PATIENT,
    SERIES,
    STUDY,
)
from dicom_pipeline.warehouse.columns import TABLES
from dicom_pipeline_tests.warehouse.adapters import ADAPTERS
from dicom_pipeline_tests.warehouse.samples import meaning, row_of, trace


@pytest.mark.parametrize("table", TABLES)
def test_a_row_reads_as_it_was_loaded_however_often(warehouse, table):
    row = row_of(table)
    assert warehouse.load(table, [row, row], "label-1") == 2
    assert warehouse.load(table, [row], "label-1") == 1
    read = warehouse.query(f"SELECT * FROM {table}")
    assert meaning(table, read) == meaning(table, [row])


@pytest.mark.parametrize("table", TABLES)
def test_a_row_needs_no_more_than_its_required_columns(warehouse, table):
    required = {column.name for column in TABLES[table].columns if column.required}
    key = {"patient_id"} if table == PATIENT else set()
    row = {k: v for k, v in row_of(table).items() if k in required | key}
    warehouse.load(table, [row], "label-1")
    assert warehouse.query(f"SELECT COUNT(*) AS n FROM {table}") == [{"n": 1}]


def test_no_rows_are_no_error(warehouse):
    assert warehouse.load(PATIENT, [], "label-1") == 0


@pytest.mark.parametrize("table", TABLES)
def test_an_older_row_never_overwrites_a_newer_one(warehouse, table):
    warehouse.load(table, [row_of(table, row_version=2)], "label-1")
    warehouse.load(table, [row_of(table, row_version=1)], "label-2")
    assert warehouse.query(f"SELECT row_version FROM {table}") == [{"row_version": 2}]


@pytest.mark.parametrize("fresh", ADAPTERS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_order_and_repetition_of_loads_gives_the_same_rows(fresh, data):
    rows = [
        row_of(
            IMAGE,
            sop_uid=data.draw(st.sampled_from(["1.4.1", "1.4.2"])),
            row_version=data.draw(st.integers(1, 3)),
            trace_id=trace(number),
        )
        for number in range(data.draw(st.integers(1, 6)))
    ]
    again = data.draw(st.lists(st.sampled_from(rows), max_size=3))
    order = data.draw(st.permutations([*rows, *again]))
    cut = data.draw(st.integers(0, len(order)))
    everything = f"SELECT * FROM {IMAGE} ORDER BY sop_uid"
    with fresh() as one, fresh() as other, one() as expected, other() as warehouse:
        expected.migrate()
        expected.load(IMAGE, rows, "label-1")
        warehouse.migrate()
        warehouse.load(IMAGE, order[:cut], "label-1")
        warehouse.load(IMAGE, order[cut:], "label-2")
        assert warehouse.query(everything) == expected.query(everything)


def test_the_same_keys_in_two_tenants_and_ids_in_another_case_never_meet(warehouse):
    keys = [("north", "A1"), ("south", "A1"), ("north", "a1"), ("north", "A1 "), ("north", "")]
    warehouse.load(PATIENT, [row_of(PATIENT, tenant_id=t, patient_id=p) for t, p in keys], "one")
    rows = warehouse.query("SELECT tenant_id, patient_id FROM dicom_patient")
    assert sorted((row["tenant_id"], row["patient_id"]) for row in rows) == sorted(keys)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"colour": "red"}, "dicom_image has no column colour"),
        ({"sop_uid": None}, "a row for table dicom_image has no sop_uid"),
        ({"trace_id": None}, "a row for table dicom_image has no trace_id"),
        ({"image_rows": "Zhang^San"}, "column image_rows of table dicom_image cannot hold a str"),
        ({"image_comments": "Zhang^San \udcff"}, "a value does not fit"),
    ],
)
def test_a_refused_row_is_told_without_its_values_and_loads_nothing(warehouse, row, said):
    with pytest.raises(PermanentError, match=said) as refusal:
        warehouse.load(IMAGE, [row_of(IMAGE), row_of(IMAGE, **row)], "label-1")
    assert "Zhang" not in str(refusal.value)
    assert warehouse.query(f"SELECT * FROM {IMAGE}") == []


def test_a_row_without_its_key_is_told(warehouse):
    row = row_of(IMAGE)
    del row["tenant_id"]
    with pytest.raises(PermanentError, match="a row for table dicom_image has no tenant_id"):
        warehouse.load(IMAGE, [row], "label-1")


def test_an_unknown_table_is_told(warehouse):
    with pytest.raises(PermanentError, match="label-1: the warehouse has no table dicom_imag"):
        warehouse.load("dicom_imag", [], "label-1")


def test_a_query_cannot_write_and_takes_parameters(warehouse):
    warehouse.load(PATIENT, [row_of(PATIENT, patient_id="A1")], "label-1")
    with pytest.raises(PermanentError):
        warehouse.query("DELETE FROM dicom_patient")
    sql = "SELECT patient_id FROM dicom_patient WHERE patient_id = :id"
    assert warehouse.query(sql, id="A1") == [{"patient_id": "A1"}]
    assert warehouse.query(sql, id="a1") == []


def test_a_study_is_summed_up_by_study_and_by_modality(warehouse):
    study = {"tenant_id": "t", "study_uid": "1"}
    series = [
        row_of(SERIES, **study, series_uid=uid, modality=modality)
        for uid, modality in [("1.1", "PT"), ("1.2", "CT"), ("1.3", "CT")]
    ]
    images = [
        row_of(IMAGE, **study, series_uid=uid, sop_uid=f"{uid}.{n}", file_size=10)
        for uid, many in [("1.1", 1), ("1.2", 2), ("1.3", 3)]
        for n in range(many)
    ]
    warehouse.load(STUDY, [row_of(STUDY, **study), row_of(STUDY, tenant_id="u")], "a")
    warehouse.load(SERIES, series, "b")
    warehouse.load(IMAGE, images, "c")
    counts = "modalities, number_of_series, number_of_instances, total_size"
    assert warehouse.query(f"SELECT tenant_id, {counts} FROM study_summary ORDER BY 1") == [
        {
            "tenant_id": "t",
            "modalities": "CT,PT",
            "number_of_series": 3,
            "number_of_instances": 6,
            "total_size": 60,
        },
        {
            "tenant_id": "u",
            "modalities": None,
            "number_of_series": 0,
            "number_of_instances": 0,
            "total_size": 0,
        },
    ]
    assert [
        tuple(row.values())
        for row in warehouse.query("SELECT * FROM study_modality_summary ORDER BY modality")
    ] == [("t", "1", "CT", 2, 5, 50), ("t", "1", "PT", 1, 1, 10)]


def test_failures_are_summed_up_by_cause_until_they_recover(warehouse):
    def record(trace_id, version=1, **more):
        return row_of(
            CONVERSION_RECORD,
            tenant_id="t",
            trace_id=trace(trace_id),
            sop_uid=f"object of {trace_id}",
            stage="rendition",
            row_version=version,
            **{"error_code": "decode_failed", "transfer_syntax_uid": "1.2", **more},
        )

    def image(trace_id, sop_uid):
        return row_of(IMAGE, tenant_id="t", trace_id=trace(trace_id), sop_uid=sop_uid)

    warehouse.load(CONVERSION_RECORD, [record(1), record(2, retryable=False)], "a")
    warehouse.load(CONVERSION_RECORD, [record(3), record(3, 2, state="recovered")], "b")
    warehouse.load(CONVERSION_RECORD, [record(4)], "c")
    newest = {1: 1, 2: 2, 3: 3, 4: 5}  # the object of receipt 4 was received again
    warehouse.load(
        IMAGE, [image(last, f"object of {first}") for first, last in newest.items()], "d"
    )
    (row,) = warehouse.query("SELECT * FROM conversion_failure_summary")
    assert (row["error_code"], row["number_of_objects"], row["number_retryable"]) == (
        "decode_failed",
        2,
        1,
    )


def test_receipts_are_summed_up_by_day_and_sender(warehouse):
    receipts = [
        ("2026-01-31T23:59:59.999999Z", None),
        ("2026-02-01T00:00:00.000000Z", None),
        ("2026-02-01T12:00:00.000000Z", trace(1)),
    ]
    warehouse.load(
        OBJECT_META,
        [
            row_of(OBJECT_META, trace_id=trace(n), created_time=time, duplicate_of=original)
            for n, (time, original) in enumerate(receipts)
        ],
        "a",
    )
    rows = warehouse.query(
        "SELECT received_date, number_of_receipts, number_of_duplicates FROM daily_receipts"
        " ORDER BY received_date"
    )
    assert [tuple(row.values()) for row in rows] == [("2026-01-31", 1, 0), ("2026-02-01", 2, 1)]


def load_batches(opener, writer: int) -> None:
    """Run in another process: load rows of which half are the other process's, too."""
    with opener() as warehouse:
        warehouse.migrate()
        for batch in range(10):
            uids = [f"{(writer + half) % 2}.{batch}.{n}" for half in range(2) for n in range(10)]
            warehouse.load(
                IMAGE,
                [row_of(IMAGE, sop_uid=uid, row_version=writer) for uid in uids],
                f"{writer}-{batch}",
            )


@pytest.mark.service
def test_two_processes_load_the_same_rows_at_once(opener):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=load_batches, args=(opener, n)) for n in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    with opener() as warehouse:
        assert warehouse.query(
            f"SELECT COUNT(*) AS n, MIN(row_version) AS oldest FROM {IMAGE}"
        ) == [{"n": 200, "oldest": 1}]
