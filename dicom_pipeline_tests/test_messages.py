import hashlib
import json
from contextlib import suppress
from itertools import pairwise
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_pipeline.catalog.lengths import lengths
from dicom_pipeline.catalog.tables import STORAGE_RECORD_COLUMNS
from dicom_pipeline.errors import PermanentError
from dicom_pipeline.messages import (
    ALL_QUEUES,
    ATTEMPTS,
    FAN_OUT,
    LOG_QUEUE,
    PHASES,
    Attempt,
    BigInt,
    Date,
    DeadLetter,
    Event,
    FileName,
    FilePath,
    Natural,
    OffsetRange,
    Phase,
    Short,
    Time,
    UnreadableEventError,
    Version,
    decode_dead_letter,
    decode_event,
    encode,
    phase_of,
    row_version,
    uid_hash,
)
from dicom_pipeline_tests.events import an_event

# JSON text is UTF-8: lone surrogates cannot be written.
CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.text(CHARACTERS)
BIGINT = st.integers(-(2**63), 2**63 - 1)
SHORT = st.text(CHARACTERS, max_size=64)
DATE = st.text(CHARACTERS, max_size=10)
VALUES = {
    Short: SHORT,
    Short | None: st.none() | SHORT,
    Time: st.text(CHARACTERS, max_size=32),
    Date | None: st.none() | DATE,
    FileName: st.text(CHARACTERS, max_size=255),
    FilePath: st.text(CHARACTERS, max_size=512),
    BigInt: BIGINT,
    BigInt | None: st.none() | BIGINT,
    Natural: st.integers(0, 2**63 - 1),
    Attempt: st.integers(0, ATTEMPTS - 1),
    Phase: st.integers(0, PHASES - 1),
    Version: st.integers(0, 2**53 - 1),
    tuple[str, ...]: st.lists(TEXT).map(tuple),
}
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        field.name: VALUES[field.type]
        for field in msgspec.structs.fields(Event)
        if field.name != "schema"
    },
)


@given(CHANGES)
def test_an_event_survives_the_wire(changes):
    event = an_event(**changes)
    assert decode_event(encode(event)) == event


def test_the_wire_is_utf8_json_with_every_field_present():
    text = encode(an_event(patient_id="王^小东")).decode("utf-8")
    assert "王^小东" in text
    assert set(json.loads(text)) == {field.name for field in msgspec.structs.fields(Event)}


def test_the_first_twenty_fields_are_the_columns_of_dicom_object_meta():
    assert list(json.loads(encode(an_event())))[:20] == [
        "trace_id",
        "worker_node_id",
        "tenant_id",
        "patient_id",
        "study_uid",
        "series_uid",
        "sop_uid",
        "file_size",
        "file_path",
        "transfer_syntax_uid",
        "number_of_frames",
        "created_time",
        "series_uid_hash",
        "study_uid_hash",
        "accession_number",
        "target_ts",
        "study_date",
        "transfer_status",
        "source_ip",
        "source_ae",
    ]


def test_an_event_with_a_field_of_a_later_version_is_read():
    wire = json.loads(encode(an_event())) | {"colour": "blue"}
    assert decode_event(json.dumps(wire).encode()) == an_event()


def test_an_unknown_schema_is_refused_with_the_remedy():
    with pytest.raises(UnreadableEventError, match=r"event schema 2 is unknown .*upgrade the stag"):
        decode_event(encode(an_event(schema=2)))


@pytest.mark.parametrize(
    "value",
    [b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"trace_id": "\xff"}', b"{}"],
    ids=["empty", "cut", "null", "list", "no UTF-8", "no UTF-8 in a text", "no fields"],
)
def test_what_is_no_event_is_unreadable_for_good(value):
    with pytest.raises(UnreadableEventError, match="not an event"):
        decode_event(value)
    assert issubclass(UnreadableEventError, PermanentError)


@given(st.binary())
def test_no_bytes_raise_anything_else(value):
    with pytest.raises(UnreadableEventError):
        decode_event(value)


@given(st.sampled_from(sorted(msgspec.structs.asdict(an_event()))), st.integers(0, 2000))
def test_no_damage_to_an_event_raises_anything_else(field, cut):
    wire = json.loads(encode(an_event()))
    damaged = [
        json.dumps({name: value for name, value in wire.items() if name != field}).encode(),
        json.dumps(wire | {field: {"a": 1}}).encode(),
        encode(an_event())[:cut],
    ]
    for value in damaged:
        with suppress(UnreadableEventError):
            decode_event(value)


