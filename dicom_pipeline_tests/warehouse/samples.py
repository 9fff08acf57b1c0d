"""Rows for the warehouse."""

import json

from dicom_pipeline.table_columns import TableColumns
from dicom_pipeline.warehouse.columns import TABLES
from dicom_pipeline.warehouse.doris.types import DATE, DATETIME, JSON, TYPES

_VALUES = {str: "1.2.3", int: 1, float: 1.5, bool: True}
_TEXTS = {
    DATE: "2026-01-31",
    DATETIME: "2026-01-31T12:00:00.000001Z",
    JSON: '{"00100010":{"vr":"PN","Value":[{"Alphabetic":"Zhang^San","Ideographic":"张^三"}]}}',
}


def trace(number: int) -> str:
    """A trace id; a greater number is a greater id."""
    return f"019a0000-0000-7000-8000-{number:012x}"


def full_row(columns: TableColumns, **more: object) -> dict[str, object]:
    """A row with a value in every column."""
    values = {
        column.name: _TEXTS.get(TYPES[columns.name][column.name], _VALUES[column.type])
        for column in columns.columns
    }
    values["trace_id"] = trace(1)
    return {**values, "state": "failed", **more} if "state" in values else {**values, **more}


def row_of(table: str, **more: object) -> dict[str, object]:
    return full_row(TABLES[table], **more)


def meaning(table: str, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Rows whose JSON is compared as what it says: a database may write it in another way."""
    return [
        {
            name: json.loads(str(value)) if TYPES[table][name] == JSON and value else value
            for name, value in row.items()
        }
        for row in rows
    ]
