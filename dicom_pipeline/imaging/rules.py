"""The rules about images: what Cornerstone3D shows wrong, in the order in which they are asked.

Each was measured in a browser, pixel by pixel, with generated and real files: docs/rendering.md.
"""

from collections.abc import Callable
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
from dicom_pipeline.imaging.outcomes import Action, ErrorCode
from dicom_pipeline.imaging.samples import rounded_to_floats, taken_for_integers
from dicom_pipeline.imaging.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_XL_RECOMPRESSION,
    Family,
    Viewer,
)
from dicom_pipeline.imaging.viewer_text import viewer_knows_text

MEASURED_WITH: Final = "Cornerstone3D 5.14.0"
"""The version that the rules are about: dicom-image-loader with `wadouri:` and its own metadata."""

JPEG_FAMILIES: Final = frozenset({Family.JPEG, Family.JPEG_LOSSLESS, Family.JPEG_LS})
JPEG_2000_FAMILIES: Final = frozenset({Family.JPEG_2000, Family.HTJ2K})
_NATIVE_LAYOUT: Final = frozenset(
    {Family.NATIVE, Family.ENCAPSULATED_NATIVE, Family.DEFLATED_FRAMES}
)
_BYTE: Final = 8
_WORD: Final = 16
_LAST_PREDICTOR: Final = 7
_LEVELS: Final = 256
_COLOURS: Final = ("Red", "Green", "Blue")
_DECODED_AS_EXTENDED: Final = frozenset({"1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55"})
_CONVERTED: Final = frozenset({"YBR_FULL", "YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420"})
"""Labels of samples of full size that the viewer sends through a conversion of 8-bit colour."""
_BASELINE_SOFS: Final = frozenset({0xC0, 0xC1, 0xC2})


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


class Rule(NamedTuple):
    """One reason why the viewer does not show an image right."""

    name: str
    families: frozenset[Family] | None
    """Where the rule holds; None: in every family."""
    applies: Callable[[Evidence], bool]
    reason: str
    """What Cornerstone3D does with such an image."""
    action: Action = Action.TRANSCODE
    error_code: ErrorCode | None = None


def _colour_contradicts_samples(evidence: Evidence) -> bool:
    image = evidence.image
    return image.photometric not in (COLOURS if image.colour else GREY_OR_PALETTE)


def _lacks_palette(evidence: Evidence) -> bool:
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


def _holds_more_frames(evidence: Evidence) -> bool:
    image = evidence.image
    if evidence.fragments is not None:
        return evidence.fragments.frames > image.frames
    length = len(evidence.source.pixel_bytes)
    more = length * 8 >= image.frame_bits * (image.frames + 1)
    return more and length - image.total_bytes > 1  # one byte makes the length even


def _is_not_subsampled(evidence: Evidence) -> bool:
    """Whether native pixel data labelled as subsampled is as long as full colour."""
    image = evidence.image
    full = image.rows * image.columns * COLOUR_SAMPLES * image.frames * image.bits_allocated // 8
    return (
        evidence.fragments is None
        and image.photometric in SUBSAMPLED
        and len(evidence.source.pixel_bytes) >= full
    )


def _lacks_sign(evidence: Evidence) -> bool:
    """No PixelRepresentation, where a decoder of the viewer then takes 16 bits for signed."""
    image, family = evidence.image, evidence.family
    if image.floating or "PixelRepresentation" in evidence.source.dataset:
        return False
    if family is Family.JPEG_LOSSLESS:
        return image.bits_allocated != _WORD or image.bits_stored == _WORD
    wide = image.bits_allocated > _WORD or image.bits_stored == _WORD
    return wide and family in _NATIVE_LAYOUT | {Family.RLE}


def _lacks_planar_configuration(evidence: Evidence) -> bool:
    image = evidence.image
    return (
        image.colour
        and "PlanarConfiguration" not in evidence.source.dataset
        and image.photometric == "YBR_FULL"
    )


def _loses_fragments(evidence: Evidence) -> bool:
    fragments = evidence.fragments
    return (
        fragments is not None
        and evidence.image.frames > 1
        and fragments.number != evidence.image.frames
        and not fragments.basic
    )


def _misses_fragments(evidence: Evidence) -> bool:
    """Whether the Basic Offset Table names places where no fragment begins, or too few."""
    fragments = evidence.fragments
    if fragments is None or not fragments.basic:
        return False
    wrong = set(fragments.basic) - set(fragments.starts)
    return bool(wrong) or len(fragments.basic) < evidence.image.frames


