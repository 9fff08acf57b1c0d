"""An encoded object whose UIDs are replaced in place, so that a sender encodes nothing.

Only the standard library: the load generator starts in milliseconds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = "1.2.826.0.1.3680043.8.498"
OBJECTS_PER_SERIES: Final = 100

UIDS: Final = ("study", "series", "instance")


def uids(association: int, number: int) -> dict[str, bytes]:
    """Study, series and instance UID of an association's object; each kind has one length."""
    study = f"{ROOT}.1{association:05d}"
    series = f"{study}.1{number // OBJECTS_PER_SERIES:05d}"
    instance = f"{study}.2{number:09d}.1"
    return {
        "study": _even(study),
        "series": _even(series),
        "instance": _even(instance),
    }


def _even(uid: str) -> bytes:
    value = uid.encode("ascii")
    return value + b"\0" * (len(value) % 2)


@dataclass(frozen=True)
class Template:
    """A data set in Explicit VR Little Endian with the UIDs of association 0's object 0."""

    name: str
    sop_class_uid: str
    data_set: bytes
    """What a C-STORE sends."""
    head: bytes
    """What stands before it in a Part 10 file."""

    def offsets(self, content: bytes) -> dict[str, list[int]]:
        """Where the UIDs stand in ``content``."""
        return find(content, uids(0, 0))

    def save(self, folder: Path) -> Path:
        """Write it for generator processes; returns the file that `load` takes."""
        path = folder / f"{self.name}.json"
        (folder / f"{self.name}.head").write_bytes(self.head)
        (folder / f"{self.name}.data").write_bytes(self.data_set)
        path.write_text(json.dumps({"name": self.name, "sop_class_uid": self.sop_class_uid}))
        return path

    @classmethod
    def load(cls, path: Path) -> "Template":
        """Read what `save` has written."""
        return cls(
            **json.loads(path.read_text()),
            data_set=path.with_suffix(".data").read_bytes(),
            head=path.with_suffix(".head").read_bytes(),
        )


def find(content: bytes, values: Mapping[str, bytes]) -> dict[str, list[int]]:
    """Every place of each value. The longest first: a study's UID begins the others."""
    taken: set[int] = set()
    found: dict[str, list[int]] = {}
    for name, value in sorted(values.items(), key=lambda item: -len(item[1])):
        places, start = [], content.find(value)
        while start >= 0:
            if start not in taken:
                places.append(start)
                taken.add(start)
            start = content.find(value, start + 1)
        found[name] = places
    return found


def patch(buffer: bytearray, offsets: Mapping[str, list[int]], values: Mapping[str, bytes]) -> None:
    """Replace the UIDs in place."""
    for name, places in offsets.items():
        value = values[name]
        for place in places:
            buffer[place : place + len(value)] = value
