import os
import signal
import subprocess
import sys
import threading
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_pipeline import storage
from dicom_pipeline.storage import (
    InvalidUIDError,
    OutsideRootError,
    atomic_file,
    check_uid,
    date_folder,
    locate,
    make_directories,
    newest,
    object_path,
    versioned,
)


@pytest.fixture(autouse=True)
def nothing_known_to_be_durable(monkeypatch):
    monkeypatch.setattr(storage, "_durable", set())


@given(st.text(max_size=80))
def test_no_accepted_uid_leaves_the_root(uid):
    try:
        check_uid("SOPInstanceUID", uid)
    except InvalidUIDError:
        return
    path = PurePosixPath(object_path("tenant", "20240101", uid, uid, uid))
    assert path.parts[0] == "tenant"
    assert len(path.parts) == 5
    assert ".." not in path.parts
    assert str(path).isascii()


@pytest.mark.parametrize(
    "uid", ["", ".", "..", "1.", ".1", "1..2", "1/2", "1\n", "1 ", "²", "1" * 65]
)
def test_what_is_no_uid_is_refused(uid):
    with pytest.raises(InvalidUIDError, match="StudyInstanceUID"):
        check_uid("StudyInstanceUID", uid)


def test_a_leading_zero_is_a_finding_and_a_lone_zero_is_not():
    assert check_uid("SOPInstanceUID", "1.0.2") == ()
    assert check_uid("SOPInstanceUID", "1.02") == ("SOPInstanceUID: component with a leading zero",)


@pytest.mark.parametrize(
    ("study_date", "folder"),
    [
        ("20240229", "20240229"),
        ("20230229", "00000000"),
        ("", "00000000"),
        ("2024", "00000000"),
        ("../../..", "00000000"),
        ("２０２４０１０１", "00000000"),  # digits, but not ASCII
    ],
)
def test_only_days_that_exist_have_a_folder(study_date, folder):
    assert date_folder(study_date) == folder


@pytest.mark.parametrize("relative", ["/etc/passwd", "../x", "a/../../x"])
def test_a_path_that_leaves_its_root_is_refused(relative):
    with pytest.raises(OutsideRootError):
        locate(Path("/root/of/all"), relative)


def test_a_relative_path_is_found_below_its_root():
    assert locate(Path("/root"), PurePosixPath("a/b.dcm")) == Path("/root/a/b.dcm")


def test_the_newest_file_of_a_uid_is_its_greatest_version(tmp_path):
    base = tmp_path / "1.2.dcm"
    for name in ("1.2.dcm", "1.20.dcm", "1.2~x.dcm", "1.20~99.dcm"):
        (tmp_path / name).touch()
    assert newest(base) == base
    for version in (9, 10):
        (tmp_path / versioned(base.name, version)).touch()
    assert newest(base) == tmp_path / "1.2~10.dcm"


@pytest.fixture
def synced(monkeypatch):
    """The paths that were synced, in order."""
    paths = []
    real_fsync = os.fsync

    def note(descriptor):
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return paths


def test_a_new_folder_is_durable_in_its_parent_and_so_are_its_parents(tmp_path, synced):
    make_directories(tmp_path / "a/b/c")
    assert synced[-3:] == [tmp_path, tmp_path / "a", tmp_path / "a/b"]


def test_a_folder_that_another_process_has_just_made_is_synced_once(tmp_path, synced):
    (tmp_path / "a").mkdir()
    make_directories(tmp_path / "a")
    make_directories(tmp_path / "a")
    assert synced.count(tmp_path) == 1


def test_few_folders_are_remembered_and_the_others_are_synced_again(tmp_path, monkeypatch, synced):
    monkeypatch.setattr(storage, "_DURABLE_MAX", 8)
    for number in range(20):
        make_directories(tmp_path / f"{number}")
        assert len(storage._durable) <= 8
    synced.clear()
    make_directories(tmp_path / "19")
    assert not synced
    make_directories(tmp_path / "0")
    assert tmp_path in synced


def test_a_folder_that_was_deleted_is_made_again(tmp_path):
    make_directories(tmp_path / "a/b")
    (tmp_path / "a/b").rmdir()
    (tmp_path / "a").rmdir()
    make_directories(tmp_path / "a/b")
    assert (tmp_path / "a/b").is_dir()


def test_an_atomic_file_appears_complete_or_not_at_all(tmp_path):
    path = tmp_path / "folder" / "file.json"
    with atomic_file(path) as file:
        file.write(b"first")
        assert not path.exists()
    with pytest.raises(TypeError), atomic_file(path) as file:
        file.write("not bytes")
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_writer_left_of_an_atomic_file_goes_with_the_next_one(tmp_path):
    path = tmp_path / "file.json"
    program = (
        "import os, pathlib; from dicom_pipeline.storage import atomic_file\n"
        f"with atomic_file(pathlib.Path({str(path)!r})) as file:\n"
        "    file.write(b'cut off, and longer than the next one')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    with atomic_file(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_of_the_same_atomic_file_do_not_mix(tmp_path):
    path = tmp_path / "file.json"
    contents = [bytes([number]) * 100_000 for number in range(8)]
    failures = []

    def write(content):
        try:
            for start in range(10):
                with atomic_file(path) as file:
                    file.write(content[: start + 1])
                    file.write(content[start + 1 :])
                assert path.read_bytes() in contents
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(tmp_path.iterdir()) == [path]