def _has_stray_bits(evidence: Evidence) -> bool:
    """Whether unsigned cells have bits above HighBit: an old overlay, or padding.

    The viewer extends the sign of signed ones from BitsStored, and so drops such bits.
    """
    image = evidence.image
    if image.signed or image.high_bit + 1 == image.bits_allocated:
        return False
    above = image.high_bit + 1
    return any(int(cells.max()) >> above for cells in stored_cells(evidence.source, image))


def _rgb_taken_for_ybr(evidence: Evidence) -> bool:
    jpeg = evidence.jpeg
    return (
        jpeg is not None
        and jpeg.components == COLOUR_SAMPLES
        and jpeg.adobe_transform is None
        and jpeg.colour(evidence.image.photometric) == "RGB"
        and jpeg.component_ids != (ord("R"), ord("G"), ord("B"))
    )


def _colour_label_contradicts(evidence: Evidence) -> bool:
    """JPEG Extended: the viewer's decoder follows the label alone."""
    jpeg, image = evidence.jpeg, evidence.image
    if jpeg is None or jpeg.components != COLOUR_SAMPLES:
        return False
    meant = jpeg.colour(image.photometric)
    return image.planar or not (
        (image.photometric == "YBR_FULL" and meant == "YCBCR")
        or (image.photometric == "RGB" and meant == "RGB")
    )


def _cells_contradict_precision(evidence: Evidence) -> bool:
    jpeg, allocated = evidence.jpeg, evidence.image.bits_allocated
    if jpeg is None:
        return False
    wider = allocated > (_BYTE if evidence.image.colour and jpeg.precision <= _BYTE else _WORD)
    return wider or jpeg.precision > allocated


def _interleave_contradicts(evidence: Evidence) -> bool:
    jpeg = evidence.jpeg
    return (
        jpeg is not None
        and jpeg.components > 1
        and (jpeg.scan_components == 1) != evidence.image.planar
    )


def _is_wide_and_converted(evidence: Evidence) -> bool:
    """Colour of more than 8 bits that goes through one of the viewer's conversions to 8 bits."""
    image = evidence.image
    if not image.colour or image.bits_allocated <= _BYTE:
        return False
    # The decoder of lossless JPEG tells the viewer that its samples are interleaved.
    by_plane = image.planar and evidence.family is not Family.JPEG_LOSSLESS
    return image.photometric in _CONVERTED or (image.photometric == "RGB" and by_plane)


def _is_subsampled_by_label_alone(evidence: Evidence) -> bool:
    """Full YCbCr samples labelled as subsampled: the viewer converts them to RGB nowhere."""
    transformed = evidence.j2k is not None and evidence.j2k.multiple_component_transform
    recompressed = _uid_is(evidence, JPEG_XL_RECOMPRESSION)
    return evidence.image.photometric in SUBSAMPLED and not (transformed or recompressed)


def _never_decoded(evidence: Evidence) -> bool:
    """Whether the syntax alone settles it: two retired ones go through the decoder of another."""
    syntax, jpeg = evidence.source.syntax, evidence.jpeg
    if syntax is None or syntax.viewer is not Viewer.NEVER:
        return False
    grey = jpeg is not None and jpeg.components == 1 and jpeg.precision == _BYTE
    return not (grey and syntax.uid in _DECODED_AS_EXTENDED)


def _palette_misread(evidence: Evidence) -> bool:
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
    order = ">" if _uid_is(evidence, EXPLICIT_VR_BIG_ENDIAN) else "<"
    red, green, blue = (int(np.frombuffer(table, f"{order}u2").max()) for table in tables)
    return max(green, blue) >= _LEVELS > red if bits > _BYTE else max(red, green, blue) >= _LEVELS


def _big_endian_unread(evidence: Evidence) -> bool:
    """What the viewer does not turn around in Explicit VR Big Endian."""
    if not _uid_is(evidence, EXPLICIT_VR_BIG_ENDIAN):
        return False
    image, source = evidence.image, evidence.source
    if image.floating or image.bits_allocated not in {_BYTE, _WORD}:
        return True
    in_words = source.pixels is not None and source.pixels.vr == "OW"
    return image.photometric == PALETTE or (image.bits_allocated == _BYTE and in_words)


