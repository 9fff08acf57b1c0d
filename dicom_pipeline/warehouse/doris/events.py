"""How Doris itself reads the events of the log queue (`messages.Event`) into ``dicom_object_meta``.

COLUMNS and jsonpaths go together by position, so both come from the one list of columns. What an
event says in another form than the table is read under a name of its own and computed.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from dicom_pipeline import warehouse
from dicom_pipeline.messages import PHASES
from dicom_pipeline.warehouse.columns import TABLES
from dicom_pipeline.warehouse.doris.types import ddl_columns


class Computed(NamedTuple):
    """A column that is computed from a field of the event."""

    field: str
    """What is read under the name ``read_as``; empty when the expression needs nothing more."""
    read_as: str
    expression: str


COMPUTED: Final[Mapping[str, Computed]] = {
    # What is read is text to expressions, and text times a number is a DOUBLE: too few digits.
    "row_version": Computed("", "", f"CAST(version AS BIGINT) * {PHASES} + CAST(phase AS BIGINT)"),
    "findings": Computed(
        "findings", "findings_list", "ARRAY_JOIN(CAST(findings_list AS ARRAY<STRING>), '\\n')"
    ),
}
"""The columns that do not stand in an event as they stand in the table."""


def event_columns() -> list[str]:
    """The items of COLUMNS: what is read, in the order of `event_jsonpaths`, then what is computed.

    The order is that of the table.
    """
    return [
        *(read_as for read_as, _ in _read()),
        *(f"{column} = {computed.expression}" for column, computed in COMPUTED.items()),
    ]


def event_jsonpaths() -> str:
    """The property ``jsonpaths``: one path for each name that is read, as JSON."""
    return msgspec.json.encode([f"$.{field}" for _, field in _read()]).decode()


def _read() -> list[tuple[str, str]]:
    """The name under which each field of an event is read, and the field."""
    plain = [
        (name, name) for name in ddl_columns(TABLES[warehouse.OBJECT_META]) if name not in COMPUTED
    ]
    return [*plain, *((one.read_as, one.field) for one in COMPUTED.values() if one.field)]
