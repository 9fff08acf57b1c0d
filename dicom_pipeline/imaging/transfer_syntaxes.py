"""Every transfer syntax by UID: its family, and whether Cornerstone3D has a decoder for it.

The only place where transfer syntaxes are listed: those of PS3.6 Annex A with the retired ones, and
GE's private one, which is found in archives. Imports nothing heavy: the receiver derives from it
which syntaxes it accepts and, from family, viewer and loss, in which order it prefers them.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class Family(StrEnum):
    """How the pixel data of a syntax is coded."""

    NATIVE = "native"
    DEFLATED = "deflated data set"
    ENCAPSULATED_NATIVE = "encapsulated, uncompressed"
    DEFLATED_FRAMES = "deflated frames"
    JPEG = "JPEG"
    JPEG_LOSSLESS = "JPEG lossless"
    JPEG_LS = "JPEG-LS"
    JPEG_2000 = "JPEG 2000"
    HTJ2K = "High-Throughput JPEG 2000"
    JPEG_XL = "JPEG XL"
    RLE = "RLE"
    VIDEO = "video"
    JPIP = "JPIP"
    NO_FRAMES = "no frames in the object"


class Viewer(StrEnum):
    """What Cornerstone3D 5.14.0 does with a syntax, as far as the syntax alone decides."""

    DECODES = "decodes"
    """Shown; header and codestream decide whether the pixels are right."""
    NEVER = "never"
    """Refused, or wrong for every image."""


class Remedy(StrEnum):
    """What is done for an object that the viewer does not show right."""

    EXPLICIT = "rewrite as Explicit VR Little Endian"
    JPEG_LS = "convert to JPEG-LS lossless"
    VIDEO = "extract the video"
    NONE = "none: a failure to be seen by an operator"


class TransferSyntax(NamedTuple):
    """One transfer syntax."""

    uid: str
    name: str
    family: Family
    viewer: Viewer
    remedy: Remedy
    lossy: bool | None
    """Whether the coding loses information; None: only the codestream tells."""

    @property
    def encapsulated(self) -> bool:
        """Whether pixel data is a sequence of fragments (PS3.5 A.4)."""
        return self.family not in {Family.NATIVE, Family.DEFLATED}


_D, _N = Viewer.DECODES, Viewer.NEVER
_EXPLICIT, _LS, _VIDEO, _NONE = Remedy.EXPLICIT, Remedy.JPEG_LS, Remedy.VIDEO, Remedy.NONE
_1_2: Final = "1.2.840.10008.1.2"

IMPLICIT_VR_LITTLE_ENDIAN: Final = _1_2
EXPLICIT_VR_LITTLE_ENDIAN: Final = f"{_1_2}.1"
EXPLICIT_VR_BIG_ENDIAN: Final = f"{_1_2}.2"
JPEG_BASELINE: Final = f"{_1_2}.4.50"
JPEG_EXTENDED: Final = f"{_1_2}.4.51"
JPEG_LOSSLESS: Final = f"{_1_2}.4.57"
JPEG_LS_LOSSLESS: Final = f"{_1_2}.4.80"
H264_LEVEL_4_1: Final = f"{_1_2}.4.102"
H264_LEVEL_4_2: Final = f"{_1_2}.4.104"
JPEG_XL_RECOMPRESSION: Final = f"{_1_2}.4.111"
RLE_LOSSLESS: Final = f"{_1_2}.5"
GE_PRIVATE: Final = "1.2.840.113619.5.2"
PAPYRUS: Final = "1.2.840.10008.1.20"

_ROWS: Final = (
    (IMPLICIT_VR_LITTLE_ENDIAN, "Implicit VR Little Endian", Family.NATIVE, _D, _LS, False),
    (EXPLICIT_VR_LITTLE_ENDIAN, "Explicit VR Little Endian", Family.NATIVE, _D, _LS, False),
    (f"{_1_2}.1.98", "Encapsulated Uncompressed Explicit VR Little Endian",
     Family.ENCAPSULATED_NATIVE, _D, _LS, False),
    (f"{_1_2}.1.99", "Deflated Explicit VR Little Endian", Family.DEFLATED, _N, _EXPLICIT, False),
    (EXPLICIT_VR_BIG_ENDIAN, "Explicit VR Big Endian", Family.NATIVE, _D, _EXPLICIT, False),
    (f"{_1_2}.8.1", "Deflated Image Frame Compression", Family.DEFLATED_FRAMES, _D, _LS, False),
    (GE_PRIVATE, "GE private: Implicit VR Little Endian with big-endian pixel data",
     Family.NATIVE, _N, _EXPLICIT, False),
    (PAPYRUS, "Papyrus 3 Implicit VR Little Endian", Family.NATIVE, _N, _EXPLICIT, False),
    (JPEG_BASELINE, "JPEG Baseline (Process 1)", Family.JPEG, _D, _LS, True),
    (JPEG_EXTENDED, "JPEG Extended (Process 2 & 4)", Family.JPEG, _D, _LS, True),
    (f"{_1_2}.4.52", "JPEG Extended (Process 3 & 5)", Family.JPEG, _N, _LS, True),
    (f"{_1_2}.4.53", "JPEG Spectral Selection (Process 6 & 8)", Family.JPEG, _N, _LS, True),
    (f"{_1_2}.4.54", "JPEG Spectral Selection (Process 7 & 9)", Family.JPEG, _N, _LS, True),
    (f"{_1_2}.4.55", "JPEG Full Progression (Process 10 & 12)", Family.JPEG, _N, _LS, True),
    (f"{_1_2}.4.56", "JPEG Full Progression (Process 11 & 13)", Family.JPEG, _N, _LS, True),
    (JPEG_LOSSLESS, "JPEG Lossless (Process 14)", Family.JPEG_LOSSLESS, _D, _LS, False),
    (f"{_1_2}.4.58", "JPEG Lossless (Process 15)", Family.JPEG_LOSSLESS, _N, _LS, False),
    (f"{_1_2}.4.59", "JPEG Extended, Hierarchical (Process 16 & 18)", Family.JPEG, _N, _LS, True),
    (f"{_1_2}.4.60", "JPEG Extended, Hierarchical (Process 17 & 19)", Family.JPEG, _N, _LS, True),
    (f"{_1_2}.4.61", "JPEG Spectral Selection, Hierarchical (Process 20 & 22)",
     Family.JPEG, _N, _LS, True),
    (f"{_1_2}.4.62", "JPEG Spectral Selection, Hierarchical (Process 21 & 23)",
     Family.JPEG, _N, _LS, True),
    (f"{_1_2}.4.63", "JPEG Full Progression, Hierarchical (Process 24 & 26)",
     Family.JPEG, _N, _LS, True),
    (f"{_1_2}.4.64", "JPEG Full Progression, Hierarchical (Process 25 & 27)",
     Family.JPEG, _N, _LS, True),
    (f"{_1_2}.4.65", "JPEG Lossless, Hierarchical (Process 28)",
     Family.JPEG_LOSSLESS, _N, _LS, False),
    (f"{_1_2}.4.66", "JPEG Lossless, Hierarchical (Process 29)",
     Family.JPEG_LOSSLESS, _N, _LS, False),
    (f"{_1_2}.4.70", "JPEG Lossless, First-Order Prediction (Process 14, Selection Value 1)",
     Family.JPEG_LOSSLESS, _D, _LS, False),
    (JPEG_LS_LOSSLESS, "JPEG-LS Lossless", Family.JPEG_LS, _D, _LS, False),
    (f"{_1_2}.4.81", "JPEG-LS Lossy (Near-Lossless)", Family.JPEG_LS, _D, _LS, None),
    (f"{_1_2}.4.90", "JPEG 2000 (Lossless Only)", Family.JPEG_2000, _D, _LS, False),
    (f"{_1_2}.4.91", "JPEG 2000", Family.JPEG_2000, _D, _LS, None),
    (f"{_1_2}.4.92", "JPEG 2000 Part 2 Multi-component (Lossless Only)",
     Family.JPEG_2000, _N, _LS, False),
    (f"{_1_2}.4.93", "JPEG 2000 Part 2 Multi-component", Family.JPEG_2000, _N, _LS, None),
    (f"{_1_2}.4.94", "JPIP Referenced", Family.JPIP, _N, _NONE, None),
    (f"{_1_2}.4.95", "JPIP Referenced Deflate", Family.JPIP, _N, _NONE, None),
    (f"{_1_2}.4.100", "MPEG2 Main Profile / Main Level", Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.100.1", "Fragmentable MPEG2 Main Profile / Main Level",
     Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.101", "MPEG2 Main Profile / High Level", Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.101.1", "Fragmentable MPEG2 Main Profile / High Level",
     Family.VIDEO, _N, _VIDEO, True),
    (H264_LEVEL_4_1, "MPEG-4 AVC/H.264 High Profile / Level 4.1",
     Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1",
     Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
     Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.103.1", "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
     Family.VIDEO, _N, _VIDEO, True),
    (H264_LEVEL_4_2, "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
     Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.104.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video",
     Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
     Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.105.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video",
     Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
     Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
     Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.107", "HEVC/H.265 Main Profile / Level 5.1", Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", Family.VIDEO, _N, _VIDEO, True),
    (f"{_1_2}.4.110", "JPEG XL Lossless", Family.JPEG_XL, _D, _LS, False),
    (JPEG_XL_RECOMPRESSION, "JPEG XL JPEG Recompression", Family.JPEG_XL, _D, _LS, True),
    (f"{_1_2}.4.112", "JPEG XL", Family.JPEG_XL, _D, _LS, None),
    (f"{_1_2}.4.201", "High-Throughput JPEG 2000 (Lossless Only)", Family.HTJ2K, _D, _LS, False),
    (f"{_1_2}.4.202", "High-Throughput JPEG 2000 with RPCL Options (Lossless Only)",
     Family.HTJ2K, _D, _LS, False),
    (f"{_1_2}.4.203", "High-Throughput JPEG 2000", Family.HTJ2K, _D, _LS, None),
    (f"{_1_2}.4.204", "JPIP HTJ2K Referenced", Family.JPIP, _N, _NONE, None),
    (f"{_1_2}.4.205", "JPIP HTJ2K Referenced Deflate", Family.JPIP, _N, _NONE, None),
    (RLE_LOSSLESS, "RLE Lossless", Family.RLE, _D, _LS, False),
    (f"{_1_2}.6.1", "RFC 2557 MIME Encapsulation", Family.NO_FRAMES, _N, _NONE, None),
    (f"{_1_2}.6.2", "XML Encoding", Family.NO_FRAMES, _N, _NONE, None),
    (f"{_1_2}.7.1", "SMPTE ST 2110-20 Uncompressed Progressive Active Video",
     Family.NO_FRAMES, _N, _NONE, None),
    (f"{_1_2}.7.2", "SMPTE ST 2110-20 Uncompressed Interlaced Active Video",
     Family.NO_FRAMES, _N, _NONE, None),
    (f"{_1_2}.7.3", "SMPTE ST 2110-30 PCM Digital Audio", Family.NO_FRAMES, _N, _NONE, None),
)  # fmt: skip

TRANSFER_SYNTAXES: Final = {row[0]: TransferSyntax(*row) for row in _ROWS}
"""Every known transfer syntax by its UID."""
