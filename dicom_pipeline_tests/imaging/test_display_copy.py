"""A rendition is a display copy: what it says must fit its pixels, and what it is must be said."""

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_pipeline.imaging.outcomes import Action
from dicom_pipeline.imaging.transcode import render
from dicom_pipeline_tests.imaging.images import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    P,
    encapsulated,
    header,
    j2k,
    jpeg,
    jxl,
    noise,
    save,
)

SIGNED8 = noise("i1", -128, 127)
GREY12 = noise("u2", 0, 4095)
COLOUR8 = noise("u1", 0, 255, colour=True)


def items(**attributes) -> Sequence:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return Sequence([ds])


def copy_of(tmp_path, ds, syntax=EXPLICIT) -> Dataset:
    outcome = render(save(tmp_path / "object.dcm", ds, syntax), tmp_path / "copy.dcm")
    assert outcome.action is Action.TRANSCODE, outcome
    return dcmread(tmp_path / "copy.dcm")


def signed_bytes(**attributes) -> Dataset:
    ds = header(SIGNED8, **attributes)
    ds.add_new("PixelData", "OW", SIGNED8.tobytes())
    return ds


def lossy(tmp_path, **attributes) -> Dataset:
    """The copy of a lossy 12-bit JPEG."""
    frame = jpeg(GREY12, bitspersample=12)
    source = encapsulated(tmp_path / "object.dcm", GREY12, f"{P}.4.51", [frame],
                          BitsStored=12, **attributes)  # fmt: skip
    assert render(source, tmp_path / "copy.dcm").error is None
    return dcmread(tmp_path / "copy.dcm")


# Loss


def test_a_ratio_is_neither_made_up_nor_changed(tmp_path):
    marked = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "7.5",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }

    assert "LossyImageCompressionRatio" not in lossy(tmp_path)
    assert lossy(tmp_path, **marked).LossyImageCompressionRatio == 7.5
    assert lossy(tmp_path, **marked).LossyImageCompressionMethod == "ISO_10918_1"


def test_the_method_of_the_codestream_follows_that_of_an_earlier_loss(tmp_path):
    made = lossy(tmp_path, LossyImageCompressionMethod="ISO_15444_1")

    assert made.LossyImageCompressionMethod == ["ISO_15444_1", "ISO_10918_1"]


def test_one_lossy_frame_makes_the_object_a_lossy_one(tmp_path):
    frames = [j2k(COLOUR8), bytes(j2k_lossy(COLOUR8))]
    source = encapsulated(tmp_path / "object.dcm", COLOUR8, f"{P}.4.93", frames,
                          NumberOfFrames=2)  # fmt: skip

    assert render(source, tmp_path / "copy.dcm").error is None

    made = dcmread(tmp_path / "copy.dcm")
    assert (made.LossyImageCompression, made.LossyImageCompressionMethod) == ("01", "ISO_15444_1")


def j2k_lossy(pixels: np.ndarray) -> bytes:

    return imagecodecs.jpeg2k_encode(pixels, level=40, codecformat="J2K", reversible=False)


def test_jpeg_xl_made_from_a_jpeg_is_lossy(tmp_path):
    source = encapsulated(tmp_path / "object.dcm", COLOUR8, f"{P}.4.111", [jxl(COLOUR8)],
                          PhotometricInterpretation="YBR_FULL")  # fmt: skip

    assert render(source, tmp_path / "copy.dcm").error is None

    made = dcmread(tmp_path / "copy.dcm")
    assert (made.LossyImageCompression, made.LossyImageCompressionMethod) == ("01", "ISO_18181_1")


# What it is


def test_what_had_no_signature_is_not_said_to_have_lost_one(tmp_path):
    assert "signature" not in copy_of(tmp_path, signed_bytes()).DerivationDescription


def test_a_signature_inside_a_sequence_is_dropped_and_said_too(tmp_path):
    ds = signed_bytes(ReferencedImageSequence=items(ReferencedSOPInstanceUID="1.2"))
    ds.ReferencedImageSequence[0].DigitalSignaturesSequence = items(DigitalSignatureUID="1.2.3")
    ds.MACParametersSequence = items(MACIDNumber=1)

    made = copy_of(tmp_path, ds)

    assert made.DerivationDescription.endswith("digital signatures left out")
    assert "DigitalSignaturesSequence" not in made.ReferencedImageSequence[0]
    assert made.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2"
    assert "MACParametersSequence" not in made


def test_a_note_that_does_not_fit_behind_the_old_one_takes_its_place(tmp_path):
    made = copy_of(tmp_path, signed_bytes(DerivationDescription="x" * 1000))

    assert made.DerivationDescription.startswith("Display copy of the same SOP Instance")


