from dicom_pipeline.cli.checks import file_systems, folders
from dicom_pipeline.cli.checks.check import Verdict
from dicom_pipeline_tests.cli.checks.looking import found, settings_in


def test_too_little_space_fails(tmp_path):
    space = found(settings_in(tmp_path, receiver_min_free_bytes=1 << 60), "storage root")["space"]
    assert space.verdict is Verdict.FAIL
    assert space.remedy


def test_a_home_on_a_network_file_system_fails_and_a_storage_root_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(file_systems, "kind", lambda path: "nfs4")
    monkeypatch.setattr(folders, "kind", lambda path: "nfs4")
    chosen = settings_in(tmp_path)
    assert found(chosen, "home folder")["file system"].verdict is Verdict.FAIL
    assert found(chosen, "storage root")["file system"].verdict is Verdict.OK


def test_a_storage_root_without_hard_links_fails_and_one_without_locks_is_warned_of(
    tmp_path, monkeypatch
):
    chosen = settings_in(tmp_path)
    monkeypatch.setattr(folders, "has_locks", lambda path: False)
    assert found(chosen, "storage root")["file system"].verdict is Verdict.WARN
    monkeypatch.setattr(folders, "kind", lambda path: "exfat")
    assert found(chosen, "storage root")["file system"].verdict is Verdict.FAIL


def test_locks_are_tried_without_leaving_anything(tmp_path):
    assert file_systems.has_locks(tmp_path / "not" / "there")
    assert list(tmp_path.iterdir()) == []


def test_the_file_system_of_a_folder_is_the_one_mounted_nearest():
    assert file_systems.kind(file_systems.Path("/proc/1")) == "proc"


def test_a_folder_that_cannot_be_written_fails_and_names_its_setting(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "may_write", lambda path: False)
    rights = found(settings_in(tmp_path), "storage root")["rights"]
    assert rights.verdict is Verdict.FAIL
    assert "STORAGE_ROOT" in rights.remedy


def test_a_file_where_a_folder_should_be_fails(tmp_path):
    (tmp_path / "home").touch()
    assert found(settings_in(tmp_path), "home folder")["rights"].verdict is Verdict.FAIL
