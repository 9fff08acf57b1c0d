"""What the rules about images ask of an object: one condition a function.

Each says what an image *is*; what Cornerstone3D then does is said where the condition is used, in
`dicom_pipeline.imaging.rules`.
"""

from typing import Final, NamedTuple

import numpy as np

from dicom_pipeline.imaging.codestream import Jpeg2000Header, JpegHeader
from dicom_pipeline.imaging.decoding import decode_frames, stored_cells
from dicom_pipeline.imaging.frames import Fragments
from dicom_pipeline.imaging.image import (
    COLOUR_SAMPLES,
    COLOURS,
    GREY_OR_PALETTE,
    PALETTE,
    SUBSAMPLED,
    Image,
)
from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.samples import rounded_to_floats, taken_for_integers
from dicom_pipeline.imaging.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    JPEG_XL_RECOMPRESSION,
    Family,
    Viewer,
)

NATIVE_LAYOUT: Final = frozenset(
    {Family.NATIVE, Family.ENCAPSULATED_NATIVE, Family.DEFLATED_FRAMES}
)
"""Families whose frames are cells one after another."""
_BYTE: Final = 8
_WORD: Final = 16
_LEVELS: Final = 256
_COLOURS: Final = ("Red", "Green", "Blue")
_DECODED_AS_EXTENDED: Final = frozenset({"1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"})
_CONVERTED: Final = frozenset({"YBR_FULL", "YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420"})
"""Labels of samples of full size that the viewer sends through a conversion of 8-bit colour."""


class Evidence(NamedTuple):
    """All that the rules about images look at."""

    source: DicomObject
    image: Image
    family: Family
    fragments: Fragments | None
    """None for native pixel data."""
    jpeg: JpegHeader | None
    """Of one frame, in the syntaxes of the JPEG and JPEG-LS families."""
    j2k: Jpeg2000Header | None
    """Of one frame, in the syntaxes of the JPEG 2000 and HTJ2K families."""
    mixed: bool
    """Whether the headers of the frames contradict each other."""


def colour_contradicts_samples(evidence: Evidence) -> bool:
    image = evidence.image
    return image.photometric not in (COLOURS if image.colour else GREY_OR_PALETTE)


def lacks_palette(evidence: Evidence) -> bool:
    if evidence.image.photometric != PALETTE:
        return False
    dataset = evidence.source.dataset
    described, whole, segmented = (
        all(keyword.format(colour) in dataset for colour in ("Red", "Green", "Blue"))
        for keyword in (
            "{}PaletteColorLookupTableDescriptor",
            "{}PaletteColorLookupTableData",
            "Segmented{}PaletteColorLookupTableData",
        )
    )
    return not (described and (whole or segmented))


def holds_more_frames(evidence: Evidence) -> bool:
    image = evidence.image
    if evidence.fragments is not None:
        return evidence.fragments.frames > image.frames
    length = len(evidence.source.pixel_bytes)
    more = length * 8 >= image.frame_bits * (image.frames + 1)
    return more and length - image.total_bytes > 1  # one byte makes the length even


def is_not_subsampled(evidence: Evidence) -> bool:
    """Whether native pixel data labelled as subsampled is as long as full colour."""
    image = evidence.image
    full = image.rows * image.columns * COLOUR_SAMPLES * image.frames * image.bits_allocated // 8
    return (
        evidence.fragments is None
        and image.photometric in SUBSAMPLED
        and len(evidence.source.pixel_bytes) >= full
    )


def lacks_sign(evidence: Evidence) -> bool:
    """No PixelRepresentation, where a decoder of the viewer then takes 16 bits for signed."""
    image, family = evidence.image, evidence.family
    if image.floating or "PixelRepresentation" in evidence.source.dataset:
        return False
    if family is Family.JPEG_LOSSLESS:
        return image.bits_allocated != _WORD or image.bits_stored == _WORD
    wide = image.bits_allocated > _WORD or image.bits_stored == _WORD
    return wide and family in NATIVE_LAYOUT | {Family.RLE}


def lacks_planar_configuration(evidence: Evidence) -> bool:
    image = evidence.image
    return (
        image.colour
        and "PlanarConfiguration" not in evidence.source.dataset
        and image.photometric == "YBR_FULL"
    )


def loses_fragments(evidence: Evidence) -> bool:
    fragments = evidence.fragments
    return (
        fragments is not None
        and evidence.image.frames > 1
        and fragments.number != evidence.image.frames
        and not fragments.basic
    )


def misses_fragments(evidence: Evidence) -> bool:
    """Whether the Basic Offset Table names places where no fragment begins, or too few."""
    fragments = evidence.fragments
    if fragments is None or not fragments.basic:
        return False
    wrong = set(fragments.basic) - set(fragments.starts)
    return bool(wrong) or len(fragments.basic) < evidence.image.frames


def has_stray_bits(evidence: Evidence) -> bool:
    """Whether unsigned cells have bits above HighBit: an old overlay, or padding.

    The viewer extends the sign of signed ones from BitsStored, and so drops such bits.
    """
    image = evidence.image
    if image.signed or image.high_bit + 1 == image.bits_allocated:
        return False
    above = image.high_bit + 1
    return any(int(cells.max()) >> above for cells in stored_cells(evidence.source, image))


