"""A column gets a value of its kind or None, and a finding says what was wrong."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from dicom_pipeline.imaging.cells import cell
from dicom_pipeline.imaging.dicom_json import dicom_json
from dicom_pipeline.imaging.findings import Findings
from dicom_pipeline.imaging.tag_columns import IMAGE, PATIENT, SERIES, STUDY, Kind, TagColumn
from dicom_pipeline.imaging.values import DataSet, Scope

COLUMNS = {column.name: column for column in (*PATIENT, *STUDY, *SERIES, *IMAGE)}


def read(column: TagColumn, vr: str | None, value: bytes):
    tag = BaseTag(tag_for_keyword(column.keyword))
    raw = RawDataElement(tag, vr, len(value), value, 0, vr is None, True)
    findings = Findings()
    return cell(DataSet({int(tag): raw}, findings, Scope()), column), findings.sorted()


@pytest.mark.parametrize(
    ("value", "expected", "finding"),
    [
        (b"20240229", "2024-02-29", None),
        (b"", None, None),
        (b"        ", None, None),
        (b"1999.12.31", "1999-12-31", "not written as YYYYMMDD"),
        (b"1999-12-31", "1999-12-31", "not written as YYYYMMDD"),
        (b"20240101120000", "2024-01-01", "more than a date, the rest left out"),
        (b"20230229", None, "not a date, left out"),
        (b"00000000", None, "not a date, left out"),
        (b"20200101-20200102", None, "not a date, left out"),
        (b"20200101\\20200102", "2020-01-01", "several values, the first is kept"),
        (b"\xd9\xa2\xd9\xa0", None, "not a date, left out"),
    ],
)
def test_dates(value, expected, finding):
    result, findings = read(COLUMNS["study_date"], "DA", value)
    assert result == expected
    assert finding is None or f"StudyDate: {finding}" in findings
    assert finding is not None or not findings


@pytest.mark.parametrize(
    ("value", "expected", "finding"),
    [
        (b"10", "10:00:00.000000", None),
        (b"1030", "10:30:00.000000", None),
        (b"103015", "10:30:15.000000", None),
        (b"103015.5 ", "10:30:15.500000", None),
        (b"103015.123456", "10:30:15.123456", None),
        (b"103015.12345678", "10:30:15.123456", "finer than microseconds, cut"),
        (b"10:30:15.5", "10:30:15.500000", "not written as HHMMSS"),
        (b"235960", "23:59:59.000000", "leap second, kept as the second before"),
        (b"240000", None, "not a time, left out"),
        (b"1060", None, "not a time, left out"),
        (b"103015-103020", None, "not a time, left out"),
        (b"", None, None),
    ],
)
def test_times(value, expected, finding):
    result, findings = read(COLUMNS["study_time"], "TM", value)
    assert result == expected
    assert findings == (() if finding is None else (f"StudyTime: {finding}",))


@pytest.mark.parametrize(
    ("value", "expected", "finding"),
    [
        (b"12", 12, None),
        (b" +12 ", 12, None),
        (b"-3", -3, None),
        (b"12.0", 12, "not written as an integer"),
        (b"1.9e1", 19, "not written as an integer"),
        (b"1\\2", 1, "several values, the first is kept"),
        (b"9223372036854775807", 2**63 - 1, None),
        (b"9223372036854775808", None, "beyond 64 bits, left out"),
        (b"1e30", None, "beyond 64 bits, left out"),
        (b"9" * 5000, None, "not an integer, left out"),
        (b"1_0", None, "not an integer, left out"),
        (b"nan", None, "not an integer, left out"),
        (b"1e999", None, "not an integer, left out"),
        (b"one", None, "not an integer, left out"),
        (b"", None, None),
    ],
)
def test_integers(value, expected, finding):
    result, findings = read(COLUMNS["series_number"], "IS", value)
    assert result == expected
    assert findings == (() if finding is None else (f"SeriesNumber: {finding}",))


@pytest.mark.parametrize(
    ("value", "expected", "finding"),
    [
        (b"1.5", 1.5, None),
        (b"-.5E1 ", -5.0, None),
        (b"5.", 5.0, None),
        (b"1\\2", 1.0, "several values, the first is kept"),
        (b"NaN", None, "not a finite number, left out"),
        (b"inf", None, "not a finite number, left out"),
        (b"1e999", None, "not a finite number, left out"),
        (b"1,5", None, "not a finite number, left out"),
        (b"", None, None),
    ],
)
def test_real_numbers(value, expected, finding):
    result, findings = read(COLUMNS["slice_thickness"], "DS", value)
    assert result == expected
    assert findings == (() if finding is None else (f"SliceThickness: {finding}",))


@pytest.mark.parametrize(
    ("vr", "value", "expected", "finding"),
    [
        ("US", struct.pack("<H", 512), 512, None),
        (None, struct.pack("<H", 512), 512, None),
        ("UN", struct.pack("<H", 512), 512, None),
        ("UL", struct.pack("<L", 70000), 70000, "VR is UL, not US"),
        ("IS", b"512 ", 512, "VR is IS, not US"),
        ("US", b"512 ", 512, "text under VR US"),
        ("US", struct.pack("<HH", 1, 600), 1, "several values, the first is kept"),
        ("US", b"\x01\x02\x03", 0x201, "length is not a multiple of 2"),
        ("US", b"\x01", None, "length is not a multiple of 2"),
        ("OB", b"\x01\x02\x03", None, "VR OB holds no text, left out"),
        ("zz", struct.pack("<H", 512), 512, "unknown VR"),
    ],
)
def test_a_number_is_found_under_a_wrong_vr(vr, value, expected, finding):
    result, findings = read(COLUMNS["image_rows"], vr, value)
    assert result == expected
    assert finding is None or f"Rows: {finding}" in findings
    assert finding is not None or not findings


@pytest.mark.parametrize("vr", ["US", "OB", "UL", "LO"])
def test_text_is_found_under_a_wrong_vr(vr):
    result, findings = read(COLUMNS["modality"], vr, b"CT")
    assert (result, findings) == ("CT", (f"Modality: VR is {vr}, not CS",))


def test_text_that_is_too_long_is_cut():
    result, findings = read(COLUMNS["study_id"], "SH", b"x" * 65)
    assert result == "x" * 64
    assert findings == ("StudyID: longer than 64 characters, cut",)


def test_chinese_in_a_code_string_is_kept():
    column = COLUMNS["body_part_examined"]
    tag = BaseTag(tag_for_keyword(column.keyword))
    value = "头部".encode("gb18030")
    charset = RawDataElement(BaseTag(0x00080005), "CS", 8, b"GB18030 ", 0, False, True)
    raw = RawDataElement(tag, "CS", len(value), value, 0, False, True)
    findings = Findings()
    dataset = DataSet({0x00080005: charset, int(tag): raw}, findings, Scope())
    assert cell(dataset, column) == "头部"
    assert findings.sorted() == ("BodyPartExamined: characters that CS does not allow",)


def test_several_values_of_a_text_are_joined_by_a_backslash():
    assert read(COLUMNS["image_type"], "CS", b"ORIGINAL\\ PRIMARY\\") == (
        "ORIGINAL\\PRIMARY\\",
        (),
    )


ONE_OF_EACH_KIND = {column.kind: column for column in COLUMNS.values()}


@pytest.mark.parametrize("column", ONE_OF_EACH_KIND.values(), ids=lambda column: column.name)
@given(data=st.data())
def test_no_bytes_under_any_vr_raise_or_give_a_value_of_another_kind(column, data):
    vrs = [None, "UN", "US", "FD", "AT", "OB", "SQ", "DS", "IS", "DA", "TM", "PN", "LO", "UT", "ZZ"]
    letters = st.sampled_from([*b"0123456789.+-eE:\\^= \0\x1b$)A"])
    value = data.draw(st.binary(max_size=20) | st.lists(letters, max_size=20).map(bytes))
    result, findings = read(column, data.draw(st.sampled_from(vrs)), value)
    kinds = {Kind.INTEGER: int, Kind.REAL: float}
    assert result is None or type(result) is kinds.get(column.kind, str)
    assert not isinstance(result, str) or column.length is None or len(result) <= column.length
    assert all(": " in finding for finding in findings)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([tag_for_keyword(column.keyword) for column in COLUMNS.values()]),
            st.sampled_from([None, "UN", "US", "FL", "UV", "AT", "OB", "SQ", "DS", "IS", "PN"]),
            st.binary(max_size=24),
        ),
        max_size=5,
    )
)
def test_no_values_raise_on_their_way_to_json(elements):
    dataset = DataSet(
        {
            tag: RawDataElement(BaseTag(tag), vr, len(value), value, 0, vr is None, True)
            for tag, vr, value in elements
        },
        Findings(),
        Scope(),
    )
    assert dicom_json(dataset).startswith("{")
