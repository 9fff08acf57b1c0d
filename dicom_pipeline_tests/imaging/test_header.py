"""A file is read as far as it goes, without believing the lengths it declares."""

import contextlib
import pickle
import struct
import tracemalloc
import zlib
from pathlib import Path

import msgspec
import pydicom
import pydicom.data
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from dicom_pipeline.errors import PermanentError
from dicom_pipeline.imaging import header
from dicom_pipeline.imaging.tags import UnreadableHeaderError, read_tags
from dicom_pipeline_tests.imaging.encoded import (
    DEFLATED,
    IDENTIFIERS,
    IMPLICIT,
    element,
    implicit,
    item,
    part_10,
    write,
)

BUNDLED = Path(pydicom.data.__file__).parent


def tags(record):
    return msgspec.json.decode(record.tags)


def test_a_sequence_of_more_than_64_kb_is_read(tmp_path):
    code = item(element("CodeValue", "SH", b"x" * 16))
    path = write(tmp_path, element("ProcedureCodeSequence", "SQ", code * 4_000))
    assert len(tags(read_tags(path))["00081032"]["Value"]) == 4_000


def test_pixel_data_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "object.dcm"
    head = part_10(b"".join(IDENTIFIERS) + element("PixelData", "OW", b"", length=2**31))
    with path.open("wb") as file:
        file.write(head)
        file.truncate(2**31 + len(head))  # sparse: reading it would show
    record = read_tags(path)
    assert record.image["sop_uid"] == "1.2.3"
    assert not record.findings


@pytest.mark.parametrize(
    "pixels",
    [
        element("PixelData", "OW", bytes(1000)),
        element("PixelData", "OB", b"", length=0xFFFFFFFF)
        + struct.pack("<HHL", 0xFFFE, 0xE000, 0)
        + struct.pack("<HHL", 0xFFFE, 0xE000, 1000)
        + bytes(1000)
        + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0),
    ],
    ids=["native", "encapsulated"],
)
def test_digital_signatures_behind_the_pixel_data_are_read(tmp_path, pixels):
    signatures = element(0xFFFAFFFA, "SQ", item(element("MACIDNumber", "US", b"\1\0")))
    path = tmp_path / "object.dcm"
    path.write_bytes(part_10(b"".join(IDENTIFIERS) + pixels + signatures))
    record = read_tags(path)
    assert tags(record)["FFFAFFFA"]["Value"] == [{"04000005": {"vr": "US", "Value": [1]}}]
    assert not record.findings


def test_a_sequence_under_un_is_little_endian_in_a_big_endian_file_too():
    value = item(implicit("CodeValue", b"CT1 "))
    raw = RawDataElement(BaseTag(0x00081032), "UN", len(value), value, 0, False, False)
    ((tag, code),) = header.read_items(raw)[0].items()
    assert (tag, code.value) == (0x00080100, b"CT1 ")


def test_a_transfer_syntax_without_a_value_is_missing(tmp_path):
    path = tmp_path / "object.dcm"
    length = element("FileMetaInformationGroupLength", "UL", struct.pack("<L", 8))
    empty = element("TransferSyntaxUID", "UI", b"").replace(b"UI", b"ZZ")
    path.write_bytes(bytes(128) + b"DICM" + length + empty + b"".join(IDENTIFIERS))
    record = read_tags(path)
    assert record.image["sop_uid"] == "1.2.3"
    assert record.findings == ("TransferSyntaxUID: missing",)


@pytest.mark.parametrize("group", [b"\x02\x00", b"\x00\x00"])
def test_a_damaged_leading_group_is_no_reason_to_give_up(tmp_path, group):
    path = tmp_path / "object.dcm"
    damaged = group + b"\x03\x00UN\0\0\xff\xff\xff\xff"
    path.write_bytes(bytes(128) + b"DICM" + damaged + b"".join(IDENTIFIERS))
    with pytest.raises(UnreadableHeaderError, match="no data set"):
        read_tags(path)


