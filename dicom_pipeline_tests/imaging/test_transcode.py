import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from dicom_pipeline.imaging.decoding import decode_frames
from dicom_pipeline.imaging.image import describe_image
from dicom_pipeline.imaging.objects import open_object
from dicom_pipeline.imaging.outcomes import Action, ErrorCode
from dicom_pipeline.imaging.rendering import decide
from dicom_pipeline.imaging.rendition_file import IMPLEMENTATION_CLASS_UID
from dicom_pipeline.imaging.transcode import render
from dicom_pipeline.imaging.transfer_syntaxes import JPEG_LS_LOSSLESS
from dicom_pipeline_tests.imaging.images import (
    ALL_BITS,
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    P,
    deflated,
    deflated_object,
    encapsulated,
    header,
    jls,
    jpeg,
    native,
    noise,
    palettes,
    raw_pixel_data,
    rle,
    save,
)

GREY, SIGNED8 = noise("u1", 0, 255), noise("i1", -128, 127)
GREY12, GREY16 = noise("u2", 0, 4095), noise("u2", 0, 65535)
COLOUR8 = noise("u1", 0, 255, colour=True)
COLOUR16 = noise("u2", 0, 65535, colour=True)
BUNDLED = sorted(
    path
    for path in (Path(pydicom.data.__file__).parent).rglob("*")
    if path.is_file() and (path.suffix == ".dcm" or "dicomdirtests" in path.parts)
    if path.suffix != ".txt" and path.name != "README"
)


def pixels_of(path: Path) -> np.ndarray:
    with open_object(path) as source:
        return np.stack(list(decode_frames(source, describe_image(source))))


@pytest.fixture
def target(tmp_path):
    return tmp_path / "renditions" / "study" / "object.dcm"


def rendition(source: Path, target: Path) -> Dataset:
    """The data set of the rendition, which must have been made."""
    outcome = render(source, target)
    assert outcome.action is Action.TRANSCODE, outcome
    assert outcome.error is None
    assert outcome.file_size == target.stat().st_size
    ds = dcmread(target)
    assert ds.file_meta.TransferSyntaxUID == outcome.target_ts
    assert decide(target).action is Action.KEEP
    return ds


def test_a_few_pixels_of_noise_are_carried_too(tmp_path, target):
    for pixels in (np.array([[[1, 200, 3]]], "u1"), np.array([[-128, 77, 5]], "i1")):
        source = native(tmp_path / "object.dcm", pixels)

        rendition(source, target)

        assert np.array_equal(pixels_of(target)[0], pixels)


# Real files


def test_every_bundled_file_has_right_pixels_or_a_stated_failure(tmp_path):
    actions: Counter[Action] = Counter()
    for path in BUNDLED:
        target = tmp_path / str(len(actions)) / path.name

        outcome = render(path, target)

        actions[outcome.action] += 1
        assert target.exists() == (outcome.target_ts is not None), path
        assert (outcome.error is not None) == (outcome.action is Action.FAIL), path
        if outcome.error is not None:
            assert outcome.error.code not in {ErrorCode.INTERNAL, ErrorCode.MISMATCH}, path
        if outcome.target_ts is not None:
            assert np.array_equal(pixels_of(target), pixels_of(path)), path
            assert decide(target).action is Action.KEEP
            target.unlink()

    assert actions == {
        Action.KEEP: 84,
        Action.NO_PIXELS: 28,
        Action.TRANSCODE: 18,
        Action.FAIL: 62,  # 50 of them are CT images whose pixel data was taken out
    }


REFERENCE_CANNOT = {
    "JPEG-lossy.dcm",  # 12-bit JPEG
    "JPGExtended.dcm",
    "SC_rgb_jpeg.dcm",  # another encoding than its syntax says
    "image_dfl.dcm",
}


def test_bundled_images_decode_to_the_pixels_of_another_reader(tmp_path):
    compared = 0
    for path in BUNDLED:
        outcome = render(path, tmp_path / "rendition.dcm")
        shown = outcome.action in {Action.KEEP, Action.TRANSCODE}
        if not shown or path.name in REFERENCE_CANNOT:
            continue
        ours = pixels_of(path)
        with open_object(path):
            reference = pydicom.pixels.pixel_array(path)
        compared += 1
        assert np.array_equal(ours, reference.reshape(ours.shape)), path
    assert compared > 90


