import re
import time
import zlib
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_pipeline.imaging.tags import read_tags
from dicom_pipeline_tests.receiver.objects import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    deep_nesting,
    element,
    encode_dataset,
    make_dataset,
)
from receiver import scan
from receiver.fields import FieldReader, read_fields
from receiver.part10 import NotPart10Error, read_head
from receiver.scan import UnreadableDataSetError

DEFLATED = "1.2.840.10008.1.2.1.99"
KEYWORDS = {
    "SOPClassUID": "sop_class_uid",
    "SOPInstanceUID": "sop_instance_uid",
    "StudyInstanceUID": "study_instance_uid",
    "SeriesInstanceUID": "series_instance_uid",
    "PatientID": "patient_id",
    "AccessionNumber": "accession_number",
    "StudyDate": "study_date",
    "NumberOfFrames": "number_of_frames",
}


def assert_equal_to_pydicom(fields, dataset):
    assert fields.complete
    for keyword, name in KEYWORDS.items():
        expected = dataset.get(keyword)
        if keyword == "NumberOfFrames":
            digits = re.fullmatch(r"[0-9]+", str(expected))
            assert fields.number_of_frames == (int(expected) if digits else None)
        else:
            text = str(expected or "").strip()
            if keyword == "StudyDate" and f"{keyword}: not a date" in fields.findings:
                text = ""  # one of the files still says 1997.04.24
            assert getattr(fields, name) == text, keyword


def part10_files():
    for path in sorted(Path(pydicom.data.__file__).parent.rglob("test_files/**/*.dcm")):
        if path.read_bytes()[128:132] == b"DICM":
            yield path


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's files are odd on purpose
def test_the_scan_agrees_with_pydicom_on_its_own_files():
    compared = 0
    for path in part10_files():
        try:
            head = read_head(path)
            dataset = pydicom.dcmread(path, specific_tags=list(KEYWORDS))
        except Exception:  # noqa: BLE001 - files that are broken on purpose
            continue
        if "SOPClassUID" not in dataset:
            continue
        data_set = path.read_bytes()[head.offset :]
        fields = read_fields(data_set, head.transfer_syntax_uid)
        compared += 1
        assert_equal_to_pydicom(fields, dataset)
    assert compared > 50


def _holding(items):
    dataset = Dataset()
    dataset.PatientID = "INNER"
    dataset.StudyInstanceUID = "9.9.9"
    for item in items:
        item.is_undefined_length_sequence_item = len(items) % 2 == 0
    sequence = Sequence(items)
    dataset.ReferencedImageSequence = sequence
    dataset["ReferencedImageSequence"].is_undefined_length = len(items) != 2
    return dataset


nested = st.recursive(
    st.builds(Dataset),
    lambda inner: st.lists(inner, max_size=3).map(_holding),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    syntax=st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN]),
    patient=st.text("ABC 012^_", max_size=16),
    frames=st.one_of(st.none(), st.integers(0, 10**6)),
    date=st.sampled_from(["20240229", "19991231", ""]),
    holder=nested,
    private=st.binary(max_size=9),
)
def test_the_scan_agrees_with_pydicom_on_generated_objects(
    syntax, patient, frames, date, holder, private
):
    dataset = make_dataset(PatientID=patient, StudyDate=date, NumberOfFrames=frames)
    dataset.update(holder if "ReferencedImageSequence" in holder else Dataset())
    dataset.PatientID, dataset.StudyInstanceUID = patient, "1.2.3"
    dataset.add_new(0x00090010, "LO", "SOMEBODY")
    dataset.add_new(0x00091001, "UN", private + b"\0" * (len(private) % 2))
    data_set = encode_dataset(dataset, syntax)
    fields = read_fields(data_set, syntax)
    again = pydicom.dcmread(BytesIO(data_set), force=True) if syntax == IMPLICIT else dataset
    assert_equal_to_pydicom(fields, again)


@given(st.binary(max_size=400), st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN, "1.2.3.4"]))
def test_no_bytes_make_the_scan_fail(data_set, syntax):
    read_fields(data_set, syntax)


@given(st.integers(0, 600))
def test_a_data_set_cut_off_anywhere_gives_only_whole_values(length):
    data_set = encode_dataset(make_dataset(SOPInstanceUID="1.2.3.4.5"))[:length]
    assert read_fields(data_set, EXPLICIT).sop_instance_uid in {"", "1.2.3.4.5"}


def test_a_hundred_thousand_nested_items_are_stepped_over():
    dataset = encode_dataset(make_dataset())
    middle = dataset.index(b"\x10\x00\x20\x00LO")
    data_set = dataset[:middle] + deep_nesting(100_000) + dataset[middle:]
    started = time.monotonic()
    fields = read_fields(data_set, EXPLICIT)
    assert (fields.patient_id, fields.complete) == ("P1", True)
    assert time.monotonic() - started < 20


