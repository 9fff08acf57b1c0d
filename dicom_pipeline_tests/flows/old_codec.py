"""A conversion whose codec fails on big-endian objects for as long as it has not been replaced."""

from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian

from dicom_pipeline.imaging.outcomes import Action, ConversionError, ErrorCode, Outcome
from dicom_pipeline.imaging.quiet import quiet_pydicom
from dicom_pipeline.stages.conversions import convert

MARK = "old-codec"
"""While a file of this name is in the root of the renditions, the codec is the old one."""


def convert_with_old_codec(conversion):
    """Takes the place of `stages.conversions.convert` in the worker processes."""
    old = any((folder / MARK).exists() for folder in conversion.target.parents)
    with quiet_pydicom():
        syntax = dcmread(conversion.source, specific_tags=[]).file_meta.TransferSyntaxUID
    if old and syntax == ExplicitVRBigEndian:
        error = ConversionError(
            code=ErrorCode.DECODER_ERROR, reason="refused", library="codec", library_version="1.0"
        )
        return Outcome(action=Action.FAIL, rule="not-decodable", reason="refused", error=error)
    return convert(conversion)
