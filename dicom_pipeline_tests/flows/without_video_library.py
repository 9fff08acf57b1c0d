"""A conversion on a machine that lacks a video library for as long as a mark is there."""

from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.video import extraction, tools
from dicom_pipeline.stages.conversions import convert

MARK = "no-video-library"
"""While a file of this name is in the root of the renditions, there is no library."""


def convert_without_video_library(task):
    """Takes the place of `stages.conversions.convert` in the worker processes."""
    lacking = any((folder / MARK).exists() for folder in task.target.parents)
    extraction.find_tools = _find_nothing if lacking else tools.find_tools
    return convert(task)


def _find_nothing():
    raise ImagingError(ErrorCode.MISSING_EXTRA, "install something")
