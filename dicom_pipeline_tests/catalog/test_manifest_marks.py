"""Which studies are marked: whoever changes what a manifest says, and nobody's mark is lost."""

import threading

import pytest

from dicom_pipeline.catalog import DueManifest, Study, WrittenManifest
from dicom_pipeline.errors import PermanentError
from dicom_pipeline_tests.catalog.samples import indexed, rendition, skeleton, storage_record


@pytest.fixture
def opener(emptied):
    """A server's database is used again: to make one takes the longest."""
    with emptied() as opener:
        yield opener


def due(catalog):
    return {one.study.study_uid for one in catalog.manifests_due(100)}


def take_all_back(catalog):
    catalog.take_back(catalog.manifests_due(100))
    assert due(catalog) == set()


def named(item, name):
    return item._replace(patient={**item.patient, "patient_name_alphabetic": name})


def test_indexing_marks_the_study(catalog):
    catalog.index([indexed(study="1.2.1"), indexed("1.4.2", study="1.2.2")])
    assert due(catalog) == {"1.2.1", "1.2.2"}


def test_a_rendition_marks_its_study(catalog):
    catalog.record_renditions([rendition()])
    assert due(catalog) == {"1.2"}


def test_a_rendition_that_is_ahead_of_the_index_marks_the_study_that_names_the_object(catalog):
    catalog.index([indexed(study="1.2.1")])
    take_all_back(catalog)
    catalog.record_renditions([rendition(version=2, study_uid="1.2.2")])
    assert due(catalog) == {"1.2.1", "1.2.2"}


def test_skeletons_tell_nothing_that_a_manifest_says(catalog):
    catalog.record_storage([storage_record("a.dcm")], [skeleton(indexed())])
    assert due(catalog) == set()


def test_copied_parents_mark_the_study(catalog):
    catalog.record_storage([], [indexed()._replace(instance={})])
    assert due(catalog) == {"1.2"}


def test_an_object_that_moves_marks_the_study_that_it_leaves(catalog):
    catalog.index([indexed(study="1.2.1")])
    take_all_back(catalog)
    catalog.index([indexed(study="1.2.2", version=2)])
    assert due(catalog) == {"1.2.1", "1.2.2"}


def test_another_name_of_the_patient_marks_all_studies_of_the_patient(catalog):
    catalog.index([named(indexed("1.4.1", study="1.2.1"), "Old^Name")])
    catalog.index([indexed("1.4.9", patient="B2", study="1.2.9")])
    take_all_back(catalog)
    catalog.index([named(indexed("1.4.2", study="1.2.2", version=2), "New^Name")])
    assert due(catalog) == {"1.2.1", "1.2.2"}


def test_the_same_name_again_marks_no_other_study(catalog):
    catalog.index([named(indexed("1.4.1", study="1.2.1"), "Same^Name")])
    take_all_back(catalog)
    catalog.index([named(indexed("1.4.2", study="1.2.2", version=2), "Same^Name")])
    assert due(catalog) == {"1.2.2"}


def test_what_is_rolled_back_marks_nothing(catalog):
    broken = indexed("1.4.2")
    broken = broken._replace(instance={**broken.instance, "image_comments": "\ud800"})
    with pytest.raises(PermanentError):
        catalog.index([indexed(), broken])
    assert due(catalog) == set()


def test_a_mark_that_was_set_after_reading_stays(catalog):
    catalog.index([indexed()])
    read = catalog.manifests_due(100)
    catalog.record_renditions([rendition()])
    catalog.take_back(read)
    assert due(catalog) == {"1.2"}


def test_marks_are_unique_also_when_the_study_was_written_in_between(catalog):
    catalog.index([indexed()])
    (first,) = catalog.manifests_due(100)
    take_all_back(catalog)
    catalog.index([indexed()])
    (second,) = catalog.manifests_due(100)
    assert first.mark != second.mark
    catalog.take_back([first])
    assert due(catalog) == {"1.2"}


def test_the_oldest_marks_come_first_and_a_portion_is_bounded(catalog):
    for number in (3, 1, 2):
        catalog.index([indexed(f"1.4.{number}", study=f"1.2.{number}")])
    uids = [one.study.study_uid for one in catalog.manifests_due(2)]
    assert uids == ["1.2.3", "1.2.1"]


def test_the_same_study_uid_in_two_tenants_is_two_marks(catalog):
    catalog.index([indexed(tenant="north"), indexed(tenant="south")])
    north = [one for one in catalog.manifests_due(9) if one.study.tenant_id == "north"]
    catalog.take_back(north)
    assert [one.study for one in catalog.manifests_due(9)] == [Study("south", "1.2")]


def test_what_a_manifest_shows_is_kept_and_leaves_the_mark_alone(catalog):
    catalog.index([indexed()])
    study = Study("hospital", "1.2")
    catalog.note_manifests([WrittenManifest(study, ("CT", "PT"), 5, 2, 1)])
    (row,) = catalog.query("SELECT modalities, shown, not_shown, failed FROM study_manifest")
    assert row == {"modalities": "CT\\PT", "shown": 5, "not_shown": 2, "failed": 1}
    assert due(catalog) == {"1.2"}
    take_all_back(catalog)
    catalog.index([indexed()])
    (row,) = catalog.query("SELECT shown FROM study_manifest")
    assert row == {"shown": 5}


def test_every_study_can_be_marked(catalog):
    catalog.index([indexed(study="1.2.1")])
    catalog.record_storage([], [skeleton(indexed(study="1.2.2"))])
    take_all_back(catalog)
    catalog.mark_all_manifests()
    assert due(catalog) == {"1.2.1"}
    catalog.mark_all_manifests()
    assert due(catalog) == {"1.2.1"}


def test_nothing_to_do_is_no_error(catalog):
    catalog.take_back([])
    catalog.note_manifests([])
    catalog.mark_all_manifests()
    assert catalog.manifests_due(10) == []


def test_a_mark_that_nobody_set_is_not_taken_back(catalog):
    catalog.index([indexed()])
    catalog.take_back([DueManifest(Study("hospital", "1.2"), "another")])
    assert due(catalog) == {"1.2"}


@pytest.mark.service
def test_while_stages_write_and_marks_are_taken_back_the_last_word_is_always_marked(opener):
    """Every word of a stage was read behind its mark, or the mark is still there."""
    words = 15
    seen: dict[str, int] = {}
    stopping = threading.Event()

    def stage(series):
        with opener() as catalog:
            for version in range(1, words + 1):
                catalog.index([indexed(f"1.4.{series}", version=version, series=f"1.3.{series}")])

    def writer():
        with opener() as catalog:
            while True:
                last = stopping.is_set()
                read = catalog.manifests_due(10)
                if read:
                    rows = catalog.query("SELECT sop_uid, row_version FROM instance")
                    seen.update({row["sop_uid"]: row["row_version"] for row in rows})
                    catalog.take_back(read)
                elif last:
                    return

    with opener() as catalog:
        catalog.migrate()
    stages = [threading.Thread(target=stage, args=(number,)) for number in range(2)]
    writing = threading.Thread(target=writer)
    for thread in (*stages, writing):
        thread.start()
    for thread in stages:
        thread.join(60)
    stopping.set()
    writing.join(60)
    assert seen == {"1.4.0": words, "1.4.1": words}
