"""All objects of the corpus."""

from collections.abc import Iterator
from itertools import chain

from dicom_pipeline_tests.corpus import (
    broken,
    containers,
    lossless,
    lossy,
    native,
    oddities,
    palettes,
)
from dicom_pipeline_tests.corpus.cases import Case

_TABLES = (native, lossless, lossy, palettes, containers, oddities, broken)


def all_cases() -> Iterator[Case]:
    return chain.from_iterable(table.cases() for table in _TABLES)


def core_cases() -> Iterator[Case]:
    """Those of every run: each rule, each syntax, and each kind of pixels where it matters."""
    return (case for case in all_cases() if case.core)
