"""The rules about images: what Cornerstone3D shows wrong, in the order in which they are asked.

Each was measured in a browser, pixel by pixel, with generated and real files: docs/rendering.md.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from dicom_pipeline.imaging import conditions
from dicom_pipeline.imaging.conditions import NATIVE_LAYOUT, Evidence, uid_is
from dicom_pipeline.imaging.image import COLOUR_SAMPLES, SUBSAMPLED
from dicom_pipeline.imaging.outcomes import Action, ErrorCode
from dicom_pipeline.imaging.transfer_syntaxes import JPEG_BASELINE, JPEG_EXTENDED, Family
from dicom_pipeline.imaging.viewer_text import viewer_knows_text

MEASURED_WITH: Final = "Cornerstone3D 5.14.0"
"""The version that the rules are about: dicom-image-loader with `wadouri:` and its own metadata."""

JPEG_FAMILIES: Final = frozenset({Family.JPEG, Family.JPEG_LOSSLESS, Family.JPEG_LS})
JPEG_2000_FAMILIES: Final = frozenset({Family.JPEG_2000, Family.HTJ2K})
_BYTE: Final = 8
_WORD: Final = 16
_LAST_PREDICTOR: Final = 7
_BASELINE_SOFS: Final = frozenset({0xC0, 0xC1, 0xC2})


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


_ALL: Final = None
_ONLY_JPEG: Final = frozenset({Family.JPEG})
_ONLY_JPEG_LOSSLESS: Final = frozenset({Family.JPEG_LOSSLESS})
_ONLY_JPEG_LS: Final = frozenset({Family.JPEG_LS})
_ONLY_JPEG_2000: Final = frozenset({Family.JPEG_2000})
_ONLY_HTJ2K: Final = frozenset({Family.HTJ2K})
_ONLY_JPEG_XL: Final = frozenset({Family.JPEG_XL})
_ONLY_RLE: Final = frozenset({Family.RLE})
_ONLY_NATIVE: Final = frozenset({Family.NATIVE})
_CELLS: Final = NATIVE_LAYOUT | _ONLY_RLE

IMAGE_RULES: Final = (
    # What nobody can show right, since it is not known what the pixels mean
    Rule("colour-contradicts-samples", _ALL, conditions.colour_contradicts_samples,
         "PhotometricInterpretation is missing, unknown or does not fit SamplesPerPixel",
         Action.FAIL, ErrorCode.UNREADABLE_OBJECT),
    Rule("palette-missing", _ALL, conditions.lacks_palette,
         "PALETTE COLOR without its three lookup tables",
         Action.FAIL, ErrorCode.UNREADABLE_OBJECT),
    Rule("more-frames", _ALL, conditions.holds_more_frames,
         "the pixel data holds more frames than NumberOfFrames says: frames would vanish",
         Action.FAIL, ErrorCode.UNREADABLE_OBJECT),
    Rule("not-subsampled", _ALL, conditions.is_not_subsampled,
         "labelled as subsampled colour, but as long as full colour",
         Action.FAIL, ErrorCode.UNREADABLE_OBJECT),
    # The file
    Rule("container", _ALL, lambda e: e.source.fault is not None,
         "dicom-parser cannot walk the file"),
    Rule("character-set", _ALL, lambda e: not viewer_knows_text(e.source.dataset),
         "a SpecificCharacterSet that the viewer does not know: it refuses the object"),
    Rule("attributes-missing", _ALL, conditions.lacks_sign,
         "without PixelRepresentation 16-bit pixels are taken for signed: wrong pixels"),
    Rule("attributes-missing", _ALL, conditions.lacks_planar_configuration,
         "without PlanarConfiguration YBR_FULL is taken for planes: wrong colours"),
    Rule("double-float", _ALL, lambda e: e.source.pixel_keyword == "DoubleFloatPixelData",
         "64-bit floats: `no pixel data`"),
    Rule("syntax-never", _ALL, conditions.never_decoded,
         "no decoder for the transfer syntax, or wrong pixels for nearly every image"),
    Rule("big-endian", _ONLY_NATIVE, conditions.big_endian_unread,
         "big-endian words other than 16-bit pixels are not turned around: wrong pixels or none"),
    Rule("fragments-without-offsets", _ALL, conditions.loses_fragments,
         "several fragments a frame and no Basic Offset Table: frames are lost or mixed"),
    Rule("fragments-without-offsets", _ALL, conditions.misses_fragments,
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
    Rule("palette-tables", _ALL, conditions.palette_misread,
         "the palette is read by the red table's descriptor and values: wrong colours or an error"),
    Rule("subsampled-native", NATIVE_LAYOUT, lambda e: e.image.photometric in SUBSAMPLED,
         "subsampled colour in native pixel data: wrong pixels"),
    Rule("high-bit", _CELLS, lambda e: e.image.high_bit != e.image.bits_stored - 1,
         "HighBit is ignored: wrong pixels"),
    Rule("uneven-frames", _ONLY_NATIVE, conditions.frames_are_uneven,
         "pixel data that does not divide into the frames is refused: `Invalid frame length`"),
    Rule("odd-colour", _ONLY_NATIVE, conditions.padding_is_a_sample,
         "the byte that makes colour even is taken for a sample: never settles, or stays dark"),
    Rule("padding", _ONLY_NATIVE,
         lambda e: len(e.source.pixel_bytes) - e.image.total_bytes > 1,
         "more pixel data than the attributes ask for"),
    Rule("stray-bits", _CELLS, conditions.has_stray_bits,
         "bits above HighBit are taken for the pixel's: wrong pixels"),
    Rule("wide-colour-converted", _ALL, conditions.is_wide_and_converted,
         "colour of more than 8 bits is cut to 8 where it is converted to interleaved RGB"),
    Rule("subsampled-by-label", frozenset(Family) - NATIVE_LAYOUT - _ONLY_JPEG,
         conditions.is_subsampled_by_label_alone,
         "full YCbCr samples labelled as subsampled are taken for RGB: wrong colours"),
    Rule("unknown-colour", _ALL, lambda e: e.image.photometric == "XYB",
         "a label that the viewer does not know for colour"),
    Rule("planes-unknown", _CELLS,
         lambda e: e.image.planar and e.image.photometric in {"YBR_RCT", "YBR_ICT"},
         "planes labelled YBR_RCT or YBR_ICT are taken for interleaved samples: wrong pixels"),
    Rule("float-with-sign", _ALL,
         lambda e: e.image.floating and "PixelRepresentation" in e.source.dataset,
         "floats with a PixelRepresentation are read as integers: wrong pixels"),
    Rule("float-between-whole-numbers", _ALL, conditions.fractions_are_lost,
         "a float image between two whole numbers becomes integers: its fractions are lost"),
    Rule("signed-32-bit-rounded", _ALL, conditions.rounds_to_float,
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
         lambda e: uid_is(e, JPEG_BASELINE) and conditions.rgb_taken_for_ybr(e),
         "RGB JPEG without an Adobe marker is taken for YCbCr: wrong colours"),
    Rule("jpeg-shown-otherwise", _ONLY_JPEG,
         lambda e: uid_is(e, JPEG_BASELINE) and e.jpeg is not None
         and e.jpeg.components == COLOUR_SAMPLES and e.jpeg.shown_otherwise,
         "the browser turns or recolours it by its Exif orientation or ICC profile"),
    Rule("jpeg-extended-colour", _ONLY_JPEG,
         lambda e: uid_is(e, JPEG_EXTENDED) and conditions.colour_label_contradicts(e),
         "JPEG Extended whose colour label does not fit the codestream: wrong colours"),
    Rule("jpeg-lossless-cells", _ONLY_JPEG_LOSSLESS, conditions.cells_contradict_precision,
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
    Rule("jpeg-ls-interleave", _ONLY_JPEG_LS, conditions.interleave_contradicts,
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