# Values of pixels


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_values_of_promoted_pixels_are_signed_words(tmp_path, syntax):
    ds = signed_bytes()
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue"):
        ds.add_new(keyword, "SS", {"L": 127, "S": -128, "P": -5}[keyword[0]])
    ds.ModalityLUTSequence = items(LUTExplanation="as it is", ModalityLUTType="US")
    ds.ModalityLUTSequence[0].add_new("LUTDescriptor", "SS", [4, -128, 16])
    ds.ModalityLUTSequence[0].add_new("LUTData", "OW", bytes(8))

    made = copy_of(tmp_path, ds, syntax)

    for keyword, value in (
        ("SmallestImagePixelValue", -128),
        ("LargestImagePixelValue", 127),
        ("PixelPaddingValue", -5),
    ):
        assert (made[keyword].VR, made[keyword].value) == ("SS", value)
    assert made.ModalityLUTSequence[0].LUTDescriptor == [4, -128, 16]


def test_an_unsigned_byte_that_stands_for_a_signed_one_is_read_as_that(tmp_path):
    ds = signed_bytes()
    ds.add_new("PixelPaddingValue", "US", 0x80)

    made = copy_of(tmp_path, ds)

    assert (made["PixelPaddingValue"].VR, made.PixelPaddingValue) == ("SS", -128)


def test_real_world_values_are_mapped_from_the_promoted_pixels(tmp_path):
    ds = signed_bytes()
    mapping = items(RealWorldValueIntercept=0.0, RealWorldValueSlope=1.0)
    mapping[0].add_new("RealWorldValueFirstValueMapped", "US", 0x80)
    mapping[0].add_new("RealWorldValueLastValueMapped", "US", 0x7F)
    ds.SharedFunctionalGroupsSequence = items(RealWorldValueMappingSequence=mapping)

    mapped = (
        copy_of(tmp_path, ds).SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    )

    assert mapped.RealWorldValueFirstValueMapped == -128
    assert mapped.RealWorldValueLastValueMapped == 127


def test_what_turns_pixel_values_into_others_stays_as_it_was(tmp_path):
    transformation = items(RescaleIntercept="-1024.50", RescaleSlope="2.0", RescaleType="HU")
    ds = signed_bytes(RescaleIntercept="-1000", RescaleSlope="1.50", WindowCenter="40")
    ds.PerFrameFunctionalGroupsSequence = items(PixelValueTransformationSequence=transformation)

    made = copy_of(tmp_path, ds)

    assert made.get_item("RescaleSlope").value == b"1.50"
    frame = made.PerFrameFunctionalGroupsSequence[0].PixelValueTransformationSequence[0]
    assert frame.get_item("RescaleIntercept").value == b"-1024.50"


def test_an_icc_profile_belongs_to_the_colours_of_the_copy_too(tmp_path):
    ds = header(COLOUR8, PhotometricInterpretation="YBR_FULL_422")
    ds.ICCProfile = b"profile."
    ds.add_new("PixelData", "OW", COLOUR8.tobytes()[: 34 * 46 * 2])

    made = copy_of(tmp_path, ds)

    assert made.ICCProfile == b"profile."
    assert (made.PhotometricInterpretation, made.PlanarConfiguration) == ("RGB", 0)


# Other elements


def test_long_elements_and_those_behind_the_pixels_are_kept(tmp_path):
    ds = signed_bytes()
    ds.add_new(0x00411001, "OB", bytes(range(250)) * 1000)
    ds.add_new(0x00410010, "LO", "SOMEONE")
    ds.add_new(0x7FE10010, "LO", "SOMEONE")
    ds.add_new(0x7FE11001, "OB", b"behind")

    made = copy_of(tmp_path, ds)

    assert made[0x00411001].value == bytes(range(250)) * 1000
    assert made[0x7FE11001].value == b"behind"


def test_overlays_of_frames_that_end_inside_a_byte_follow_without_a_gap(tmp_path):
    cells = np.random.default_rng(2).integers(0, 4096, (3, 5, 7)).astype("u2")
    planes = np.random.default_rng(3).integers(0, 2, cells.shape).astype("u2")
    ds = header(cells[0], BitsStored=12, NumberOfFrames=3)
    ds.add_new(0x60000010, "US", 5)
    ds.add_new(0x60000011, "US", 7)
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 13)
    ds.add_new("PixelData", "OW", (cells | planes << 13).tobytes())

    made = copy_of(tmp_path, ds)

    assert np.array_equal(made.overlay_array(0x6000), planes)
    assert made[0x60000015].value == 3
