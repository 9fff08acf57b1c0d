"""Rows for the warehouse."""

from dicom_pipeline.table_columns import TableColumns
from dicom_pipeline.warehouse.columns import TABLES

_VALUES = {str: "1.2.3", int: 1, float: 1.5, bool: True}


def full_row(columns: TableColumns, **more: object) -> dict[str, object]:
    """A row with a value in every column."""
    values = {column.name: _VALUES[column.type] for column in columns.columns}
    return {**values, "state": "failed", **more} if "state" in values else {**values, **more}


def row_of(table: str, **more: object) -> dict[str, object]:
    return full_row(TABLES[table], **more)