def test_a_multi_frame_rendition_has_a_fragment_a_frame_and_their_offsets(tmp_path, target):
    frames = np.stack([COLOUR16, COLOUR16[::-1], COLOUR16[:, ::-1]])
    source = encapsulated(tmp_path / "object.dcm", COLOUR16, f"{P}.5", [rle(f) for f in frames],
                          NumberOfFrames=3)  # fmt: skip

    ds = rendition(source, target)

    fragments = pydicom.encaps.parse_fragments(ds.PixelData)
    assert fragments[0] == 3 + 1  # and the offset table
    assert pydicom.encaps.parse_basic_offsets(ds.PixelData) != []
    assert np.array_equal(pixels_of(target), frames)


SMOOTH = (np.indices((96, 256, 256)).sum(axis=0) % 200).astype("u1")


@pytest.mark.parametrize(
    ("action", "make"),
    [
        (Action.TRANSCODE, lambda path: native(path, SMOOTH.view("i1"), NumberOfFrames=96)),
        (Action.TRANSCODE, lambda path: native(path, SMOOTH, BIG_ENDIAN, NumberOfFrames=96)),
        (Action.TRANSCODE, lambda path: deflated_object(path, SMOOTH, NumberOfFrames=96)),
        (
            Action.KEEP,
            lambda path: encapsulated(path, SMOOTH[0], f"{P}.8.1", map(deflated, SMOOTH),
                                      NumberOfFrames=96),
        ),
    ],
    ids=["to JPEG-LS", "to Explicit", "of a deflated data set", "kept"],
)  # fmt: skip
def test_a_few_frames_are_in_memory_at_a_time(tmp_path, target, action, make):
    source = make(tmp_path / "object.dcm")
    render(source, target)  # what is imported late is not counted

    tracemalloc.start()
    outcome = render(source, target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (outcome.action, outcome.frames) == (action, 96)
    assert peak < 0.5 * SMOOTH.nbytes


def test_a_rendition_beyond_4_gb_has_an_extended_offset_table(tmp_path, target, monkeypatch):
    monkeypatch.setattr("dicom_pipeline.imaging.rendition_file._LARGEST_BASIC_OFFSET", 100)
    frames = np.stack([SIGNED8, SIGNED8[::-1]])

    made = rendition(native(tmp_path / "object.dcm", frames, NumberOfFrames=2), target)

    assert len(made.ExtendedOffsetTable) == 2 * 8
    assert np.array_equal(pixels_of(target), frames)


# What a rendition says about itself


def test_signed_bytes_are_promoted_with_everything_that_holds_pixel_values(tmp_path, target):
    source = native(tmp_path / "object.dcm", SIGNED8, PixelPaddingValue=128)

    ds = rendition(source, target)

    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (16, 16, 15, 1)
    assert ds.PixelPaddingValue == -128
    assert np.array_equal(pixels_of(target)[0], SIGNED8)


@pytest.mark.parametrize("syntax", [EXPLICIT, *ALL_BITS])
def test_a_high_bit_is_repaired(tmp_path, target, syntax):
    cells = GREY12 << 4
    source = (
        encapsulated(tmp_path / "object.dcm", cells, syntax, [ALL_BITS[syntax](cells)],
                     BitsStored=12, HighBit=15)
        if syntax in ALL_BITS
        else native(tmp_path / "object.dcm", cells, BitsStored=12, HighBit=15)
    )  # fmt: skip

    ds = rendition(source, target)

    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit) == (16, 12, 11)
    assert np.array_equal(pixels_of(target)[0], GREY12)


@pytest.mark.parametrize("syntax", [EXPLICIT, *ALL_BITS])
def test_an_overlay_in_the_unused_bits_moves_to_overlay_data(tmp_path, target, syntax):
    plane = (np.indices(GREY12.shape).sum(axis=0) % 3 == 0).astype("u2")
    ds = header(GREY12, BitsStored=12)
    ds.add_new(0x60000010, "US", GREY12.shape[0])
    ds.add_new(0x60000011, "US", GREY12.shape[1])
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 15)
    ds.add_new("PixelData", "OW", (GREY12 | plane << 15).tobytes())

    if syntax in ALL_BITS:
        ds.PixelData = encapsulate([ALL_BITS[syntax](GREY12 | plane << 15)])
        ds["PixelData"].is_undefined_length = True

    made = rendition(save(tmp_path / "object.dcm", ds, syntax), target)

    assert (made[0x60000100].value, made[0x60000102].value) == (1, 0)
    assert np.array_equal(made.overlay_array(0x6000), plane)
    assert np.array_equal(pixels_of(target)[0], GREY12)


