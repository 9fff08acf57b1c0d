import struct
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from benchmarks.fuzz import reference
from receiver.commands import CommandError, decode, encode, response

NUMBERS = [0x0100, 0x0110, 0x0120, 0x0800, 0x0900, 0x1002, 0x1008]
UIDS = [0x0002, 0x0003, 0x1000, 0x1001]
uids = st.sampled_from(["", "1.2", "1.2.3", "1.2.840.10008.5.1.4.1.1.2", "1." + "1" * 62])
commands = st.builds(
    lambda needed, numbers, texts: {**numbers, **texts, **needed},
    st.fixed_dictionaries({0x0100: st.integers(0, 0xFFFF), 0x0800: st.integers(0, 0xFFFF)}),
    st.dictionaries(st.sampled_from(NUMBERS), st.integers(0, 0xFFFF)),
    st.dictionaries(st.sampled_from(UIDS), uids),
)
ECHO = {0x0100: 0x30, 0x0110: 7, 0x0800: 0x0101}


@given(commands)
def test_what_is_encoded_is_decoded_again(values):
    command = decode(encode(values))
    assert command.field == values[0x0100]
    assert command.has_data_set is (values[0x0800] != 0x0101)
    assert command.message_id == values.get(0x0110, 0)
    assert command.responded_to == values.get(0x0120, 0)
    assert command.status == values.get(0x0900, 0)
    assert command.action_type == values.get(0x1008, 0)
    assert command.sop_class_uid == (values.get(0x0002) or values.get(0x0003, ""))
    assert command.sop_instance_uid == (values.get(0x1000) or values.get(0x1001, ""))


@settings(max_examples=30, deadline=None)
@given(commands, st.text("abc:", min_size=1, max_size=64))
def test_pydicom_reads_what_is_encoded(values, comment):
    encoded = encode({**values, 0x0902: comment})
    dataset = read_dataset(BytesIO(encoded), is_implicit_VR=True, is_little_endian=True)
    assert len(encoded) % 2 == 0
    assert dataset.CommandGroupLength == len(encoded) - 12
    assert list(reference.elements(encoded)) == sorted({0, 0x0902, *values})
    assert dataset.ErrorComment == comment
    for tag, value in values.items():
        assert (dataset[tag].value or "") == (value or "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode({0x0110: 1}),
        encode({0x0100: 1}),
        encode({0x0800: 1}),
        encode(ECHO)[:-1],
        encode(ECHO) + b"\0",
        encode({**ECHO, 0x1000: "1.2.3.45"})[:-2],
        encode(ECHO) + bytes(7),
        encode(ECHO) + struct.pack("<HHI", 8, 0x18, 0),
        encode(ECHO) + struct.pack("<HHI", 0, 0x0900, 3),
        encode(ECHO) + struct.pack("<HHI", 0, 0x0900, 0xFFFFFFFF),
        encode(ECHO) + struct.pack("<HHIB", 0, 0x0900, 1, 0),
        encode(ECHO) + struct.pack("<HHII", 0, 0x0110, 4, 0),
    ],
)
def test_what_is_no_command_is_an_error_that_quotes_nothing(data):
    with pytest.raises(CommandError) as raised:
        decode(data)
    assert not any(character.isdigit() for character in str(raised.value).replace("0000", ""))


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_to_be_refused(data):
    for bytes_ in (data, encode(ECHO) + data):
        try:
            decode(bytes_)
        except CommandError:
            continue


def test_the_last_of_a_repeated_element_counts_and_foreign_ones_do_not():
    data = encode(ECHO) + struct.pack("<HHIH", 0, 0x0110, 2, 9) + struct.pack("<HHI", 0, 0x5555, 0)
    assert decode(data).message_id == 9


def test_uids_lose_their_padding_and_nothing_else():
    data = b"".join(
        struct.pack("<HHI", 0, tag, len(value)) + value
        for tag, value in ((0x0002, b"1.2 \0"), (0x1000, b"\xff1.2/..\0"))
    )
    command = decode(encode(ECHO) + data)
    assert (command.sop_class_uid, command.sop_instance_uid) == ("1.2", "\ufffd1.2/..")


def test_a_response_to_a_hostile_request_can_be_encoded():
    data = struct.pack("<HHI", 0, 0x1000, 40_001) + b"\xff" * 40_001
    answer = decode(response(decode(encode(ECHO) + data), 0x0117, "comment"))
    assert (answer.field, answer.responded_to, answer.status) == (0x8030, 7, 0x0117)
    assert not answer.has_data_set
    assert answer.sop_instance_uid == "?" * 40_001


def test_only_what_the_request_has_is_repeated():
    answer = response(decode(encode(ECHO)), 0)
    dataset = read_dataset(BytesIO(answer), is_implicit_VR=True, is_little_endian=True)
    assert [each.keyword for each in dataset] == [
        "CommandGroupLength",
        "CommandField",
        "MessageIDBeingRespondedTo",
        "CommandDataSetType",
        "Status",
    ]
    action = response(decode(encode({**ECHO, 0x0100: 0x0130, 0x1008: 2})), 0)
    assert decode(action).action_type == 2
