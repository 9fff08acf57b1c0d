"""Bounding a range by the bytes of its objects, so that a run's work has a limit."""

from collections.abc import Callable

import msgspec

from dicom_pipeline.event_log import EventLog
from dicom_pipeline.messages import OffsetRange


class _Size(msgspec.Struct):
    """The one field of an event that counts here."""

    file_size: int = 0


_decoder = msgspec.json.Decoder(_Size)


def cut_by_bytes(log: EventLog, limit: int) -> Callable[[OffsetRange], int]:
    """A function that gives the end of a range at which its objects reach ``limit`` bytes.

    At least one message stays in the range, however large its object is.
    """

    def end(offsets: OffsetRange) -> int:
        total = 0
        for record in log.read(offsets):
            total += _file_size(record.value)
            if total > limit and record.offset > offsets.start:
                return record.offset
        return offsets.end

    return end


def _file_size(value: bytes) -> int:
    try:
        return _decoder.decode(value).file_size
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0  # the stage will make a dead letter of it
