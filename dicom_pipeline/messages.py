"""The event on the wire, the names of the queues, and the range of offsets that a run works on."""

import hashlib
from functools import lru_cache
from typing import Annotated, Final

import msgspec

from dicom_pipeline.errors import PermanentError

SCHEMA: Final = 1

STORAGE_QUEUE: Final = "storage_queue"
INDEX_QUEUE: Final = "index_queue"
TRANSCODE_QUEUE: Final = "transcode_queue"
LOG_QUEUE: Final = "log_queue"
DEAD_LETTER_QUEUE: Final = "dead_letter_queue"

FAN_OUT: Final = (STORAGE_QUEUE, INDEX_QUEUE, TRANSCODE_QUEUE, LOG_QUEUE)
"""Every new object's event goes to each of these."""

ALL_QUEUES: Final = (*FAN_OUT, DEAD_LETTER_QUEUE)

PHASES: Final = 1024
"""``row_version = version * PHASES + phase``: room for the stages' later words on a receipt."""

ATTEMPTS: Final = (PHASES - 1) // 2
"""Attempts at one receipt: each has two phases, see `phase_of`."""


EVENT_BYTES_MAX: Final = 1 << 20
"""A longer message is no event of a receiver's, which has a few KB: a stage would publish it again,
and no event log has to take such messages."""

