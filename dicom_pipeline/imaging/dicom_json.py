"""A data set in the DICOM JSON Model (PS3.18 Annex F)."""

import base64
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from dicom_pipeline.imaging.findings import attribute_name
from dicom_pipeline.imaging.text import person_name
from dicom_pipeline.imaging.values import BINARY_VRS, DataSet, Scalar, Value

JSON_LIMIT: Final = 4 << 20
"""Most bytes of one object's JSON."""

_DECIMAL: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_INT64: Final = range(-(2**63), 2**63)
_LEFT_OUT_GROUPS: Final = frozenset({0x0000, 0x0002, 0xFFFE})


def dicom_json(dataset: DataSet) -> str:
    """All attributes of `dataset` that it keeps, as JSON text, ordered by tag.

    Group lengths and the groups 0000 and 0002 are no part of the model. What `DataSet.value` leaves
    out (bulk data, long values) is left out here. Of an object with more than `JSON_LIMIT` the
    largest sequences are left out, and if that is not enough the largest other attributes, each
    with a finding.
    """
    attributes = _attributes(dataset)
    encoded = msgspec.json.encode(attributes)
    if len(encoded) > JSON_LIMIT:
        for tag in _too_much(attributes, len(encoded)):
            del attributes[tag]
            dataset.findings.add(
                attribute_name(int(tag, 16)), f"tags of more than {JSON_LIMIT} bytes, left out"
            )
        encoded = msgspec.json.encode(attributes)
    return encoded.decode("utf-8")


def _too_much(attributes: Mapping[str, Mapping[str, object]], size: int) -> Iterator[str]:
    """The tags to leave out of JSON of ``size`` bytes, until it fits."""
    sizes = {tag: len(msgspec.json.encode({tag: one})) - 1 for tag, one in attributes.items()}
    largest_first = sorted(
        attributes, key=lambda tag: (attributes[tag]["vr"] != "SQ", -sizes[tag], tag)
    )
    for tag in largest_first:
        if size <= JSON_LIMIT:
            return
        size -= sizes[tag]
        yield tag


def _attributes(dataset: DataSet) -> dict[str, dict[str, object]]:
    attributes: dict[str, dict[str, object]] = {}
    for tag in sorted(dataset.elements):
        if tag & 0xFFFF == 0 or tag >> 16 in _LEFT_OUT_GROUPS:
            continue
        value = dataset.value(tag)
        if value is not None:
            attributes[f"{tag:08X}"] = _attribute(dataset, tag, value)
    return attributes


def _attribute(dataset: DataSet, tag: int, value: Value) -> dict[str, object]:
    if value.vr in BINARY_VRS:
        if not value.binary:
            return {"vr": value.vr}
        return {"vr": value.vr, "InlineBinary": base64.b64encode(value.binary).decode("ascii")}
    if value.vr == "SQ":
        if not value.items:
            return {"vr": "SQ"}
        return {"vr": "SQ", "Value": [_attributes(item) for item in value.items]}
    if not value.values:
        return {"vr": value.vr}
    convert = _CONVERSIONS.get(value.vr)
    if convert is None:
        return {"vr": value.vr, "Value": [None if one == "" else one for one in value.values]}
    converted = [None if one == "" else convert(one) for one in value.values]
    if value.vr in {"FL", "FD"} and None in converted:
        dataset.findings.add(attribute_name(tag), "a number is not finite")
    return {"vr": value.vr, "Value": converted}


def _name(value: Scalar) -> dict[str, str]:
    name = person_name(str(value))
    groups = {
        "Alphabetic": name.alphabetic,
        "Ideographic": name.ideographic,
        "Phonetic": name.phonetic,
    }
    return {key: group for key, group in groups.items() if group}


def _decimal(value: Scalar) -> Scalar:
    """A number where the text is one; else the text, which F.2.3 allows for DS."""
    text = str(value)
    number = float(text) if _DECIMAL.fullmatch(text) else math.inf
    return number if math.isfinite(number) else text


def _integer(value: Scalar) -> Scalar:
    """A number of 64 bits where the value is one; else its text, which F.2.3 allows."""
    text = str(value)
    if _INTEGER.fullmatch(text) and (number := int(text)) in _INT64:
        return number
    return text


def _finite(value: Scalar) -> Scalar | None:
    return value if math.isfinite(float(value)) else None


_CONVERSIONS: Final[dict[str, Callable[[Scalar], object]]] = {
    "PN": _name,
    "DS": _decimal,
    "IS": _integer,
    "SV": _integer,
    "UV": _integer,
    "FL": _finite,
    "FD": _finite,
}
