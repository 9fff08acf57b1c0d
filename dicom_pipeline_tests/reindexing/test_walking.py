"""The walk finds every file once, in an order that it can go on in."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_pipeline.errors import TransientError
from dicom_pipeline.reindexing.walking import walk

LAYOUT = sorted(
    (
        f"{tenant}/{day}/{study}/{series}/{name}"
        for tenant in ("a", "b")
        for day in ("20260101", "20260102")
        for study in ("1.2", "1.2.3", "1.20")
        for series in ("1", "2")
        for name in ("1.dcm", "1~5.dcm", "10.dcm")
    ),
    key=lambda path: path.split("/"),
)


def make(root, paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def paths(found):
    return [one.path for one in found]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    make(root, LAYOUT)
    make(root, ["incoming/node/x.dcm", "lost+found/y", ".snapshot/a/z.dcm", "a/.z.dcm.partial"])
    return root


def test_every_object_is_found_once_and_nothing_else(root):
    assert paths(walk(root)) == LAYOUT


def test_it_goes_on_behind_any_path(root):
    everything = paths(walk(root))
    for number, path in enumerate(everything):
        assert paths(walk(root, after=path)) == everything[number + 1 :]


NAMES = st.text("ab.~", min_size=1, max_size=3).filter(lambda name: name.strip("."))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=12), st.data())
def test_it_goes_on_in_any_tree(tmp_path_factory, tree, data):
    root = tmp_path_factory.mktemp("tree")
    for parts in tree:
        try:
            make(root, ["/".join(parts)])
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue  # a folder of that name is there already, or a file
    everything = paths(walk(root))
    assert len(set(everything)) == len(everything)
    if everything:
        number = data.draw(st.integers(0, len(everything) - 1))
        (root / everything[number]).unlink()  # it need not be there any more
        assert paths(walk(root, after=everything[number])) == everything[number + 1 :]


def test_only_what_was_asked_for_is_looked_at(root):
    assert paths(walk(root, tenants=["b"])) == [path for path in LAYOUT if path.startswith("b/")]
    found = paths(walk(root, studies=["1.2.3"]))
    assert found == [path for path in LAYOUT if "/1.2.3/" in path]
    assert paths(walk(root, tenants=["nobody"])) == []


def test_the_share_of_the_tree_grows_to_nearly_all(root):
    shares = [one.share for one in walk(root)]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.05
    assert 0.9 < shares[-1] < 1


def test_what_is_no_file_is_told_and_never_followed(tmp_path):
    make(tmp_path, ["a/real.dcm"])
    (tmp_path / "a/link").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "a/pipe")
    (tmp_path / os.fsdecode(b"a/\xff")).mkdir()
    found = {one.path: one.problem for one in walk(tmp_path)}
    assert found.pop("a/real.dcm") == ""
    assert sorted(found) == ["a/?", "a/link", "a/pipe"]
    assert all(found.values())


def test_a_root_that_is_away_is_no_empty_root(tmp_path):
    with pytest.raises(TransientError, match="cannot be listed"):
        list(walk(tmp_path / "missing"))
