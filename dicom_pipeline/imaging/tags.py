"""The header of one DICOM file as rows: the columns of `tag_columns`, and all tags as JSON."""

from pathlib import Path
from typing import Final

import msgspec

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.imaging.cells import Cell, cell, cut
from dicom_pipeline.imaging.dicom_json import dicom_json
from dicom_pipeline.imaging.findings import Findings
from dicom_pipeline.imaging.header import UnreadableHeaderError, read_header
from dicom_pipeline.imaging.tag_columns import IMAGE, PATIENT, SERIES, STUDY, TagColumn
from dicom_pipeline.imaging.text import resolve_character_set
from dicom_pipeline.imaging.values import DataSet, Scope

__all__ = ["TagRecord", "UnreadableHeaderError", "read_tags"]

_TRANSFER_SYNTAX: Final = "TransferSyntaxUID"
_IDENTIFIERS: Final = frozenset(
    {
        "SOPClassUID",
        "SOPInstanceUID",
        "SeriesInstanceUID",
        "StudyInstanceUID",
        "TransferSyntaxUID",
    }
)
"""Without these an object has no place; that they are missing is a finding."""


class TagRecord(msgspec.Struct, frozen=True):
    """What the header of one object says."""

    patient: dict[str, Cell]
    study: dict[str, Cell]
    series: dict[str, Cell]
    image: dict[str, Cell]
    tags: str
    """All attributes in the DICOM JSON Model (PS3.18 F), bulk data and long values left out."""
    findings: tuple[str, ...]
    """``<Keyword>: what was wrong``, sorted, at most 100, without the patient's values."""


def read_tags(path: Path, character_set: tuple[str, ...] | None = None) -> TagRecord:
    """Read the header of the DICOM file at `path`; to be called in a process with limits.

    The pixel data are not read, and what follows them is ignored, digital signatures apart. Wrong
    values are kept as far as they can be, each with a finding. The same bytes always give the same
    record.

    Args:
        path: a file of PS3.10, or a bare data set.
        character_set: Defined Terms (PS3.3 C.12.1.1.2) that replace what the object says
            of its text, such as ``("GB18030",)`` for a sender that labels GBK as ISO_IR 100.

    Raises:
        UnreadableHeaderError: no attribute can be read.
        ConfigurationError: `character_set` is no Specific Character Set.
        OSError: the file cannot be opened or read.
    """
    scope = Scope()
    if character_set is not None:
        scope = Scope(resolve_character_set(character_set), is_overridden=True)
        if scope.character_set.problem is not None:
            raise ConfigurationError(
                f"character set {character_set!r}: {scope.character_set.problem}; "
                "use terms such as GB18030 or ISO_IR 192"
            )
    findings = Findings()
    header = read_header(path, findings)
    dataset = DataSet(header.elements, findings, scope)
    transfer_syntax = (header.transfer_syntax or b"").strip(b" \0").decode("ascii", "replace")

    def row(columns: tuple[TagColumn, ...]) -> dict[str, Cell]:
        cells: dict[str, Cell] = {}
        for column in columns:
            if column.keyword == _TRANSFER_SYNTAX:
                cells[column.name] = cut(transfer_syntax, column, findings) or None
            else:
                cells[column.name] = cell(dataset, column)
            if column.keyword in _IDENTIFIERS and cells[column.name] is None:
                findings.add(column.keyword, "missing")
        return cells

    # the columns first: of too many findings theirs are kept
    patient, study, series, image = row(PATIENT), row(STUDY), row(SERIES), row(IMAGE)
    tags = dicom_json(dataset)
    return TagRecord(patient, study, series, image, tags, findings.sorted())
