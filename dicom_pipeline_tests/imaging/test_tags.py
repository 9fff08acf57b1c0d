"""One file gives one record, whatever the file is, or an error that says why not."""

import pickle
import struct
from pathlib import Path

import msgspec
import pydicom
import pydicom.data
import pytest

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.imaging.tag_columns import IMAGE, PATIENT, SERIES, STUDY
from dicom_pipeline.imaging.tags import TagRecord, UnreadableHeaderError, read_tags
from dicom_pipeline_tests.imaging.encoded import (
    EXPLICIT,
    IMPLICIT,
    element,
    implicit,
    item,
    part_10,
    write,
)

BUNDLED = Path(pydicom.data.__file__).parent
BUNDLED_FILES = sorted(
    path
    for folder in ("test_files", "charset_files", "palettes")
    for path in (BUNDLED / folder).rglob("*")
    if path.is_file()
)

WANG = "Wang^XiaoDong=王^小东="


def rows(record: TagRecord):
    return record.patient, record.study, record.series, record.image


def tags(record: TagRecord):
    return msgspec.json.decode(record.tags)


def test_every_file_that_pydicom_bundles_gives_a_whole_record_or_a_reason():
    assert len(BUNDLED_FILES) > 150
    unreadable = set()
    for path in BUNDLED_FILES:
        try:
            record = read_tags(path)
        except UnreadableHeaderError:
            unreadable.add(path.name)
            continue
        assert pickle.loads(pickle.dumps(record)) == record == read_tags(path)
        for row, columns in zip(rows(record), (PATIENT, STUDY, SERIES, IMAGE), strict=True):
            assert list(row) == [column.name for column in columns]
        assert isinstance(tags(record), dict)
    assert {name for name in unreadable if name.endswith(".dcm")} == {"no_meta.dcm"}


def test_the_columns_of_a_ct_image():
    record = read_tags(BUNDLED / "test_files" / "CT_small.dcm")
    assert record.patient["patient_name_alphabetic"] == "CompressedSamples^CT1"
    assert record.patient["patient_id"] == record.image["patient_id"] == "1CT1"
    assert record.study["study_date"] == "2004-01-19"
    assert record.study["study_time"] == "07:27:30.000000"
    assert record.study["patient_weight"] == 0.0
    assert record.series["modality"] == "CT"
    assert record.series["series_number"] == 1
    assert record.image["transfer_syntax_uid"] == EXPLICIT
    assert record.image["image_type"] == "ORIGINAL\\PRIMARY\\AXIAL"
    assert record.image["pixel_spacing"] == "0.661468\\0.661468"
    assert record.image["rescale_intercept"] == -1024.0
    assert record.image["image_rows"] == 128
    assert record.image["number_of_frames"] is None
    assert "7FE00010" not in tags(record)
    assert "00020010" not in tags(record)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_RLE.dcm",
        "MR_small_expb.dcm",
    ],
)
def test_one_image_gives_one_record_in_every_transfer_syntax(name):
    expected = read_tags(BUNDLED / "test_files" / "MR_small.dcm")
    record = read_tags(BUNDLED / "test_files" / name)
    assert record.tags == expected.tags
    assert record.image | {"transfer_syntax_uid": EXPLICIT} == expected.image


CHINESE = [
    ("GB18030", WANG.encode("gb18030"), None),
    ("GBK", WANG.encode("gbk"), None),
    ("ISO_IR 192", WANG.encode(), None),
    ("\\ISO 2022 IR 58", b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab=", None),
    ("ISO_IR 100", WANG.encode("gbk"), ("GBK",)),
    ("ISO_IR 100", WANG.encode("gbk"), ("GB18030",)),
    ("", WANG.encode("gbk"), ("GBK",)),
]


@pytest.mark.parametrize(("stated", "name", "override"), CHINESE)
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_chinese_name_gives_identical_rows_in_every_encoding(
    tmp_path, stated, name, override, syntax
):
    if syntax == EXPLICIT:
        path = write(
            tmp_path,
            element("SpecificCharacterSet", "CS", stated.encode()),
            element("PatientName", "PN", name),
        )
    else:
        path = write(
            tmp_path,
            implicit("SpecificCharacterSet", stated.encode()),
            implicit("SOPInstanceUID", b"1.2.3"),
            implicit("PatientName", name),
            syntax=IMPLICIT,
        )
        content = part_10(
            implicit("SpecificCharacterSet", stated.encode())
            + implicit("SOPClassUID", b"1.2.840.10008.5.1.4.1.1.7\0")
            + implicit("PatientName", name),
            IMPLICIT,
        )
        path.write_bytes(content)
    record = read_tags(path, override)
    assert record.patient["patient_name_alphabetic"] == "Wang^XiaoDong"
    assert record.patient["patient_name_ideographic"] == "王^小东"
    assert record.patient["patient_name_phonetic"] is None
    assert tags(record)["00100010"] == {
        "vr": "PN",
        "Value": [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}],
    }
    assert not [finding for finding in record.findings if "missing" not in finding]


def test_an_override_must_be_a_character_set(tmp_path):
    with pytest.raises(ConfigurationError, match="GB18030"):
        read_tags(write(tmp_path), ("chinese",))