def test_a_segmented_palette_is_expanded(tmp_path, target):
    ds = palettes(header(GREY, PhotometricInterpretation="PALETTE COLOR"), segmented=True)
    ds.add_new("PixelData", "OB", GREY.tobytes())

    made = rendition(save(tmp_path / "object.dcm", ds, EXPLICIT), target)

    red = made.RedPaletteColorLookupTableData
    assert made.RedPaletteColorLookupTableDescriptor == [256, 0, 8]
    assert (len(red), red[0], red[255]) == (256, 0, 0xFF)
    assert "SegmentedRedPaletteColorLookupTableData" not in made
    assert made.PhotometricInterpretation == "PALETTE COLOR"
    assert np.array_equal(pixels_of(target)[0], GREY)


def test_double_floats_become_floats(tmp_path, target):
    values = np.linspace(-3, 1e6, 16)
    ds = header(values.reshape(4, 4))
    ds.add_new("DoubleFloatPixelData", "OD", values.astype("<f8").tobytes())

    made = rendition(save(tmp_path / "object.dcm", ds, EXPLICIT), target)

    assert np.frombuffer(made.FloatPixelData, "<f4").tolist() == values.astype("f4").tolist()
    assert made.BitsAllocated == 32


def test_double_floats_beyond_a_float_are_a_stated_failure(tmp_path, target):
    ds = header(np.zeros((2, 2)))
    ds.add_new("DoubleFloatPixelData", "OD", np.full(4, 1e300, "<f8").tobytes())

    outcome = render(save(tmp_path / "object.dcm", ds, EXPLICIT), target)

    assert outcome.action is Action.FAIL
    assert not target.exists()


def test_lossy_sources_stay_marked_as_lossy(tmp_path, target):
    source = encapsulated(tmp_path / "object.dcm", GREY12, f"{P}.4.51",
                          [jpeg(GREY12, bitspersample=12)], BitsStored=12,
                          LossyImageCompression="00")  # fmt: skip

    made = rendition(source, target)

    assert made.LossyImageCompression == "01"
    assert made.LossyImageCompressionMethod == "ISO_10918_1"


def test_the_lossy_mark_follows_the_codestream_not_the_syntax(tmp_path, target):
    lossy, lossless = jls(COLOUR8, near=2), jls(COLOUR8)
    near = encapsulated(tmp_path / "a.dcm", COLOUR8, f"{P}.4.81", [lossy],
                        PlanarConfiguration=1)  # fmt: skip
    exact = encapsulated(tmp_path / "b.dcm", COLOUR8, f"{P}.4.81", [lossless],
                         PlanarConfiguration=1)  # fmt: skip

    made = rendition(near, target)

    assert (made.LossyImageCompression, made.LossyImageCompressionMethod) == ("01", "ISO_14495_1")
    assert "LossyImageCompression" not in rendition(exact, target)


