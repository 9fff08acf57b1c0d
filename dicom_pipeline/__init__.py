"""dicom-pipeline: receive, queue, index, transcode and analyse medical images."""

__version__ = "0.1.0"
