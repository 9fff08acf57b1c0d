"""Which files are written, and that no crash and no second writer leaves an old one."""

import json
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dicom_pipeline.catalog import Study
from dicom_pipeline.errors import TransientError
from dicom_pipeline.manifests import listing, writing
from dicom_pipeline.manifests.addresses import address
from dicom_pipeline.manifests.study import study_manifest
from dicom_pipeline.manifests.writing import Writer
from dicom_pipeline_tests.catalog.samples import indexed, rendition
from dicom_pipeline_tests.manifests.home import Home

MEMORY = Path("/dev/shm")
QUICK = str(MEMORY) if MEMORY.is_dir() else None
"""Where hundreds of small commits need not wait for a disk."""


def test_what_is_due_is_written_once(home):
    home.object()
    assert [counts["studies"] for counts in home.write()] == [1]
    assert home.write() == []


def test_the_list_tells_what_the_manifests_show(home):
    home.object("1.4.1", study={"study_date": "2026-01-31", "study_description": "Chest"})
    home.object("1.4.2")
    home.decision("1.4.1")
    listed = home.listed()
    assert (listed["tenant"], listed["total"]) == ("hospital", 1)
    (study,) = listed["studies"]
    assert study["manifest"] == "1.2.json"
    assert (study["shown"], study["not_shown"], study["failed"]) == (1, 1, 0)
    assert study["NumberOfStudyRelatedInstances"] == 2
    assert study["ModalitiesInStudy"] == ["CT"]
    assert study["PatientID"] == "A1"


def test_what_has_no_image_or_waits_is_no_failure(home):
    for sop_uid in ("1.4.1", "1.4.2", "1.4.3"):
        home.object(sop_uid)
    home.decision("1.4.1", action="no_pixels")
    home.decision("1.4.2", action="fail", error_code="truncated")
    (study,) = home.listed()["studies"]
    assert (study["shown"], study["not_shown"], study["failed"]) == (0, 3, 1)


def test_the_list_is_bounded_and_begins_with_the_newest(home, monkeypatch):
    monkeypatch.setattr(listing, "LISTED", 2)
    for day in (3, 1, 2):
        item = indexed(f"1.4.{day}", study=f"1.2.{day}")
        dated = {**item.study, "study_date": f"2026-01-0{day}"}
        home.catalog.index([item._replace(study=dated)])
    home.catalog.index([indexed("1.4.9", study="1.2.9")])
    listed = home.listed()
    assert listed["total"] == 4
    assert [one["StudyInstanceUID"] for one in listed["studies"]] == ["1.2.3", "1.2.2"]


def test_tenants_have_folders_and_lists_of_their_own(home):
    home.catalog.index([indexed(tenant="north"), indexed(tenant="south")])
    home.write()
    for tenant in ("north", "south"):
        folder = home.settings.manifests / tenant
        assert {path.name for path in folder.iterdir()} == {"1.2.json", "studies.json"}
        assert json.loads((folder / "studies.json").read_bytes())["total"] == 1


def test_a_study_without_objects_leaves_no_patient_behind(home):
    home.catalog.index([indexed(study="1.2.1")])
    home.write()
    home.catalog.index([indexed(study="1.2.2", version=2)])
    listed = home.listed()
    assert [one["StudyInstanceUID"] for one in listed["studies"]] == ["1.2.2"]
    assert home.path("1.2.1.json").read_bytes() == b'{"studies":[]}'


def test_a_portion_is_written_in_batches_and_bounded(home, monkeypatch):
    monkeypatch.setattr(writing, "BATCH", 2)
    home.catalog.index([indexed(f"1.4.{n}", study=f"1.2.{n}") for n in range(6)])
    batches = list(Writer(home.settings, home.catalog).write_due(5))
    assert [len(batch.written) for batch in batches] == [2, 2, 1]
    assert len(home.due()) == 1


def test_a_word_that_comes_while_a_manifest_is_written_is_not_lost(home, monkeypatch):
    home.object()
    build = study_manifest

    def build_and_be_overtaken(*arguments):
        manifest = build(*arguments)
        home.decision()
        return manifest

    monkeypatch.setattr(writing, "study_manifest", build_and_be_overtaken)
    home.write()
    assert home.due() == {Study("hospital", "1.2")}
    monkeypatch.undo()
    assert [one["rendition"]["action"] for one in home.entries()] == ["keep"]


