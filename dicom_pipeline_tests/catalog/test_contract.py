"""What every catalog promises, whatever database it is in."""

import pytest

from dicom_pipeline.catalog import AbandonedRange
from dicom_pipeline.errors import PermanentError
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline_tests.catalog.samples import (
    contents,
    indexed,
    rendition,
    skeleton,
    storage_record,
)


def counts(catalog, table, **key):
    where = " AND ".join(f"{name} = :{name}" for name in key)
    (row,) = catalog.query(f"SELECT * FROM {table} WHERE {where}", **key)
    return {k: v for k, v in row.items() if k.startswith("number_of") or k == "total_size"}


def test_the_same_write_again_changes_nothing(catalog):
    def write():
        catalog.record_storage([storage_record("a.dcm")], [skeleton(indexed())])
        catalog.index([indexed("1.4.1"), indexed("1.4.2")])
        catalog.record_renditions([rendition()])

    write()
    once = contents(catalog)
    write()
    assert contents(catalog) == once


def test_nothing_to_write_is_no_error(catalog):
    catalog.record_storage([], [])
    catalog.index([])
    catalog.record_renditions([])


def test_an_older_version_never_overwrites_a_newer_one(catalog):
    catalog.index([indexed(version=5, trace_id="new")])
    catalog.index([indexed(version=4, trace_id="old")])
    for table in ("patient", "study", "series", "instance"):
        assert catalog.query(f"SELECT trace_id FROM {table}") == [{"trace_id": "new"}]


def test_equal_versions_are_ordered_by_their_trace_ids(catalog):
    catalog.index([indexed(trace_id="b")])
    catalog.index([indexed(trace_id="a")])
    assert catalog.query("SELECT trace_id FROM instance") == [{"trace_id": "b"}]


def test_a_newer_version_clears_what_it_no_longer_says(catalog):
    catalog.record_renditions([rendition(version=1, error_code="decode_failed", reason="broken")])
    catalog.record_renditions([rendition(version=2)])
    assert catalog.query("SELECT error_code, reason FROM rendition") == [
        {"error_code": None, "reason": None}
    ]


def test_parents_count_their_instances_and_bytes(catalog):
    catalog.index(
        [
            indexed("1.4.1", series="1.3.1", size=10),
            indexed("1.4.2", series="1.3.1", size=20),
            indexed("1.4.3", series="1.3.2", size=30),
            indexed("1.4.4", study="1.2.2", series="1.3.3", size=40),
        ]
    )
    assert counts(catalog, "series", series_uid="1.3.1") == {
        "number_of_instances": 2,
        "total_size": 30,
    }
    assert counts(catalog, "study", study_uid="1.2") == {
        "number_of_series": 2,
        "number_of_instances": 3,
        "total_size": 60,
    }
    assert counts(catalog, "patient", patient_id="A1") == {
        "number_of_studies": 2,
        "number_of_series": 3,
        "number_of_instances": 4,
        "total_size": 100,
    }


def test_an_object_may_leave_out_parents_that_are_there(catalog):
    catalog.index([indexed("1.4.1", trace_id="first", size=10)])
    bare = indexed("1.4.2", trace_id="second", size=20)
    catalog.index([bare._replace(patient={}, study={}, series={})])
    for table in ("patient", "study", "series"):
        assert catalog.query(f"SELECT trace_id, total_size FROM {table}") == [
            {"trace_id": "first", "total_size": 30}
        ]


def test_indexing_tells_which_studies_it_has_changed(catalog):
    assert catalog.index([indexed(study="1.2.1")]) == {("hospital", "1.2.1")}
    moved = indexed(study="1.2.2", version=2)
    assert catalog.index([moved]) == {("hospital", "1.2.1"), ("hospital", "1.2.2")}
    assert catalog.index([]) == set()


def test_a_series_uid_that_two_studies_use_is_two_series(catalog):
    catalog.index([indexed("1.4.1", study="1.2.1"), indexed("1.4.2", study="1.2.2")])
    assert counts(catalog, "patient", patient_id="A1")["number_of_series"] == 2
    assert counts(catalog, "series", study_uid="1.2.1")["number_of_instances"] == 1
    assert len(catalog.query("SELECT * FROM series")) == 2


def test_an_instance_that_moves_leaves_the_counts_of_its_old_parents(catalog):
    catalog.index([indexed(patient="A1", study="1.2.1", series="1.3.1", size=10)])
    catalog.index(
        [indexed(version=2, patient="B2", study="1.2.2", series="1.3.2", size=20)],
    )
    assert set(counts(catalog, "patient", patient_id="A1").values()) == {0}
    assert set(counts(catalog, "study", study_uid="1.2.1").values()) == {0}
    assert set(counts(catalog, "series", series_uid="1.3.1").values()) == {0}
    assert counts(catalog, "patient", patient_id="B2") == {
        "number_of_studies": 1,
        "number_of_series": 1,
        "number_of_instances": 1,
        "total_size": 20,
    }


