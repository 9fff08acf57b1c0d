"""The command line: ``dicom-pipeline COMMAND``."""

from dicom_pipeline.cli.app import main

__all__ = ["main"]
