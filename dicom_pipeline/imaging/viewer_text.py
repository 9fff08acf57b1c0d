"""The character sets with which Cornerstone3D opens an object; it refuses one with another.

Its parser, dcmjs, asks for the first value of SpecificCharacterSet only.
"""

from typing import Final

from pydicom.dataset import Dataset

_NUMBERED: Final = ("6", "13", "100", "101", "109", "110", "126", "127", "138", "144", "148", "166")
_KNOWN: Final = frozenset(
    {
        "",
        "gb18030",
        "gbk",
        "iso-2022-58",
        "iso-2022-gbk",
        "iso-ir-192",
        *(f"iso-ir-{number}" for number in _NUMBERED),
        *(f"iso-2022-ir-{number}" for number in (*_NUMBERED, "58", "87", "149", "159")),
    }
)


def viewer_knows_text(dataset: Dataset) -> bool:
    """Whether the viewer opens an object with this SpecificCharacterSet."""
    if "SpecificCharacterSet" not in dataset:
        return True
    value = dataset.get_item("SpecificCharacterSet").value
    if isinstance(value, bytes):
        first = value.split(b"\\")[0].decode("ascii", "replace")
    else:
        first = value if isinstance(value, str) else next(iter(value or ()), "")
    return first.strip(" \0").replace("_", "-").replace(" ", "-").lower() in _KNOWN


def leave_unknown_text(copy: Dataset) -> None:
    """Take away a SpecificCharacterSet for which the viewer would refuse a display copy."""
    if not viewer_knows_text(copy):
        del copy.SpecificCharacterSet