def test_of_two_writers_the_later_one_has_read_the_newer_rows(home, monkeypatch):
    """The first one has read and not yet written when the second one begins."""
    home.object()
    read, go_on = threading.Event(), threading.Event()
    build = study_manifest

    def build_slowly(*arguments):
        manifest = build(*arguments)
        if not read.is_set():
            read.set()
            go_on.wait(10)
        return manifest

    monkeypatch.setattr(writing, "study_manifest", build_slowly)
    first = threading.Thread(target=home.write)
    first.start()
    assert read.wait(10)
    home.decision()
    second = threading.Thread(target=home.write)
    second.start()
    second.join(0.2)
    assert second.is_alive(), "it waits for the first one"
    go_on.set()
    for thread in (first, second):
        thread.join(10)
    (study,) = json.loads(home.path("1.2.json").read_bytes())["studies"]
    assert study["series"], "the older state did not overwrite the newer one"
    assert not home.due()


def test_a_uid_that_would_leave_the_root_is_not_written(home):
    home.catalog.index([indexed(study="../../1.2"), indexed("1.4.2", study="1.2.2")])
    (counts,) = home.write()
    assert (counts["studies"], counts["not_written"]) == (1, 1)
    assert list(home.settings.home.glob("*.json")) == []


def test_a_root_that_cannot_be_written_to_is_told(home):
    home.object()
    home.settings.manifests.write_bytes(b"a file in its place")
    with pytest.raises(TransientError, match="manifest root"):
        home.write()
    assert home.due()


def test_where_many_studies_fail_the_fault_is_not_theirs(home, monkeypatch):
    monkeypatch.setattr(writing, "FAILED_MAX", 3)
    monkeypatch.setattr(writing, "BATCH", 2)
    home.catalog.index([indexed(f"1.4.{n}", study=f"1.2.{n}") for n in range(8)])
    for number in range(8):
        home.path(f"1.2.{number}.json").mkdir(parents=True)
    with pytest.raises(TransientError, match="permissions"):
        home.write()
    assert len(home.due()) == 8


class _CrashError(Exception):
    """The process ends here."""


class Manifests(RuleBasedStateMachine):
    """Stages write and writers crash, in any order: a file is right, or its study is marked."""

    @initialize()
    def begin(self):
        self.folder = TemporaryDirectory(dir=QUICK)
        self.home = Home(Path(self.folder.name))

    def teardown(self):
        if hasattr(self, "home"):
            self.home.catalog.close()
            self.folder.cleanup()

    sops = st.sampled_from(["1.4.1", "1.4.2", "1.4.3"])
    studies = st.sampled_from(["1.2.1", "1.2.2"])
    versions = st.integers(1, 4)

    @rule(sop=sops, study=studies, version=versions, name=st.sampled_from(["A", "B"]))
    def index(self, sop, study, version, name):
        item = indexed(sop, study=study, version=version * 1024)
        patient = {**item.patient, "patient_name_alphabetic": name}
        self.home.catalog.index([item._replace(patient=patient)])

    @rule(sop=sops, study=studies, version=versions, action=st.sampled_from(["keep", "fail"]))
    def decide(self, sop, study, version, action):
        row = rendition(sop, version=version * 1024 + 1, study_uid=study, action=action)
        self.home.catalog.record_renditions([row])

    @rule(portion=st.integers(1, 3))
    def write(self, portion):
        list(Writer(self.home.settings, self.home.catalog).write_due(portion))

    @rule(step=st.sampled_from(["note_manifests", "take_back", "query"]), calls=st.integers(0, 4))
    def crash(self, step, calls):
        """The process is killed at one of its calls to the catalog."""
        left = [calls]
        work = getattr(self.home.catalog, step)

        def crash_or_work(*arguments, **named):
            left[0] -= 1
            if left[0] < 0:
                raise _CrashError
            return work(*arguments, **named)

        with pytest.MonkeyPatch.context() as patch, suppress(_CrashError):
            patch.setattr(self.home.catalog, step, crash_or_work)
            self.write(3)

    @invariant()
    def a_manifest_is_right_or_its_study_is_marked(self):
        if not hasattr(self, "home"):
            return
        home, due = self.home, self.home.due()
        url_of = address(home.settings)
        for row in home.catalog.query("SELECT tenant_id, study_uid FROM study_manifest"):
            study = Study(row["tenant_id"], row["study_uid"])
            if study not in due and home.path(f"{study.study_uid}.json").exists():
                expected = study_manifest(home.catalog, study, url_of, lambda *_: {}).content
                assert home.path(f"{study.study_uid}.json").read_bytes() == expected
        indexed_studies = {
            Study(row["tenant_id"], row["study_uid"])
            for row in home.catalog.query("SELECT DISTINCT tenant_id, study_uid FROM instance")
        }
        written = {one for one in indexed_studies if home.path(f"{one.study_uid}.json").exists()}
        assert indexed_studies - written <= due
        if not due and written:
            told = home.path("studies.json").read_bytes()
            assert told == listing.study_list(home.catalog, "hospital")


Manifests.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_a_manifest_is_right_or_its_study_is_marked = Manifests.TestCase