@given(st.binary(), st.none() | TEXT)
def test_a_dead_letter_keeps_the_message_as_it_was(value, trace_id):
    letter = DeadLetter(
        topic="index_queue",
        partition=1,
        offset=7,
        code="unreadable_event",
        reason="not an event",
        value=value,
        trace_id=trace_id,
    )
    assert decode_dead_letter(encode(letter)) == letter


def test_a_uid_hash_is_the_start_of_the_sha256_as_a_signed_number():
    # printf 1.2.840.10008.1.2 | sha256sum
    assert uid_hash("1.2.840.10008.1.2") == 8_534_469_046_259_726_378
    digest = hashlib.sha256(b"1.2.3").hexdigest()
    assert uid_hash("1.2.3") % 2**64 == int(digest[:16], 16)


@given(TEXT)
def test_a_uid_hash_fits_a_bigint(uid):
    assert -(2**63) <= uid_hash(uid) < 2**63


@given(st.lists(st.tuples(st.integers(0, 2**52), st.integers(0, PHASES - 1)), min_size=2))
def test_rows_are_ordered_by_receipt_then_by_phase(pairs):
    for earlier, later in pairwise(sorted(set(pairs))):
        assert row_version(*earlier) < row_version(*later)


def test_a_row_version_of_this_century_fits_a_bigint():
    year_2100 = 4_102_444_800_000_000
    assert row_version(year_2100, PHASES - 1) < 2**63


def test_a_word_outweighs_the_receipt_every_earlier_attempt_and_a_tentative_word_of_its_own():
    phases = [phase_of(attempt, tentative=first) for attempt in (0, 1) for first in (True, False)]
    assert phases == [1, 2, 3, 4]
    assert phase_of(ATTEMPTS - 1, tentative=False) < PHASES


@pytest.mark.parametrize("attempt", [-1, ATTEMPTS])
def test_an_attempt_that_has_no_phase_is_refused(attempt):
    with pytest.raises(ValueError, match=f"attempt {attempt} is outside 0..510"):
        phase_of(attempt, tentative=True)


@pytest.mark.parametrize("phase", [-1, PHASES])
def test_a_phase_that_would_reach_the_next_receipt_is_refused(phase):
    with pytest.raises(ValueError, match=f"phase {phase} is outside 0..1023"):
        row_version(1, phase)


def test_an_event_knows_its_row_version_key_and_topics():
    event = an_event(version=5, phase=2, tenant_id="ward", sop_uid="1.2")
    assert event.row_version == 5 * 1024 + 2
    assert event.key == "ward/1.2"
    assert event.topics() == FAN_OUT
    assert an_event(duplicate_of="some trace").topics() == (LOG_QUEUE,)
    assert set(FAN_OUT) < set(ALL_QUEUES)


def test_an_offset_range_names_itself_and_its_attempts():
    offsets = OffsetRange("index_queue", "id7", 2, 10, 35)
    assert len(offsets) == 25
    assert str(offsets) == "index_queue:2:10-35"
    assert offsets.run_key(3) == "id7:2:10-35#3"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file_size", -1),
        ("file_size", 2**63),
        ("version", 2**53),
        ("phase", PHASES),
        ("attempt", -1),
        ("attempt", ATTEMPTS),
        ("sop_uid", "1" * 65),
        ("patient_id", "\u674e" * 65),
        ("target_ts", "1" * 65),
        ("study_date", "2026-01-011"),
        ("file_name", "a" * 256),
        ("file_path", "a" * 513),
    ],
)
def test_a_value_that_no_column_could_hold_is_no_event(field, value):
    with pytest.raises(UnreadableEventError, match=field):
        decode_event(encode(an_event(**{field: value})))


def test_the_longest_texts_are_those_of_the_columns():
    longest = lengths(STORAGE_RECORD_COLUMNS)
    told = {
        field.name: limit.max_length
        for field in msgspec.structs.fields(Event)
        for kind in (*get_args(field.type), field.type)
        for limit in getattr(kind, "__metadata__", ())
        if isinstance(limit, msgspec.Meta) and limit.max_length
    }
    common = told.keys() & longest.keys()
    assert len(common) > 15
    assert {name: told[name] for name in common} == {name: longest[name] for name in common}


def test_a_message_nested_too_deep_is_no_event():
    deep = b"[" * 200_000 + b"]" * 200_000
    with pytest.raises(UnreadableEventError):
        decode_event(b'{"unknown":' + deep + b"}")