BigInt = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What a BIGINT column holds."""
Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Version = Annotated[int, msgspec.Meta(ge=0, lt=2**63 // PHASES)]
Phase = Annotated[int, msgspec.Meta(ge=0, lt=PHASES)]
Attempt = Annotated[int, msgspec.Meta(ge=0, lt=ATTEMPTS)]
Short = Annotated[str, msgspec.Meta(max_length=64)]
"""A UID, an AE title, an identifier: no receiver lets a longer one in, no column holds one."""
Time = Annotated[str, msgspec.Meta(max_length=32)]
Date = Annotated[str, msgspec.Meta(max_length=10)]
FileName = Annotated[str, msgspec.Meta(max_length=255)]
FilePath = Annotated[str, msgspec.Meta(max_length=512)]


class TransferStatus:
    """What ``transfer_status`` says (the words of the original system's table)."""

    PENDING: Final = "Pending"
    NO_NEED: Final = "NoNeedTransfer"
    SUCCESS: Final = "Success"
    FAILED: Final = "Failed"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One receipt of one object. The same schema goes to every queue, as JSON in UTF-8.

    The first twenty fields are the columns of ``dicom_object_meta``, in their order.
    """

    trace_id: Short
    """UUIDv7 of the receipt."""
    worker_node_id: Short
    """The receiver process that took the object."""
    tenant_id: Short
    patient_id: Short
    study_uid: Short
    series_uid: Short
    sop_uid: Short
    file_size: Natural
    """Bytes of the whole Part 10 file."""
    file_path: FilePath
    """Relative to the storage root, with forward slashes."""
    transfer_syntax_uid: Short
    number_of_frames: BigInt | None
    created_time: Time
    """When the object was received: UTC, ISO 8601 with microseconds."""
    series_uid_hash: BigInt
    study_uid_hash: BigInt
    accession_number: Short
    target_ts: Short | None
    """Transfer syntax of the rendition, once it is decided."""
    study_date: Date | None
    """``YYYY-MM-DD``; None when the object has no valid StudyDate."""
    transfer_status: Short
    """One of `TransferStatus`."""
    source_ip: Short
    source_ae: Short

    version: Version
    """µs since the epoch from the receiver's hybrid logical clock."""
    phase: Phase = 0
    """0 for the receipt itself; for a stage's later word see `phase_of`."""
    attempt: Attempt = 0
    """0 as received; greater when the event is published again for another conversion."""
    digest: Short
    """SHA-256 (hex) of the transfer syntax UID and the data set bytes, without group 0002."""
    file_name: FileName
    sop_class_uid: Short
    duplicate_of: Short | None = None
    """Trace id of the receipt that stored these very bytes before."""
    character_set: tuple[str, ...] = ()
    """Defined Terms that replace the object's SpecificCharacterSet, by the sender's peer."""
    findings: tuple[str, ...] = ()
    """What was odd about the object, e.g. ``SOPInstanceUID: component with a leading zero``."""
    schema: int = SCHEMA

    @property
    def row_version(self) -> int:
        """What rows are ordered by: a smaller one never overwrites a greater one."""
        return row_version(self.version, self.phase)

    @property
    def key(self) -> str:
        """The message key: all events of one object of one tenant keep their order."""
        return f"{self.tenant_id}/{self.sop_uid}"

    def topics(self) -> tuple[str, ...]:
        """Where this receipt goes: a duplicate is only logged."""
        return (LOG_QUEUE,) if self.duplicate_of else FAN_OUT


def phase_of(attempt: int, *, tentative: bool) -> int:
    """The phase of a stage's word on a receipt; phase 0 is the receipt itself.

    Within an attempt, what was found out in full outweighs a ``tentative`` word: one that a replay
    may find untrue because it was owed to circumstances, such as a time limit on a busy machine.
    """
    if not 0 <= attempt < ATTEMPTS:
        raise ValueError(f"attempt {attempt} is outside 0..{ATTEMPTS - 1}")
    return 2 * attempt + (1 if tentative else 2)


def row_version(version: int, phase: int) -> int:
    """The order of rows: by receipt, then by the stages' words about it."""
    if not 0 <= phase < PHASES:
        raise ValueError(f"phase {phase} is outside 0..{PHASES - 1}")
    return version * PHASES + phase


@lru_cache(maxsize=4096)
def uid_hash(uid: str) -> int:
    """First 8 bytes of the SHA-256 of a UID, big-endian, signed: fits a BIGINT."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8], "big", signed=True)


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a stage could not process, or that a queue did not take, and why."""

    topic: str
    partition: int
    """-1 when the queue did not take it; ``offset`` likewise."""
    offset: int
    code: str
    """Stable: ``unreadable_event``, ``file_missing``, ``refused_event`` or ``refused_row``."""
    reason: str
    value: bytes
    """The message as it was (base64 in the JSON), of a longer one the first `EVENT_BYTES_MAX`."""
    trace_id: str | None = None
    schema: int = SCHEMA


class UnreadableEventError(PermanentError):
    """A message is not an `Event` of a schema that this version knows."""


_event_decoder = msgspec.json.Decoder(Event)
_dead_letter_decoder = msgspec.json.Decoder(DeadLetter)
_encoder = msgspec.json.Encoder()


def encode(message: Event | DeadLetter) -> bytes:
    """The JSON of a message."""
    return _encoder.encode(message)


def decode_event(value: bytes) -> Event:
    """The event in ``value``.

    Raises:
        UnreadableEventError: the JSON is broken, a field is missing or of another type, the
            schema number is unknown, or the message is longer than `EVENT_BYTES_MAX`.
    """
    if len(value) > EVENT_BYTES_MAX:
        raise UnreadableEventError(
            f"not an event: {len(value)} bytes, of which {EVENT_BYTES_MAX} are kept here"
        )
    try:
        event = _event_decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableEventError(f"not an event: {error}") from error
    if event.schema != SCHEMA:
        raise UnreadableEventError(
            f"event schema {event.schema} is unknown to this version, which reads {SCHEMA}: "
            "upgrade the stages before the receivers"
        )
    return event


def decode_dead_letter(value: bytes) -> DeadLetter:
    """The dead letter in ``value`` (written by this package only)."""
    return _dead_letter_decoder.decode(value)


class OffsetRange(msgspec.Struct, frozen=True, order=True):
    """The half-open range ``[start, end)`` of one partition of one topic: what a run works on."""

    topic: str
    topic_id: str
    """Changes when a topic is deleted and created again, so that old offsets are not reused."""
    partition: int
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.start}-{self.end}"

    def run_key(self, attempt: int) -> str:
        """Identifies one attempt at this range among all runs."""
        return f"{self.topic_id}:{self.partition}:{self.start}-{self.end}#{attempt}"