@pytest.mark.parametrize("marked", ["01", None])
def test_the_mark_of_an_earlier_lossy_compression_is_kept(tmp_path, target, marked):
    marks = {"LossyImageCompression": marked} if marked else {}
    source = native(tmp_path / "object.dcm", SIGNED8, **marks)

    assert rendition(source, target).get("LossyImageCompression") == marked


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_other_elements_survive_byte_for_byte(tmp_path, target, syntax):
    ds = header(SIGNED8, SpecificCharacterSet="GB18030")
    item = Dataset()
    item.StudyDescription = "nested"
    item.add_new("ReferencedFrameNumber", "IS", [1, 2])
    ds.ReferencedImageSequence = Sequence([item])
    block = ds.private_block(0x0041, "SOMEONE 1.0", create=True)
    block.add_new(1, "LO", "private")
    ds.WindowCenter, ds.ImagerPixelSpacing = "40.50 ", ["0.10", "0.1000"]
    ds.add_new("TagAngleSecondAxis", "SS", -7)
    ds.add_new("PixelData", "OB", SIGNED8.tobytes())
    source = save(tmp_path / "object.dcm", ds, syntax)
    source.write_bytes(source.read_bytes().replace(b"Nobody^Knows", b"Nob\xffdy^Kn\x81ws"))

    made = rendition(source, target)

    assert made.get_item("PatientName").value == b"Nob\xffdy^Kn\x81ws"
    assert made.get_item("WindowCenter").value == b"40.50 "
    assert made.get_item("ImagerPixelSpacing").value == b"0.10\\0.1000 "
    assert made.ReferencedImageSequence[0].StudyDescription == "nested"
    assert made.ReferencedImageSequence[0].ReferencedFrameNumber == [1, 2]
    assert made.TagAngleSecondAxis == -7
    assert made[0x0041, 0x0010].value == "SOMEONE 1.0"
    private = made[0x0041, 0x1001].value
    assert private in {"private", b"private "}


def test_the_copy_keeps_the_instance_says_what_it_is_and_drops_signatures(tmp_path, target):
    ds = header(SIGNED8, DerivationDescription="averaged")
    ds.DigitalSignaturesSequence = Sequence([Dataset()])
    ds.add_new("PixelData", "OB", SIGNED8.tobytes())

    made = rendition(save(tmp_path / "object.dcm", ds, EXPLICIT), target)

    assert made.SOPInstanceUID == "1.2.3.4.5"
    assert made.DerivationDescription == (
        "averaged; Display copy of the same SOP Instance (eight-bit-signed); "
        "digital signatures left out"
    )
    assert "DigitalSignaturesSequence" not in made
    assert made.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID


def test_an_un_element_of_undefined_length_is_written_as_the_sequence_it_is(tmp_path, target):
    ds = header(GREY)
    ds.add_new("PixelData", "OB", GREY.tobytes())
    source = save(tmp_path / "object.dcm", ds, EXPLICIT)
    whole = source.read_bytes()
    item = b"\x08\x00\x55\x11\x04\x00\x00\x001.2 "
    sequence = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + item + b"\xfe\xff\x0d\xe0" + bytes(4)
    un = b"\x08\x00\x40\x11UN\0\0\xff\xff\xff\xff" + sequence + b"\xfe\xff\xdd\xe0" + bytes(4)
    at = whole.index(b"\x10\x00\x10\x00PN")
    source.write_bytes(whole[:at] + un + whole[at:])

    made = rendition(source, target)

    assert made.file_meta.TransferSyntaxUID == EXPLICIT
    assert made.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2"


def test_an_element_with_an_unknown_vr_is_written_as_un(tmp_path, target):
    source = native(tmp_path / "object.dcm", GREY, InstitutionName="Somewhere")
    whole = source.read_bytes()
    source.write_bytes(whole.replace(b"\x08\x00\x80\x00LO", b"\x08\x00\x80\x00B?"))

    made = rendition(source, target)

    assert made.get_item("InstitutionName").VR == "UN"
    assert made.get_item("InstitutionName").value == b"Somewhere "


def test_elements_of_pixels_are_written_with_undefined_length(tmp_path, target):
    made = rendition(native(tmp_path / "object.dcm", SIGNED8), target)

    element = made["PixelData"]
    assert isinstance(element, DataElement)
    assert element.is_undefined_length


def test_frames_that_are_coded_in_different_ways_become_alike(tmp_path, target):
    frames = [jls(COLOUR8), jls(COLOUR8[::-1], planar=True)]
    source = encapsulated(tmp_path / "object.dcm", COLOUR8, JPEG_LS_LOSSLESS, frames,
                          NumberOfFrames=2)  # fmt: skip

    rendition(source, target)

    assert np.array_equal(pixels_of(target), np.stack([COLOUR8, COLOUR8[::-1]]))


def test_a_false_length_of_complete_pixels_is_repaired(tmp_path, target):
    source = raw_pixel_data(tmp_path / "object.dcm", GREY16, GREY16.tobytes(), 3 << 30)

    assert rendition(source, target).PixelData == GREY16.tobytes()