def test_bytes_that_cannot_be_latin_are_a_finding(tmp_path):
    path = write(
        tmp_path,
        element("SpecificCharacterSet", "CS", b"ISO_IR 100"),
        element("PatientName", "PN", "張^三".encode("gbk")),
    )
    (finding,) = read_tags(path).findings
    assert finding == "PatientName: bytes do not fit the character set ISO_IR 100"


def test_an_item_may_have_its_own_character_set(tmp_path):
    physician = element("PerformingPhysicianName", "PN", "Müller".encode("latin-1"))
    path = write(
        tmp_path,
        element("SpecificCharacterSet", "CS", b"ISO_IR 192"),
        element(
            "ReferencedStudySequence",
            "SQ",
            item(element("SpecificCharacterSet", "CS", b"ISO_IR 100"), physician)
            + item(element("PerformingPhysicianName", "PN", "Ärztin".encode())),
        ),
    )
    record = read_tags(path)
    first, second = tags(record)["00081110"]["Value"]
    assert first["00081050"]["Value"] == [{"Alphabetic": "Müller"}]
    assert second["00081050"]["Value"] == [{"Alphabetic": "Ärztin"}]
    assert not record.findings
    overridden = tags(read_tags(path, ("ISO_IR 192",)))["00081110"]["Value"][0]
    assert overridden["00081050"]["Value"] == [{"Alphabetic": "M\ufffdller"}]


def test_codes_are_listed_as_json(tmp_path):
    code = item(
        element("CodeValue", "SH", b"CT1"),
        element("CodingSchemeDesignator", "SH", b"99X"),
        element("CodeMeaning", "LO", b"CT of the head"),
    )
    path = write(tmp_path, element("ProcedureCodeSequence", "SQ", code + item()))
    assert msgspec.json.decode(read_tags(path).study["procedure_codes"]) == [
        {"value": "CT1", "scheme": "99X", "meaning": "CT of the head"},
        {"value": None, "scheme": None, "meaning": None},
    ]


def test_bulk_data_and_long_values_are_left_out_with_a_finding(tmp_path):
    path = write(
        tmp_path,
        element("ImageComments", "UT", b"x" * 70_000),
        element("EncapsulatedDocument", "OB", b"x" * 2_000),
        element(0x00091001, "OB", b"xx"),
    )
    record = read_tags(path)
    assert record.findings == (
        "EncapsulatedDocument: bulk data, left out",
        "ImageComments: more than 65536 bytes, left out",
    )
    assert not {"00204000", "00420011"} & tags(record).keys()
    assert tags(record)["00091001"] == {"vr": "OB", "InlineBinary": "eHg="}


def test_findings_are_bounded_sorted_and_without_doubles(tmp_path):
    wrong = [element(0x00090000 + number, "DS", b"\xff") for number in range(0x1001, 0x1100)]
    findings = read_tags(write(tmp_path, *wrong)).findings
    assert len(findings) == 100
    assert list(findings) == sorted(set(findings))


def test_no_value_of_the_patient_stands_in_a_finding(tmp_path):
    path = write(
        tmp_path,
        element("PatientName", "PN", b"SECRET\xff=a=b=c"),
        element("PatientBirthDate", "DA", b"SECRET"),
        element("PatientSize", "DS", b"SECRET"),
        element("PatientID", "US", b"SECRET\xff\xff"),
        element("SpecificCharacterSet", "CS", b"SECRET"),
    )
    findings = read_tags(path).findings
    assert len(findings) >= 5
    assert not [finding for finding in findings if "SECRET" in finding]


def test_missing_identifiers_are_findings(tmp_path):
    path = tmp_path / "object.dcm"
    path.write_bytes(part_10(element("PatientID", "LO", b"1")))
    assert read_tags(path).findings == (
        "SOPClassUID: missing",
        "SOPInstanceUID: missing",
        "SeriesInstanceUID: missing",
        "StudyInstanceUID: missing",
    )


def test_a_private_element_in_implicit_vr_has_the_vr_of_its_creator(tmp_path):
    path = tmp_path / "object.dcm"
    path.write_bytes(
        part_10(
            implicit("SOPInstanceUID", b"1.2.3")
            + implicit(0x00190010, b"GEMS_ACQU_01")
            + implicit(0x00191002, struct.pack("<l", -7))
            + implicit(0x00191099, b"\x01\x02")
            + implicit(0x00211001, b"\x01\x02"),
            IMPLICIT,
        )
    )
    found = tags(read_tags(path))
    assert found["00191002"] == {"vr": "SL", "Value": [-7]}
    assert found["00211001"] == {"vr": "UN", "InlineBinary": "AQI="}


def test_a_sequence_under_un_is_implicit_vr(tmp_path):
    code = implicit("CodeValue", b"CT1 ")
    content = struct.pack("<HHL", 0xFFFE, 0xE000, len(code)) + code
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    for value, length in ((content, None), (content + end, 0xFFFFFFFF)):
        path = write(tmp_path, element("ProcedureCodeSequence", "UN", value, length=length))
        record = read_tags(path)
        assert tags(record)["00081032"]["Value"] == [{"00080100": {"vr": "SH", "Value": ["CT1"]}}]
        assert not record.findings