def rgb_taken_for_ybr(evidence: Evidence) -> bool:
    jpeg = evidence.jpeg
    return (
        jpeg is not None
        and jpeg.components == COLOUR_SAMPLES
        and jpeg.adobe_transform is None
        and jpeg.colour(evidence.image.photometric) == "RGB"
        and jpeg.component_ids != (ord("R"), ord("G"), ord("B"))
    )


def colour_label_contradicts(evidence: Evidence) -> bool:
    """JPEG Extended: the viewer's decoder follows the label alone."""
    jpeg, image = evidence.jpeg, evidence.image
    if jpeg is None or jpeg.components != COLOUR_SAMPLES:
        return False
    meant = jpeg.colour(image.photometric)
    return image.planar or not (
        (image.photometric == "YBR_FULL" and meant == "YCBCR")
        or (image.photometric == "RGB" and meant == "RGB")
    )


def cells_contradict_precision(evidence: Evidence) -> bool:
    jpeg, allocated = evidence.jpeg, evidence.image.bits_allocated
    if jpeg is None:
        return False
    wider = allocated > (_BYTE if evidence.image.colour and jpeg.precision <= _BYTE else _WORD)
    return wider or jpeg.precision > allocated


def interleave_contradicts(evidence: Evidence) -> bool:
    jpeg = evidence.jpeg
    return (
        jpeg is not None
        and jpeg.components > 1
        and (jpeg.scan_components == 1) != evidence.image.planar
    )


def is_wide_and_converted(evidence: Evidence) -> bool:
    """Colour of more than 8 bits that goes through one of the viewer's conversions to 8 bits."""
    image = evidence.image
    if not image.colour or image.bits_allocated <= _BYTE:
        return False
    # The decoder of lossless JPEG tells the viewer that its samples are interleaved.
    by_plane = image.planar and evidence.family is not Family.JPEG_LOSSLESS
    return image.photometric in _CONVERTED or (image.photometric == "RGB" and by_plane)


def is_subsampled_by_label_alone(evidence: Evidence) -> bool:
    """Full YCbCr samples labelled as subsampled: the viewer converts them to RGB nowhere."""
    transformed = evidence.j2k is not None and evidence.j2k.multiple_component_transform
    recompressed = uid_is(evidence, JPEG_XL_RECOMPRESSION)
    return evidence.image.photometric in SUBSAMPLED and not (transformed or recompressed)


def never_decoded(evidence: Evidence) -> bool:
    """Whether the syntax alone settles it: two retired ones go through the decoder of another."""
    syntax, jpeg = evidence.source.syntax, evidence.jpeg
    if syntax is None or syntax.viewer is not Viewer.NEVER:
        return False
    grey = jpeg is not None and jpeg.components == 1 and jpeg.precision == _BYTE
    return not (grey and syntax.uid in _DECODED_AS_EXTENDED)


def palette_misread(evidence: Evidence) -> bool:
    """Whether the viewer misreads a whole palette.

    It reads the first of its descriptors for all three tables, refuses a table with a byte more
    than its entries, and takes entries of 16 bits for 8 where no red is above 255.
    """
    if evidence.image.photometric != PALETTE:
        return False
    dataset = evidence.source.dataset
    tables = [bytes(dataset[f"{colour}PaletteColorLookupTableData"].value) for colour in _COLOURS]
    descriptors = [
        list(dataset[f"{colour}PaletteColorLookupTableDescriptor"].value) for colour in _COLOURS
    ]
    entries, _, bits = descriptors[0]
    entries = entries or 1 << _WORD
    if any(one != descriptors[0] for one in descriptors):
        return True
    if any(len(table) != len(tables[0]) for table in tables):
        return True
    if len(tables[0]) == entries:
        return False
    if len(tables[0]) != 2 * entries:
        return True
    order = ">" if uid_is(evidence, EXPLICIT_VR_BIG_ENDIAN) else "<"
    red, green, blue = (int(np.frombuffer(table, f"{order}u2").max()) for table in tables)
    return max(green, blue) >= _LEVELS > red if bits > _BYTE else max(red, green, blue) >= _LEVELS


def big_endian_unread(evidence: Evidence) -> bool:
    """What the viewer does not turn around in Explicit VR Big Endian."""
    if not uid_is(evidence, EXPLICIT_VR_BIG_ENDIAN):
        return False
    image, source = evidence.image, evidence.source
    if image.floating or image.bits_allocated not in {_BYTE, _WORD}:
        return True
    in_words = source.pixels is not None and source.pixels.vr == "OW"
    return image.photometric == PALETTE or (image.bits_allocated == _BYTE and in_words)


def frames_are_uneven(evidence: Evidence) -> bool:
    return evidence.image.frames > 1 and len(evidence.source.pixel_bytes) != (
        evidence.image.total_bytes
    )


def padding_is_a_sample(evidence: Evidence) -> bool:
    """Whether native 8-bit colour of one frame ends with the byte that makes its length even."""
    image = evidence.image
    return image.colour and image.frames == 1 and image.total_bytes % 2 == 1


def fractions_are_lost(evidence: Evidence) -> bool:
    if not evidence.image.floating:
        return False
    return any(map(taken_for_integers, decode_frames(evidence.source, evidence.image)))


def rounds_to_float(evidence: Evidence) -> bool:
    image = evidence.image
    if not image.signed or image.floating or image.bits_allocated <= _WORD:
        return False
    return any(map(rounded_to_floats, decode_frames(evidence.source, image)))


def uid_is(evidence: Evidence, uid: str) -> bool:
    return evidence.source.syntax_uid == uid
