"""What the receiver answers to a C-STORE: status codes and their Error Comments, as one table."""

from enum import Enum
from typing import Final

COMMENT_LENGTH: Final = 64
"""ErrorComment (0000,0902) is an LO (PS3.7 E.1)."""


class Status(Enum):
    """A status code (PS3.4 B.2.3, PS3.7 annex C) and its Error Comment: ASCII, no patient data."""

    SUCCESS = (0x0000, "")
    INVALID_INSTANCE = (0x0117, "SOPInstanceUID is not a valid UID")
    CLASS_NOT_SUPPORTED = (0x0122, "SOP class was not negotiated for this context")
    NOT_AUTHORISED = (0x0124, "Sender is not in the file of peers")
    OUT_OF_RESOURCES = (0xA700, "Storage or outbox is full or away: send again later")
    CLASS_MISMATCH = (0xA900, "SOPClassUID differs from the command's")
    INSTANCE_MISMATCH = (0xA901, "SOPInstanceUID differs from the command's")
    UNREADABLE = (0xC000, "Data set cannot be parsed up to its UIDs")
    NO_SOP_CLASS = (0xC001, "SOPClassUID is missing")
    NO_SOP_INSTANCE = (0xC002, "SOPInstanceUID is missing")
    NO_STUDY = (0xC003, "StudyInstanceUID is missing")
    NO_SERIES = (0xC004, "SeriesInstanceUID is missing")
    INVALID_STUDY = (0xC005, "StudyInstanceUID is not a valid UID")
    INVALID_SERIES = (0xC006, "SeriesInstanceUID is not a valid UID")
    INTERNAL = (0xC0FF, "Internal error: see the receiver's log")

    def __init__(self, code: int, comment: str) -> None:
        """Keep both at hand: ``value`` takes several times as long.

        Args:
            code: the 16 bits of Status (0000,0900).
            comment: at most `COMMENT_LENGTH` ASCII characters; empty for success.
        """
        self.code = code
        self.comment = comment