def test_the_same_uids_in_two_tenants_never_meet(catalog):
    catalog.index([indexed(tenant="north", size=10), indexed(tenant="south", size=20)])
    catalog.index([indexed(tenant="south", version=2, trace_id="later", size=30)])
    for table in ("patient", "study", "series"):
        assert counts(catalog, table, tenant_id="north")["total_size"] == 10
        assert counts(catalog, table, tenant_id="south")["total_size"] == 30


def test_patients_whose_ids_differ_in_case_or_spaces_stay_apart(catalog):
    ids = ["A1", "a1", "A1 ", "Á1", ""]
    catalog.index([indexed(f"1.4.{n}", patient=patient) for n, patient in enumerate(ids)])
    for patient in ids:
        assert counts(catalog, "patient", patient_id=patient)["number_of_instances"] == 1


def test_an_object_without_a_patient_id_belongs_to_the_patient_with_the_empty_id(catalog):
    item = indexed()
    catalog.index(
        [
            item._replace(
                patient={**item.patient, "patient_id": None},
                study={**item.study, "patient_id": None},
                instance={**item.instance, "patient_id": None},
            )
        ]
    )
    assert counts(catalog, "patient", patient_id="")["number_of_instances"] == 1


def test_skeleton_rows_make_a_study_findable_before_it_is_indexed(catalog):
    catalog.record_storage([storage_record("a.dcm")], [skeleton(indexed())])
    assert catalog.query("SELECT patient_id, row_version, number_of_instances FROM study") == [
        {"patient_id": "A1", "row_version": 0, "number_of_instances": 0}
    ]
    assert catalog.query("SELECT * FROM instance") == []


def test_skeleton_rows_never_change_a_row_that_is_there(catalog):
    catalog.index([indexed(version=1)])
    before = contents(catalog)
    other = indexed(version=9, trace_id="trace-9", patient="A1")
    catalog.record_storage([], [skeleton(other)])
    assert contents(catalog) == before


def test_the_index_overrides_skeleton_rows(catalog):
    catalog.record_storage([], [skeleton(indexed(version=9, trace_id="trace-9"))])
    catalog.index([indexed(version=1, trace_id="trace-1")])
    assert catalog.query("SELECT trace_id, series_description FROM series") == [
        {"trace_id": "trace-1", "series_description": "said by trace-1"}
    ]


def test_the_newest_file_of_an_object_is_its_current_one(catalog):
    catalog.record_storage([storage_record("a~2.dcm", version=2)], [])
    catalog.record_storage(
        [storage_record("a.dcm", version=1), storage_record("b.dcm", sop_uid="1.4.2")], []
    )
    assert catalog.query(
        "SELECT sop_uid, file_path FROM current_storage_record ORDER BY sop_uid"
    ) == [
        {"sop_uid": "1.4.1", "file_path": "a~2.dcm"},
        {"sop_uid": "1.4.2", "file_path": "b.dcm"},
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"colour": "red"}, "rendition has no column colour"),
        ({"sop_uid": None}, "a row for table rendition has no sop_uid"),
        ({"file_size": "Zhang^San"}, "file_size of table rendition cannot hold a str"),
        ({"reason": "Zhang^San \ud800"}, "a value does not fit"),
        ({"file_size": 1 << 70}, "a value does not fit"),
        ({"rule": "Zhang^San" * 100}, "a value does not fit its column: rule holds at most 255"),
        (
            {"sop_uid": "Zhang^San" * 10},
            "a value does not fit its column: sop_uid holds at most 64",
        ),
    ],
)
def test_a_row_that_does_not_fit_is_refused_without_telling_its_values(catalog, row, said):
    with pytest.raises(PermanentError, match=said) as refusal:
        catalog.record_renditions([rendition("1.4.1"), {**rendition("1.4.2"), **row}])
    assert "Zhang" not in str(refusal.value)
    assert catalog.query("SELECT * FROM rendition") == []


def test_a_range_waits_for_an_operator_until_a_run_over_it_succeeds(catalog):
    def waits(start, end, topic="index_queue", topic_id="id-1", partition=0):
        offsets = OffsetRange(topic, topic_id, partition, start, end)
        return AbandonedRange(offsets, 8, "the disk is full")

    first, second = waits(0, 10), waits(10, 20)
    others = [waits(0, 10, partition=1), waits(0, 10, "log_queue", "id-2")]
    for one in (first, second, *others):
        catalog.abandon(one)
        catalog.abandon(one)
    assert catalog.abandoned("index_queue") == [first, second, others[0]]
    catalog.recovered(first.offsets)
    assert catalog.abandoned() == [second, *others]
    catalog.recovered(OffsetRange("index_queue", "id-1", 0, 0, 30))
    assert catalog.abandoned() == others


def test_the_last_attempt_at_an_abandoned_range_is_told(catalog):
    offsets = OffsetRange("index_queue", "id-1", 0, 0, 10)
    catalog.abandon(AbandonedRange(offsets, 9, "later"))
    catalog.abandon(AbandonedRange(offsets, 8, "earlier"))
    assert catalog.abandoned() == [AbandonedRange(offsets, 9, "later")]


def test_a_query_cannot_write(catalog):
    with pytest.raises(PermanentError):
        catalog.query("DELETE FROM patient")
    catalog.index([indexed()])
