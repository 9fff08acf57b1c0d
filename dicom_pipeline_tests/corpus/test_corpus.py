"""The corpus holds what it must: an object for every rule, and the same ones every time."""

from collections import defaultdict

import pytest

from dicom_pipeline.imaging.outcomes import ImagingError
from dicom_pipeline.imaging.rendering import decide
from dicom_pipeline.imaging.rules import IMAGE_RULES
from dicom_pipeline.imaging.transfer_syntaxes import TRANSFER_SYNTAXES, Family
from dicom_pipeline_tests.corpus.cases import Case
from dicom_pipeline_tests.corpus.catalogue import all_cases, core_cases

_WITHOUT_FRAMES = {Family.VIDEO, Family.JPIP, Family.NO_FRAMES}
_WITHOUT_ENCODER = {
    f"1.2.840.10008.1.2.4.{number}" for number in (54, 56, 58, 59, *range(60, 67), 93)
}


@pytest.fixture(scope="module")
def fired(tmp_path_factory) -> dict[str, list[Case]]:
    """The objects of every run by the rule that decides about them."""
    path = tmp_path_factory.mktemp("corpus") / "object.dcm"
    found = defaultdict(list)
    for case in core_cases():
        case.write(path)
        try:
            found[decide(path).rule].append(case)
        except ImagingError:
            found["refused"].append(case)
    return found


def test_every_rule_fires_on_an_object_of_the_corpus(fired):
    assert {rule.name for rule in IMAGE_RULES} <= set(fired)


def test_names_are_unique():
    names = [case.name for case in all_cases()]

    assert len(names) == len(set(names))


def test_every_syntax_that_can_be_written_is_in_the_corpus(tmp_path):
    path = tmp_path / "object.dcm"
    written = set()
    for case in core_cases():
        case.write(path)
        whole = path.read_bytes()
        at = whole.find(b"\x02\x00\x10\x00UI", 128, 1000)
        if at >= 0:
            length = int.from_bytes(whole[at + 6 : at + 8], "little")
            written.add(whole[at + 8 : at + 8 + length].rstrip(b"\0").decode())

    meant = {uid for uid, row in TRANSFER_SYNTAXES.items() if row.family not in _WITHOUT_FRAMES}
    assert meant - _WITHOUT_ENCODER <= written


def test_an_object_is_written_the_same_every_time(tmp_path):
    for case in list(core_cases())[::40]:
        case.write(tmp_path / "once.dcm")
        case.write(tmp_path / "again.dcm")

        assert (tmp_path / "once.dcm").read_bytes() == (tmp_path / "again.dcm").read_bytes()