def test_nested_values_are_not_taken_for_those_of_the_object():
    inner = Dataset()
    inner.PatientID = "OTHER"
    inner.StudyInstanceUID = "6.6.6"
    dataset = make_dataset(PatientID=None)
    dataset.ReferencedStudySequence = [inner]
    dataset["ReferencedStudySequence"].is_undefined_length = True
    fields = read_fields(encode_dataset(dataset), EXPLICIT)
    assert (fields.patient_id, fields.study_instance_uid) == ("", "1.2.3")


def test_an_unknown_element_of_undefined_length_holds_implicit_vr():
    # A length of 0x4141 would read as the value representation "AA".
    inner = bytes.fromhex("feff00e0ffffffff") + bytes.fromhex("1000200041410000") + b"x" * 0x4141
    inner += bytes.fromhex("feff0de000000000feffdde000000000")
    unknown = element(0x0009, 0x1001, "UN", b"", 0xFFFFFFFF) + inner
    dataset = encode_dataset(make_dataset())
    middle = dataset.index(b"\x10\x00\x20\x00LO")
    fields = read_fields(dataset[:middle] + unknown + dataset[middle:], EXPLICIT)
    assert (fields.patient_id, fields.complete) == ("P1", True)


def test_a_length_beyond_the_end_ends_the_scan():
    data_set = element(0x0008, 0x0016, "UI", b"1.2\0")
    data_set += element(0x0009, 0x1001, "OB", b"x" * 100_000, 3 << 30)
    fields = read_fields(data_set, EXPLICIT)
    assert (fields.sop_class_uid, fields.complete) == ("1.2", False)


def test_only_the_head_of_a_deflate_bomb_is_inflated():
    head = encode_dataset(make_dataset(PixelData=b""))
    bomb = head[: head.index(b"\xe0\x7f\x10\x00")]
    bomb += element(0x7FE0, 0x0010, "OW", b"", 1 << 28)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    data_set = deflate.compress(bomb)
    zeros = b"\0" * (1 << 22)
    for _ in range(64):
        data_set += deflate.compress(zeros)
    data_set += deflate.flush()
    fields = read_fields(data_set, DEFLATED)
    assert (fields.patient_id, fields.complete) == ("P1", True)


def test_a_broken_deflate_stream_is_unreadable():
    with pytest.raises(UnreadableDataSetError):
        read_fields(b"\xff" * 100, DEFLATED)


@pytest.mark.parametrize(
    ("charset", "codec", "override"),
    [
        (b"ISO_IR 192", "utf-8", ()),
        (b"GB18030 ", "gb18030", ()),
        (b"ISO_IR 100", "gb18030", ("GBK",)),
    ],
)
def test_identifiers_are_decoded_by_character_set(charset, codec, override):
    value = "病人7".encode(codec)
    data_set = element(0x0008, 0x0005, "CS", charset)
    data_set += element(0x0010, 0x0020, "LO", value + b" " * (len(value) % 2))
    assert read_fields(data_set, EXPLICIT, override).patient_id == "病人7"


@pytest.mark.parametrize(
    ("charset", "value"),
    [
        (b"ISO_IR 100", "M\xfcller-1".encode("latin-1")),
        (b"ISO 2022 IR 6\\ISO 2022 IR 87 ", "\u75c5\u4eba7".encode("iso2022_jp")),
        (b"\\ISO 2022 IR 149", b"\x1b$)C\xb1\xe8"),
        (b"\\ISO 2022 IR 58", b"\x1b$)A\xb2\xa1\xc8\xcb"),
        (b"ISO_IR 13 ", b"\xd4\xcf\xc0\xde\\~"),
        (b"GB18030 ", "\u75c5\u3000\u4eba".encode("gb18030")),
        (b"utf-8 ", "\u75c5\u4eba".encode()),
        (b"ISO_IR 100", b"  A1 \\ B2 \0"),
        (b"ISO_IR 166", b"\xa1\xa2\xfb"),
        (b"", b"caf\xe9"),
        (b"ISO_IR 192", b"cut \xe7\x97"),
        (b"ISO_IR 100", b"tab\there"),
    ],
)
@pytest.mark.parametrize("override", [(), ("GB18030",)])
def test_the_index_stage_reads_the_same_identifiers(tmp_path, charset, value, override):
    value += b" " * (len(value) % 2)
    data_set = (
        element(0x0008, 0x0005, "CS", charset + b" " * (len(charset) % 2))
        + element(0x0008, 0x0018, "UI", b"1.2\0")
        + element(0x0008, 0x0050, "SH", value)
        + element(0x0010, 0x0020, "LO", value)
    )
    path = tmp_path / "object.dcm"
    path.write_bytes(data_set)
    record = read_tags(path, override or None)
    fields = read_fields(data_set, EXPLICIT, override)
    assert fields.patient_id == record.patient["patient_id"]
    assert fields.accession_number == record.study["accession_number"]


