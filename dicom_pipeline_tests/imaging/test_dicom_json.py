"""The JSON of a data set is that of PS3.18 Annex F."""

import struct
from pathlib import Path

import msgspec
import pydicom
import pydicom.data
import pytest

from dicom_pipeline.imaging.dicom_json import JSON_LIMIT
from dicom_pipeline.imaging.tags import read_tags
from dicom_pipeline_tests.imaging.encoded import element, item, write

FILES = Path(pydicom.data.__file__).parent / "test_files"


def normalised(attributes):
    """Without what we leave out or trim on purpose: bulk data, and padding pydicom keeps."""
    result = {}
    for tag, attribute in attributes.items():
        vr, values = attribute["vr"], attribute.get("Value", [])
        if tag.endswith("0000") or "InlineBinary" in attribute or vr in {"OB", "OW", "UN"}:
            continue
        if vr == "SQ":
            result[tag] = [normalised(one) for one in values]
        elif vr == "PN":
            names = [{k: v.rstrip("^ ") for k, v in (one or {}).items()} for one in values]
            result[tag] = [
                {k: v for k, v in one.items() if v} for one in names if any(one.values())
            ]
        else:
            stripped = [one.strip(" \0") if isinstance(one, str) else one for one in values]
            result[tag] = [] if stripped in ([""], [None]) else [one or None for one in stripped]
    return result


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "693_J2KI.dcm",
        "rtplan.dcm",
        "rtdose.dcm",
        "reportsi.dcm",
        "test-SR.dcm",
        "liver_1frame.dcm",
        "examples_palette.dcm",
        "UN_sequence.dcm",
        "nested_priv_SQ.dcm",
        "image_dfl.dcm",
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # of pydicom's own file
def test_the_json_agrees_with_pydicoms(name):
    dataset = pydicom.dcmread(FILES / name, stop_before_pixels=True)
    expected = dataset.to_json_dict(bulk_data_threshold=10**9)
    found = msgspec.json.decode(read_tags(FILES / name).tags)
    assert normalised(found) == normalised(expected)


def a_sequence(keyword, texts):
    items = b"".join(item(element("CodeMeaning", "LO", b"x" * 64)) for _ in range(texts))
    return element(keyword, "SQ", items)


def test_tags_beyond_the_limit_leave_out_their_largest_sequences(tmp_path):
    path = write(
        tmp_path,
        a_sequence("ProcedureCodeSequence", 10),
        a_sequence("ReferencedImageSequence", 30_000),
        a_sequence("SourceImageSequence", 20_000),
        element("PatientID", "LO", b"P1"),
    )
    record = read_tags(path)
    assert record == read_tags(path)
    found = msgspec.json.decode(record.tags)
    assert "00081140" not in found  # the largest; without it the rest fits
    assert {"00082112", "00081032", "00100020"} <= found.keys()
    (finding,) = [one for one in record.findings if "left out" in one]
    assert finding == f"ReferencedImageSequence: tags of more than {JSON_LIMIT} bytes, left out"


def test_tags_never_exceed_the_limit_even_without_sequences(tmp_path):
    creator = element(0x00990010, "LO", b"LARGE")
    texts = [element(0x00991000 + n, "UT", b"x" * 60_000) for n in range(100)]
    record = read_tags(write(tmp_path, creator, *texts))
    found = msgspec.json.decode(record.tags)
    assert JSON_LIMIT - 60_100 < len(record.tags.encode()) <= JSON_LIMIT
    assert "0020000D" in found
    assert "00991063" in found  # of equal ones the first are left out


def json_of(folder, *elements):
    return msgspec.json.decode(read_tags(write(folder, *elements)).tags)


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "expected"),
    [
        ("WindowCenter", "DS", b"40\\-1.5 ", [40.0, -1.5]),
        ("WindowCenter", "DS", b"40\\\\x", [40.0, None, "x"]),
        ("WindowCenter", "DS", b"1e999", ["1e999"]),
        ("SeriesNumber", "IS", b" 7", [7]),
        ("SeriesNumber", "IS", b"7.5", ["7.5"]),
        ("SeriesNumber", "IS", b"9223372036854775808", ["9223372036854775808"]),
        ("Rows", "US", struct.pack("<H", 65535), [65535]),
        ("FrameIncrementPointer", "AT", struct.pack("<HH", 0x18, 0x1063), ["00181063"]),
        ("RealWorldValueSlope", "FD", struct.pack("<d", 0.1), [0.1]),
        ("RealWorldValueSlope", "FD", struct.pack("<d", float("nan")), [None]),
        ("FileOffsetInContainer", "UV", struct.pack("<Q", 2**64 - 1), [str(2**64 - 1)]),
        ("ImageType", "CS", b"A\\\\B", ["A", None, "B"]),
        ("ImageComments", "LT", b" a\\b\r\n ", [" a\\b\r\n"]),
        (
            "OperatorsName",
            "PN",
            b"A^B^^=C= \\\\=D",
            [{"Alphabetic": "A^B", "Ideographic": "C"}, None, {"Ideographic": "D"}],
        ),
    ],
)
def test_values(tmp_path, keyword, vr, value, expected):
    attributes = json_of(tmp_path, element(keyword, vr, value))
    tag = f"{pydicom.datadict.tag_for_keyword(keyword):08X}"
    assert attributes[tag] == {"vr": vr, "Value": expected}


@pytest.mark.parametrize("vr", ["LO", "PN", "DS", "OB", "SQ", "US"])
def test_an_empty_attribute_has_a_vr_and_no_value(tmp_path, vr):
    assert json_of(tmp_path, element(0x00091001, vr, b""))["00091001"] == {"vr": vr}


def test_attributes_are_in_the_order_of_their_tags_without_group_lengths(tmp_path):
    group_length = element(0x00080000, "UL", struct.pack("<L", 4))
    attributes = json_of(tmp_path, element("Rows", "US", b"\1\0"), group_length)
    assert list(attributes) == sorted(attributes)
    assert "00080000" not in attributes
