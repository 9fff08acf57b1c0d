"""This machine: the interpreter, the codec libraries, the programs that help."""

import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from typing import Final

from dicom_pipeline.cli.checks.check import Check, failure, ok, warning
from dicom_pipeline.settings import Settings

SYSTEM: Final = "machine"
PYTHON: Final = (3, 11)

CODECS: Final = {
    "pylibjpeg": "pylibjpeg",
    "openjpeg": "pylibjpeg-openjpeg",
    "rle": "pylibjpeg-rle",
    "jpeg_ls": "pyjpegls",
    "gdcm": "python-gdcm",
    "imagecodecs": "imagecodecs",
}
"""Module of each codec library, and the package that brings it."""


def check_machine(_settings: Settings) -> Iterator[Check]:
    """Everything that does not depend on the settings."""
    yield ok(SYSTEM, "dicom-pipeline", importlib.metadata.version("dicom-pipeline"))
    yield _python()
    yield from _codecs()
    yield _storescu()


def _python() -> Check:
    found = sys.version.split()[0]
    if sys.version_info >= PYTHON:
        return ok(SYSTEM, "python", found)
    remedy = f"install Python {'.'.join(map(str, PYTHON))} or newer"
    return failure(SYSTEM, "python", found, remedy)


def _codecs() -> Iterator[Check]:
    for module, package in CODECS.items():
        try:
            importlib.import_module(module)
            version = importlib.metadata.version(package)
        except (ImportError, importlib.metadata.PackageNotFoundError) as error:
            yield failure(SYSTEM, package, str(error), f"pip install {package}")
        else:
            yield ok(SYSTEM, package, version)


def _storescu() -> Check:
    from dicom_pipeline.demo.dcmtk import find_storescu  # noqa: PLC0415 - only when probed

    program = find_storescu()
    if program:
        return ok(SYSTEM, "DCMTK storescu", str(program))
    remedy = "optional: the demo then sends everything by itself (package dcmtk)"
    return warning(SYSTEM, "DCMTK storescu", "not found", remedy)