@pytest.mark.parametrize(("items", "complete"), [(100, True), (101, False), (10_000, False)])
def test_a_data_set_of_endless_items_is_given_up(monkeypatch, items, complete):
    monkeypatch.setattr("receiver.scan._ELEMENTS", 102)  # with the sequence and its end
    data_set = element(0x0008, 0x1140, "SQ", b"", 0xFFFFFFFF)
    data_set += bytes.fromhex("feff00e000000000") * items
    data_set += bytes.fromhex("feffdde000000000")
    assert read_fields(data_set, EXPLICIT).complete is complete


@pytest.mark.parametrize("date", ["20230231", "2023.01.31", "99999999", "../../ab", "yesterday"])
def test_a_bad_study_date_is_a_finding(date):
    data_set = element(0x0008, 0x0020, "DA", date.encode() + b" " * (len(date) % 2))
    fields = read_fields(data_set, EXPLICIT)
    assert (fields.study_date, fields.findings) == ("", ("StudyDate: not a date",))


def test_a_patient_id_of_megabytes_is_cut_and_found():
    data_set = b"".join(
        (
            bytes.fromhex("10002000"),
            (1 << 20).to_bytes(4, "little"),
            b"A" * (1 << 20),
        )
    )
    fields = read_fields(data_set, IMPLICIT)
    assert fields.patient_id == "A" * 64
    assert fields.findings == ("PatientID: longer than 64 characters",)


@pytest.mark.parametrize("frames", [b"-1", b"1e", b"99999999999 ", b"1\\"])
def test_a_bad_number_of_frames_is_a_finding(frames):
    fields = read_fields(element(0x0028, 0x0008, "IS", frames), EXPLICIT)
    assert (fields.number_of_frames, len(fields.findings)) == (None, 1)


WILD_TAGS = [
    *(0x00080000, 0x00080005, 0x00080016, 0x00080018, 0x00080020, 0x00080050, 0x00081140),
    *(0x00091001, 0x00100020, 0x0020000D, 0x0020000E, 0x00280008, 0x00280009, 0x00280010),
    *(0x7FE00010, 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0xFFFFFFFF),
]
WILD_VRS = [
    *["UI", "LO", "SH", "DA", "IS", "CS", "US", "SQ", "UN", "OB", "OW", "UT"],
    "ZZ",
    "ui",
    "\0\0",
    "??",
]


@st.composite
def wild_elements(draw):
    """Mostly headers that could be one, with values that mostly fit."""
    tags = draw(st.lists(st.sampled_from(WILD_TAGS), max_size=10))
    if draw(st.booleans()):
        tags.sort()
    data = b""
    for tag in tags:
        vr = draw(st.sampled_from(WILD_VRS))
        value = draw(st.sampled_from([b"", b"1.2\0", b"20240229", b"ISO_IR 192", b"x" * 30]))
        length = draw(st.sampled_from([None] * 6 + [0, 1, 8, 0xFFFF, 0xFFFFFFFF]))
        size = len(value) if length is None else length
        head = tag.to_bytes(4, "big")
        data += head[1::-1] + head[:1:-1] + vr.encode()
        if vr in {"SQ", "UN", "OB", "OW", "UT"}:
            data += b"\0\0" + size.to_bytes(4, "little") + value
        else:
            data += (size & 0xFFFF).to_bytes(2, "little") + value
    return data[: len(data) - draw(st.sampled_from([0] * 6 + [1, 5, 9]))] if data else data


@settings(max_examples=400)
@given(wild_elements())
def test_the_fast_scan_finds_what_the_general_one_finds_or_leaves_it_to_that(data_set):
    fast = scan._walk(data_set)
    if fast is not None:
        general = scan._scan_any(data_set, scan._EXPLICIT_LITTLE)
        assert (fast, True, True) == general


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_both_scans_agree_on_the_files_of_pydicom():
    plain = 0
    for path in part10_files():
        try:
            head = read_head(path)
        except NotPart10Error:
            continue
        if head.transfer_syntax_uid in {IMPLICIT, BIG_ENDIAN, DEFLATED}:
            continue
        data_set = path.read_bytes()[head.offset :]
        fast = scan._walk(data_set)
        if fast is not None:
            plain += 1
            assert (fast, True, True) == scan._scan_any(data_set, scan._EXPLICIT_LITTLE), path.name
    assert plain > 40, "and most are plain"