def deflated(dataset: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return part_10(compressor.compress(dataset) + compressor.flush(), DEFLATED)


def test_a_deflated_data_set_is_read(tmp_path):
    path = tmp_path / "object.dcm"
    path.write_bytes(deflated(b"".join(IDENTIFIERS) + element("PatientID", "LO", b"1")))
    record = read_tags(path)
    assert record.patient["patient_id"] == "1"
    assert record.image["transfer_syntax_uid"] == DEFLATED
    assert not record.findings


def test_a_deflated_data_set_is_inflated_no_further_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(header, "INFLATED_LIMIT", 1000)
    path = tmp_path / "object.dcm"
    bomb = element("PatientComments", "UT", bytes(10_000_000))
    path.write_bytes(deflated(b"".join(IDENTIFIERS) + bomb))
    record = read_tags(path)
    assert record.image["sop_uid"] == "1.2.3"
    assert "header: the data set inflates beyond 1000 bytes, rest not read" in record.findings


@pytest.mark.parametrize("damage", [slice(0, -20), slice(0, -4)])
def test_a_damaged_deflated_data_set_is_read_as_far_as_it_goes(tmp_path, damage):
    path = tmp_path / "object.dcm"
    noise = bytes(number * 7919 % 251 for number in range(2_000))
    path.write_bytes(
        deflated(b"".join(IDENTIFIERS) + element("ImageComments", "LT", noise))[damage]
    )
    record = read_tags(path)
    assert record.image["sop_uid"] == "1.2.3"
    assert "header: the deflated data set is cut off, read as far as it goes" in record.findings


def test_what_stands_before_a_declared_length_of_3_gb_is_kept(tmp_path):
    path = write(tmp_path, element("ImageComments", "UT", b"x" * 100_000, length=3 * 2**30))
    record = read_tags(path)
    assert record.image["sop_uid"] == "1.2.3"
    assert record.findings == ("ImageComments: more than 65536 bytes, left out",)


@pytest.mark.parametrize(
    "liar",
    [
        implicit("SpecificCharacterSet", b"ISO_IR 100", length=3 * 2**30),
        implicit("ImageComments", b"x", length=3 * 2**30),
        implicit("ProcedureCodeSequence", item(), length=3 * 2**30),
        implicit("ProcedureCodeSequence", b"", length=0xFFFFFFFF)
        + item(implicit("CodeValue", b"x", length=3 * 2**30)),
        implicit("ProcedureCodeSequence", item(implicit("CodeValue", b"x", length=3 * 2**30))),
    ],
)
def test_a_declared_length_of_3_gb_is_never_allocated(tmp_path, liar):
    path = tmp_path / "object.dcm"
    path.write_bytes(part_10(implicit("SOPInstanceUID", b"1.2.3\0") + liar, IMPLICIT))
    tracemalloc.start()
    try:
        record = read_tags(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    assert record.image["sop_uid"] == "1.2.3"
    assert [finding for finding in record.findings if "missing" not in finding]


def test_a_value_cut_off_by_the_end_of_the_file_is_left_out(tmp_path):
    path = write(tmp_path, element("ImageComments", "LT", b"xxxx", length=400))
    record = read_tags(path)
    assert record.image["image_comments"] is None
    assert record.findings == ("ImageComments: cut off by the end of the data, left out",)


def test_a_character_set_with_a_nul_inside_costs_nothing_but_a_finding(tmp_path):
    path = write(
        tmp_path,
        element("SpecificCharacterSet", "CS", b"\\ISO 2022 IR 58\0\\x"),
        element("PatientName", "PN", b"\x1b$)A\xcd\xf5"),
    )
    record = read_tags(path)
    assert record.patient["patient_name_alphabetic"] == "王"
    assert record.findings == (
        "SpecificCharacterSet: NUL inside the value",
        "SpecificCharacterSet: not a Defined Term of PS3.3 C.12.1.1.2",
    )


def nested(depth: int, *, is_undefined: bool) -> bytes:
    if is_undefined:
        start = element("ProcedureCodeSequence", "SQ", b"", length=0xFFFFFFFF)
        return (start + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)) * depth
    content = b""
    for _ in range(depth):
        content = element("ProcedureCodeSequence", "SQ", item(content))
    return content


def test_100_000_nested_sequences_of_undefined_length_are_an_error(tmp_path):
    path = tmp_path / "object.dcm"
    path.write_bytes(part_10(b"".join(IDENTIFIERS[:2]) + nested(100_000, is_undefined=True)))
    with pytest.raises(UnreadableHeaderError, match="nests sequences too deeply"):
        read_tags(path)


def test_nested_sequences_of_defined_length_are_read_to_a_limit(tmp_path):
    record = read_tags(write(tmp_path, nested(1_000, is_undefined=False)))
    assert record.findings == ("ProcedureCodeSequence: nested deeper than 64 sequences, left out",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty or not a DICOM file"),
        (b"hello", "not a DICOM file"),
        (b"%PDF-1.7\n" * 100, "not a DICOM file"),
        (bytes(1000), "not a DICOM file"),
        (bytes(128) + b"DICM", "no data set"),
        (part_10(b""), "no data set"),
        (part_10(b"not deflated", DEFLATED), "no data set"),
    ],
)
def test_what_is_not_a_dicom_object_is_an_error(tmp_path, content, reason):
    path = tmp_path / "object.dcm"
    path.write_bytes(content)
    with pytest.raises(UnreadableHeaderError, match=reason) as error:
        read_tags(path)
    assert isinstance(error.value, PermanentError)
    assert pickle.loads(pickle.dumps(error.value)).args == error.value.args


@pytest.mark.parametrize("name", ["CT_small.dcm", "reportsi.dcm", "MR_small_bigendian.dcm"])
def test_a_file_cut_off_anywhere_gives_a_record_or_a_reason(tmp_path, name):
    content = (BUNDLED / "test_files" / name).read_bytes()[:6_000]
    path = tmp_path / "object.dcm"
    for length in range(0, len(content), 61):
        path.write_bytes(content[:length])
        try:
            read_tags(path)
        except UnreadableHeaderError:
            assert length < 600


@pytest.mark.parametrize("name", ["test-SR.dcm", "priv_SQ.dcm", "MR_small.dcm", "rtplan.dcm"])
def test_a_file_with_any_byte_changed_gives_a_record_or_a_reason(tmp_path, name):
    content = bytearray((BUNDLED / "test_files" / name).read_bytes()[:4_000])
    path = tmp_path / "object.dcm"
    for position in range(0, len(content), 41):
        was, content[position] = content[position], 0xFF
        path.write_bytes(content)
        content[position] = was
        try:
            read_tags(path)
        except UnreadableHeaderError:
            assert position < 400


def test_a_deflated_file_with_any_byte_changed_gives_a_record_or_a_reason(tmp_path):
    content = bytearray((BUNDLED / "test_files" / "image_dfl.dcm").read_bytes())
    path = tmp_path / "object.dcm"
    for position in range(0, 2_000, 41):
        was, content[position] = content[position], 0xFF
        path.write_bytes(content)
        content[position] = was
        with contextlib.suppress(UnreadableHeaderError):
            read_tags(path)