def _frames_are_uneven(evidence: Evidence) -> bool:
    return evidence.image.frames > 1 and len(evidence.source.pixel_bytes) != (
        evidence.image.total_bytes
    )


def _padding_is_a_sample(evidence: Evidence) -> bool:
    """Whether native 8-bit colour of one frame ends with the byte that makes its length even."""
    image = evidence.image
    return image.colour and image.frames == 1 and image.total_bytes % 2 == 1


def _fractions_are_lost(evidence: Evidence) -> bool:
    if not evidence.image.floating:
        return False
    return any(map(taken_for_integers, decode_frames(evidence.source, evidence.image)))


def _rounds_to_float(evidence: Evidence) -> bool:
    image = evidence.image
    if not image.signed or image.floating or image.bits_allocated <= _WORD:
        return False
    return any(map(rounded_to_floats, decode_frames(evidence.source, image)))


def _uid_is(evidence: Evidence, uid: str) -> bool:
    return evidence.source.syntax_uid == uid


_ALL: Final = None
_ONLY_JPEG: Final = frozenset({Family.JPEG})
_ONLY_JPEG_LOSSLESS: Final = frozenset({Family.JPEG_LOSSLESS})
_ONLY_JPEG_LS: Final = frozenset({Family.JPEG_LS})
_ONLY_JPEG_2000: Final = frozenset({Family.JPEG_2000})
_ONLY_HTJ2K: Final = frozenset({Family.HTJ2K})
_ONLY_JPEG_XL: Final = frozenset({Family.JPEG_XL})
_ONLY_RLE: Final = frozenset({Family.RLE})
_ONLY_NATIVE: Final = frozenset({Family.NATIVE})
_CELLS: Final = _NATIVE_LAYOUT | _ONLY_RLE

