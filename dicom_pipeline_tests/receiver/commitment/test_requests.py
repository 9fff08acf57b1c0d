from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_pipeline_tests.receiver.commitment.stored import (
    BIG_ENDIAN,
    CT,
    EXPLICIT,
    IMPLICIT,
    MR,
    action_information,
    encode,
)
from receiver.commitment import requests
from receiver.commitment.requests import (
    STORAGE_COMMITMENT_INSTANCE,
    STORAGE_COMMITMENT_PUSH_MODEL,
    TRANSFER_SYNTAXES,
    Reference,
    RefusedError,
    check_action,
    parse,
)

DEFLATED = "1.2.840.10008.1.2.1.99"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
"""The receiver silences pydicom's judgements of what strangers send; here they would be errors."""


def refusal(data_set, syntax=EXPLICIT):
    with pytest.raises(RefusedError) as refused:
        parse(data_set, syntax)
    return refused.value.status


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_a_request_is_read_in_every_transfer_syntax_that_is_offered(syntax):
    assert syntax in TRANSFER_SYNTAXES
    references = [Reference(CT, "1.2.3.4"), Reference(MR, "1.2.3.45")]
    request = parse(action_information(references, "1.9", syntax), syntax)
    assert request == ("1.9", tuple(references))


def test_an_object_that_is_named_twice_is_asked_about_once():
    twice = [(CT, "1.1"), (CT, "1.2"), (CT, "1.1"), (MR, "1.1")]
    assert parse(action_information(twice), EXPLICIT).references == (
        (CT, "1.1"),
        (CT, "1.2"),
        (MR, "1.1"),
    )


def test_other_attributes_of_a_request_do_no_harm():
    request = Dataset()
    request.RetrieveAETitle = "ARCHIVE"
    request.StudyInstanceUID = "1.2"
    request.PatientName = "x"
    request.TransactionUID = "1.9"
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, "1.1"
    item.StorageMediaFileSetID = "CD"
    request.ReferencedSOPSequence = [item]
    assert parse(encode(request), EXPLICIT) == ("1.9", ((CT, "1.1"),))


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ((STORAGE_COMMITMENT_PUSH_MODEL, STORAGE_COMMITMENT_INSTANCE, 1), None),
        ((CT, STORAGE_COMMITMENT_INSTANCE, 1), 0x0118),
        ((STORAGE_COMMITMENT_PUSH_MODEL, "1.2.3", 1), 0x0112),
        ((STORAGE_COMMITMENT_PUSH_MODEL, STORAGE_COMMITMENT_INSTANCE, 2), 0x0123),
        ((STORAGE_COMMITMENT_PUSH_MODEL, STORAGE_COMMITMENT_INSTANCE, None), 0x0123),
    ],
)
def test_an_action_on_something_else_is_refused_by_its_name(target, status):
    if status is None:
        check_action(*target)
        return
    with pytest.raises(RefusedError) as refused:
        check_action(*target)
    assert refused.value.status == status


def without(keyword, *, inside=False):
    request = Dataset()
    request.TransactionUID = "1.9"
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, "1.1"
    request.ReferencedSOPSequence = [item]
    del (item if inside else request)[keyword]
    return encode(request)


@pytest.mark.parametrize(
    "data_set",
    [
        b"",
        b"\xff" * 100,
        without("TransactionUID"),
        without("ReferencedSOPSequence"),
        without("ReferencedSOPClassUID", inside=True),
        without("ReferencedSOPInstanceUID", inside=True),
        action_information([]),
        action_information([(CT, "")]),
        action_information([(CT, "1.1\\1.2")]),
        action_information([(CT, "../../etc/passwd")]),
        action_information([(CT, "1." * 40 + "1")]),
        action_information([(CT, "1.1")], transaction_uid=""),
    ],
)
def test_a_request_without_what_it_needs_has_an_invalid_argument(data_set):
    assert refusal(data_set) == 0x0115


def test_a_request_that_is_too_large_meets_a_limit(monkeypatch):
    monkeypatch.setattr(requests, "MAX_REFERENCES", 2)
    assert refusal(action_information([(CT, f"1.{n}") for n in range(3)])) == 0x0213
    monkeypatch.setattr(requests, "MAX_BYTES", 50)
    assert refusal(action_information([(CT, "1.1")])) == 0x0213


def test_items_without_number_are_refused_before_they_take_memory(monkeypatch):
    monkeypatch.setattr(requests, "read_dataset", lambda *_, **__: pytest.fail("was read"))
    for syntax, item in ((IMPLICIT, "feff00e000000000"), (BIG_ENDIAN, "fffee00000000000")):
        assert refusal(bytes.fromhex(item) * (requests.MAX_REFERENCES + 1), syntax) == 0x0213


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_as_many_of_the_longest_references_as_may_come_fit_a_request(syntax):
    longest = [(f"1.{'2' * 62}", f"1.2.{number:060}") for number in range(100)]
    size = len(action_information(longest, "1.9", syntax))
    assert size * (requests.MAX_REFERENCES // 100) < requests.MAX_BYTES


def test_a_request_that_could_swell_is_not_read():
    assert refusal(action_information([(CT, "1.1")]), DEFLATED) == 0x0110


def test_deep_nesting_is_an_invalid_argument():
    start = bytes.fromhex("0800991153510000ffffffff") + bytes.fromhex("feff00e0ffffffff")
    assert refusal(start * 5000) == 0x0115


VALID = action_information([(CT, "1.1"), (MR, "1.2")])


@settings(max_examples=200, deadline=None)
@given(
    data_set=st.one_of(
        st.binary(max_size=300),
        st.tuples(
            st.integers(0, len(VALID)), st.binary(max_size=12), st.integers(0, len(VALID))
        ).map(lambda cut: VALID[: cut[0]] + cut[1] + VALID[cut[2] :]),
    ),
    syntax=st.sampled_from(TRANSFER_SYNTAXES),
)
def test_whatever_comes_is_a_request_or_refused(data_set, syntax):
    with suppress(RefusedError):
        request = parse(data_set, syntax)
        assert request.transaction_uid
        assert request.references