@settings(max_examples=40, deadline=None)
@given(
    patient=st.text("ABC^1", max_size=40),
    extra=st.lists(st.tuples(st.integers(0x1002, 0x10FF), st.binary(max_size=40)), max_size=6),
    frames=st.one_of(st.none(), st.integers(1, 9999)),
)
def test_an_ordinary_object_takes_the_fast_way(patient, extra, frames):
    dataset = make_dataset(PatientID=patient, NumberOfFrames=frames)
    dataset.add_new(0x00090010, "LO", "SOMEBODY")
    for number, value in extra:
        dataset.add_new(0x00090000 | number, "OB", value + b"\0" * (len(value) % 2))
    data_set = encode_dataset(dataset)
    assert scan._walk(data_set) is not None
    assert_equal_to_pydicom(read_fields(data_set, EXPLICIT), dataset)


@pytest.mark.parametrize("delimiter", [0xE00D, 0xE0DD], ids=["item", "sequence"])
def test_a_stray_delimiter_does_not_hide_what_follows(delimiter):
    stray = (0xFFFE).to_bytes(2, "little") + delimiter.to_bytes(2, "little") + b"UI\0\0"
    data_set = stray + element(0x0010, 0x0020, "LO", b"P1")
    assert read_fields(data_set, EXPLICIT).patient_id == "P1"


@pytest.mark.parametrize("vr", ["ZZ", "ui", "??", "\0\0"])
def test_an_element_of_unknown_vr_is_left_to_the_general_scan(vr):
    data_set = element(0x0010, 0x0020, vr, b"\4\0\0\0P123")
    data_set += element(0x0028, 0x0010, "US", b"\1\0")
    assert scan._walk(data_set) is None


def series(number, **changes):
    """Objects of a series, whose layouts differ a little as those of real ones do."""
    for each in range(number):
        yield encode_dataset(
            make_dataset(
                SOPInstanceUID=f"1.2.3.{each}",
                InstanceNumber=each,
                ImagePositionPatient=[0, 0, each * 0.625],
                NumberOfFrames=each % 3 or None,
                **changes,
            )
        )


def read_one_after_another(data_sets):
    reader = FieldReader()
    return [reader.read(each, EXPLICIT) for each in data_sets]


@settings(max_examples=200)
@given(st.lists(wild_elements(), min_size=1, max_size=4))
def test_what_came_before_does_not_change_what_is_read(data_sets):
    data_sets *= 3
    assert read_one_after_another(data_sets) == [read_fields(each, EXPLICIT) for each in data_sets]


def test_the_objects_of_several_series_are_read_like_single_ones():
    one, other = series(12), series(12, PatientID="another patient", StudyInstanceUID="1.2.33")
    mixed = [each for pair in zip(one, other, strict=True) for each in pair]
    assert read_one_after_another(mixed) == [read_fields(each, EXPLICIT) for each in mixed]


@settings(max_examples=400)
@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_single_other_byte_is_seen_in_a_known_layout(position, byte):
    known = next(series(1))
    other = bytearray(known)
    other[position % len(known)] = byte
    *_, fields = read_one_after_another([known, known, known, bytes(other)])
    assert fields == read_fields(bytes(other), EXPLICIT)


@pytest.mark.parametrize("length", [0, 7, 100, 300])
def test_a_data_set_that_ends_within_a_known_layout_has_whole_values_only(length):
    known = next(series(1))
    *_, fields = read_one_after_another([known, known, known, known[:length]])
    assert fields == read_fields(known[:length], EXPLICIT)


def test_what_follows_in_a_known_layout_is_not_searched_again(monkeypatch):
    walks = []
    real = scan._walk
    monkeypatch.setattr(scan, "_walk", lambda *args, **more: walks.append(1) or real(*args, **more))
    data_sets = [encode_dataset(make_dataset(SOPInstanceUID=f"1.2.3.{each}")) for each in range(9)]
    read_one_after_another(data_sets)
    assert len(walks) == 2


def test_a_layout_of_very_many_elements_is_not_kept():
    dataset = make_dataset()
    for number in range(600):
        dataset.add_new(0x00091000 + number, "US", 1)
    data_set = encode_dataset(dataset)
    scanner = scan.Scanner()
    assert [scanner.scan(data_set, EXPLICIT) for _ in range(3)] == [
        scan.Scanner().scan(data_set, EXPLICIT)
    ] * 3
    assert scanner._layout is None


def test_layouts_that_are_never_met_again_are_learned_less_and_less_often(monkeypatch):
    learned = []
    real = scan.Layout
    monkeypatch.setattr(scan, "Layout", lambda *args: learned.append(1) or real(*args))
    data_sets = [
        encode_dataset(make_dataset(SOPInstanceUID="1.2.3" + "4" * (2 * each)))
        for each in range(25)
    ]
    assert read_one_after_another(data_sets) == [read_fields(each, EXPLICIT) for each in data_sets]
    assert len(learned) == 3  # from the 2nd, the 6th and the 14th
