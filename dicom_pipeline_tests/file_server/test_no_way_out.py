"""No path leaves its root, whatever it looks like and whatever links lie below it."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_pipeline.file_server.opening import open_below, split
from dicom_pipeline_tests.file_server.asking import ask
from dicom_pipeline_tests.file_server.conftest import OBJECT

SECRET = b"SECRET"

pieces = st.sampled_from(
    ["..", ".", "", "default", "incoming", "%2e%2e", "..\\", "\x00", "~", "link", "folder", "a.dcm"]
)
folders = st.sampled_from(["default", "default/link", "default/folder/link", "default/folder"])
paths = st.one_of(
    st.tuples(folders, pieces).map("/".join),
    st.lists(pieces, max_size=8).map("/".join),
    st.text(st.characters(exclude_categories=()), max_size=40),
)
roots = st.sampled_from(["/objects/", "/renditions/", "/manifests/", "/viewer/", "/", "//"])


@pytest.fixture
def tempting(settings):
    """A root full of links out of it and of files that are none."""
    outside = settings.home / "outside"
    outside.mkdir()
    (outside / "a.dcm").write_bytes(SECRET)
    (settings.storage / "incoming" / "a.dcm").write_bytes(SECRET)
    (settings.home / "a.dcm").write_bytes(SECRET)
    for root in (settings.storage, settings.renditions, settings.manifests):
        folder = root / "default"
        (folder / "folder").mkdir()
        (folder / "link").symlink_to(outside)
        (folder / "folder" / "link").symlink_to("../../incoming")
        (folder / "a.dcm").symlink_to(outside / "a.dcm")
        (folder / "b.dcm").symlink_to("../incoming/a.dcm")
        os.mkfifo(folder / "pipe.dcm")
    return settings


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(root=roots, path=paths)
def test_no_path_reaches_a_file_outside(tempting, served, root, path):
    assert SECRET not in ask(served, f"{root}{path}").body


@given(path=paths)
def test_a_path_that_is_accepted_has_only_plain_parts(path):
    parts = split(path)
    assert parts is None or not {"", ".", ".."} & set(parts)
    assert parts is None or not any(one.startswith(".") or "\\" in one for one in parts)


@pytest.mark.parametrize(
    "parts",
    [
        ["default", "a.dcm"],
        ["default", "b.dcm"],
        ["default", "link", "a.dcm"],
        ["default", "folder", "link", "a.dcm"],
        ["default", "pipe.dcm"],
        ["default", "folder"],
        ["default", "a.dcm", "b.dcm"],
        ["default", "none", "a.dcm"],
    ],
)
def test_links_pipes_and_folders_are_no_files(tempting, parts):
    assert open_below(tempting.storage, parts) is None


def test_a_root_that_is_a_link_is_meant(tempting, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tempting.storage)
    opened = open_below(link, OBJECT.split("/"))
    assert opened is not None
    os.close(opened.descriptor)


def test_no_request_leaves_a_file_open(served, tempting):
    def descriptors():
        return {path.name for path in Path("/proc/self/fd").iterdir()}

    ask(served, f"/objects/{OBJECT}")
    before = descriptors()
    for path in (OBJECT, "default/link/a.dcm", "default/pipe.dcm", "default/folder"):
        for headers in ({}, {"if_none_match": "*"}, {"range": "bytes=0-1"}, {"range": "nonsense"}):
            ask(served, f"/objects/{path}", **headers)
    assert descriptors() == before