IMAGE_RULES: Final = (
    # What nobody can show right, since it is not known what the pixels mean
    Rule("colour-contradicts-samples", _ALL, _colour_contradicts_samples,
         "PhotometricInterpretation is missing, unknown or does not fit SamplesPerPixel",
         Action.FAIL, ErrorCode.UNREADABLE_OBJECT),
    Rule("palette-missing", _ALL, _lacks_palette,
         "PALETTE COLOR without its three lookup tables",
         Action.FAIL, ErrorCode.UNREADABLE_OBJECT),
    Rule("more-frames", _ALL, _holds_more_frames,
         "the pixel data holds more frames than NumberOfFrames says: frames would vanish",
         Action.FAIL, ErrorCode.UNREADABLE_OBJECT),
    Rule("not-subsampled", _ALL, _is_not_subsampled,
         "labelled as subsampled colour, but as long as full colour",
         Action.FAIL, ErrorCode.UNREADABLE_OBJECT),
    # The file
    Rule("container", _ALL, lambda e: e.source.fault is not None,
         "dicom-parser cannot walk the file"),
    Rule("character-set", _ALL, lambda e: not viewer_knows_text(e.source.dataset),
         "a SpecificCharacterSet that the viewer does not know: it refuses the object"),
    Rule("attributes-missing", _ALL, _lacks_sign,
         "without PixelRepresentation 16-bit pixels are taken for signed: wrong pixels"),
    Rule("attributes-missing", _ALL, _lacks_planar_configuration,
         "without PlanarConfiguration YBR_FULL is taken for planes: wrong colours"),
    Rule("double-float", _ALL, lambda e: e.source.pixel_keyword == "DoubleFloatPixelData",
         "64-bit floats: `no pixel data`"),
    Rule("syntax-never", _ALL, _never_decoded,
         "no decoder for the transfer syntax, or wrong pixels for nearly every image"),
    Rule("big-endian", _ONLY_NATIVE, _big_endian_unread,
         "big-endian words other than 16-bit pixels are not turned around: wrong pixels or none"),
    Rule("fragments-without-offsets", _ALL, _loses_fragments,
         "several fragments a frame and no Basic Offset Table: frames are lost or mixed"),
    Rule("fragments-without-offsets", _ALL, _misses_fragments,
         "a Basic Offset Table that does not point at the fragments: frames do not load"),
    # What the attributes say
    Rule("one-bit", _ALL, lambda e: e.image.bits_allocated == 1,
         "1 bit a pixel: wrong pixels"),
    Rule("more-than-32-bits", _ALL,
         lambda e: not e.image.floating and e.image.bits_allocated > 2 * _WORD,
         "integers of 64 bits: no viewer and no target for them",
         Action.FAIL, ErrorCode.UNSUPPORTED_SYNTAX),
    Rule("eight-bit-signed", frozenset(Family) - {Family.JPEG_LS, Family.JPEG_XL},
         lambda e: e.image.signed and e.image.bits_allocated == _BYTE,
         "signed 8-bit pixels are read as unsigned: wrong pixels"),
    Rule("segmented-palette", _ALL,
         lambda e: "SegmentedRedPaletteColorLookupTableData" in e.source.dataset,
         "segmented palettes never load"),
    Rule("palette-tables", _ALL, _palette_misread,
         "the palette is read by the red table's descriptor and values: wrong colours or an error"),
    Rule("subsampled-native", _NATIVE_LAYOUT, lambda e: e.image.photometric in SUBSAMPLED,
         "subsampled colour in native pixel data: wrong pixels"),
    Rule("high-bit", _CELLS, lambda e: e.image.high_bit != e.image.bits_stored - 1,
         "HighBit is ignored: wrong pixels"),
    Rule("uneven-frames", _ONLY_NATIVE, _frames_are_uneven,
         "pixel data that does not divide into the frames is refused: `Invalid frame length`"),
    Rule("odd-colour", _ONLY_NATIVE, _padding_is_a_sample,
         "the byte that makes colour even is taken for a sample: never settles, or stays dark"),
    Rule("padding", _ONLY_NATIVE,
         lambda e: len(e.source.pixel_bytes) - e.image.total_bytes > 1,
         "more pixel data than the attributes ask for"),
    Rule("stray-bits", _CELLS, _has_stray_bits,
         "bits above HighBit are taken for the pixel's: wrong pixels"),
    Rule("wide-colour-converted", _ALL, _is_wide_and_converted,
         "colour of more than 8 bits is cut to 8 where it is converted to interleaved RGB"),
    Rule("subsampled-by-label", frozenset(Family) - _NATIVE_LAYOUT - _ONLY_JPEG,
         _is_subsampled_by_label_alone,
         "full YCbCr samples labelled as subsampled are taken for RGB: wrong colours"),
    Rule("unknown-colour", _ALL, lambda e: e.image.photometric == "XYB",
         "a label that the viewer does not know for colour"),
    Rule("planes-unknown", _CELLS,
         lambda e: e.image.planar and e.image.photometric in {"YBR_RCT", "YBR_ICT"},
         "planes labelled YBR_RCT or YBR_ICT are taken for interleaved samples: wrong pixels"),
    Rule("float-with-sign", _ALL,
         lambda e: e.image.floating and "PixelRepresentation" in e.source.dataset,
         "floats with a PixelRepresentation are read as integers: wrong pixels"),
    Rule("float-between-whole-numbers", _ALL, _fractions_are_lost,
         "a float image between two whole numbers becomes integers: its fractions are lost"),
    Rule("signed-32-bit-rounded", _ALL, _rounds_to_float,
         "signed 32-bit pixels become floats of 24 bits: rounded"),
    # RLE
    Rule("rle-32-bit", _ONLY_RLE, lambda e: e.image.bits_allocated > _WORD,
         "32-bit RLE: an error"),
    Rule("rle-16-bit-colour", _ONLY_RLE,
         lambda e: e.image.bits_allocated == _WORD and e.image.colour,
         "16-bit colour in RLE: wrong pixels"),
    # JPEG, JPEG lossless, JPEG-LS: the codestream
    Rule("no-codestream", JPEG_FAMILIES, lambda e: e.jpeg is None,
         "a frame has no JPEG header", Action.FAIL, ErrorCode.DECODER_ERROR),
    Rule("mislabelled", _ONLY_JPEG,
         lambda e: e.jpeg is not None and e.jpeg.sof not in _BASELINE_SOFS,
         "the codestream is another JPEG process than the transfer syntax says"),
    Rule("mislabelled", _ONLY_JPEG_LOSSLESS,
         lambda e: e.jpeg is not None and not e.jpeg.lossless,
         "the codestream is not lossless JPEG"),
    Rule("mislabelled", _ONLY_JPEG_LS, lambda e: e.jpeg is not None and not e.jpeg.jpeg_ls,
         "the codestream is not JPEG-LS"),
    Rule("jpeg-12-bit", _ONLY_JPEG, lambda e: e.jpeg is not None and e.jpeg.precision > _BYTE,
         "12-bit JPEG: 15 is added to every pixel"),
    Rule("jpeg-rgb-without-marker", _ONLY_JPEG,
         lambda e: _uid_is(e, JPEG_BASELINE) and _rgb_taken_for_ybr(e),
         "RGB JPEG without an Adobe marker is taken for YCbCr: wrong colours"),
    Rule("jpeg-shown-otherwise", _ONLY_JPEG,
         lambda e: _uid_is(e, JPEG_BASELINE) and e.jpeg is not None
         and e.jpeg.components == COLOUR_SAMPLES and e.jpeg.shown_otherwise,
         "the browser turns or recolours it by its Exif orientation or ICC profile"),
    Rule("jpeg-extended-colour", _ONLY_JPEG,
         lambda e: _uid_is(e, JPEG_EXTENDED) and _colour_label_contradicts(e),
         "JPEG Extended whose colour label does not fit the codestream: wrong colours"),
    Rule("jpeg-lossless-cells", _ONLY_JPEG_LOSSLESS, _cells_contradict_precision,
         "BitsAllocated is believed, and does not fit the codestream: wrong pixels"),
    Rule("jpeg-lossless-16-bit-colour", _ONLY_JPEG_LOSSLESS,
         lambda e: e.jpeg is not None and e.jpeg.components > 1 and e.jpeg.precision > _BYTE,
         "lossless JPEG colour of more than 8 bits: wrong pixels"),
    Rule("jpeg-lossless-scans", _ONLY_JPEG_LOSSLESS,
         lambda e: e.jpeg is not None and e.jpeg.scan_components < e.jpeg.components,
         "only the first scan is decoded: wrong colours"),
    Rule("jpeg-lossless-predictor-7", _ONLY_JPEG_LOSSLESS,
         lambda e: e.jpeg is not None and e.jpeg.selection == _LAST_PREDICTOR
         and e.jpeg.precision == _WORD,
         "predictor 7 at 16 bits overflows: wrong pixels"),
    Rule("jpeg-lossless-point-transform", _ONLY_JPEG_LOSSLESS,
         lambda e: e.jpeg is not None and e.jpeg.point_transform > 0,
         "the point transform is not undone: wrong pixels"),
    Rule("jpeg-ls-interleave", _ONLY_JPEG_LS, _interleave_contradicts,
         "interleave mode and PlanarConfiguration differ: wrong pixels"),
    # JPEG 2000 and HTJ2K: the codestream
    Rule("no-codestream", JPEG_2000_FAMILIES, lambda e: e.j2k is None,
         "a frame has no JPEG 2000 header", Action.FAIL, ErrorCode.DECODER_ERROR),
    Rule("j2k-sign", JPEG_2000_FAMILIES,
         lambda e: e.j2k is not None and e.j2k.signed != e.image.signed,
         "the codestream's sign is not PixelRepresentation's: wrong pixels"),
    Rule("j2k-more-than-16-bits", JPEG_2000_FAMILIES,
         lambda e: e.j2k is not None and e.j2k.precision > _WORD,
         "more than 16 bits: wrong pixels"),
    Rule("htj2k-without-transform", _ONLY_HTJ2K,
         lambda e: e.j2k is not None and e.image.colour
         and not e.j2k.multiple_component_transform,
         "colour without a component transform: wrong pixels"),
    Rule("j2k-transform-labelled-ybr", JPEG_2000_FAMILIES,
         lambda e: e.j2k is not None and e.j2k.multiple_component_transform
         and e.image.photometric == "YBR_FULL",
         "decoded RGB is converted once more because of its label: wrong colours"),
    Rule("j2k-planar", JPEG_2000_FAMILIES,
         lambda e: e.image.planar and e.image.photometric in {"RGB", "YBR_FULL"},
         "PlanarConfiguration 1 is believed of interleaved samples: wrong pixels"),
    # All codestreams
    Rule("frames-differ", JPEG_FAMILIES | JPEG_2000_FAMILIES, lambda e: e.mixed,
         "frames of different size, precision, sign, components or interleave: not measured"),
    # JPEG XL
    Rule("jxl-colour-label", _ONLY_JPEG_XL,
         lambda e: e.image.colour and (e.image.planar or e.image.photometric == "YBR_FULL"),
         "JPEG XL colour labelled YBR_FULL or planar: wrong colours"),
)  # fmt: skip
"""The first rule that applies to a frame decides; an image to which none applies is shown right."""
