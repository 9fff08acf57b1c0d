"""Fitted rows as JSON lines, cut by size, each batch with a label that depends on its bytes."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from dicom_pipeline.warehouse.doris.types import ROW_ORDER, SEQUENCES, TYPES

LABEL_LENGTH: Final = 128
_DIGEST_LENGTH: Final = 32
_NO_LABEL: Final = re.compile(r"[^-_A-Za-z0-9:]")


class Batch(NamedTuple):
    """What one Stream Load sends."""

    table: str
    label: str
    lines: list[bytes]
    """One row each, with its line feed."""

    @property
    def size(self) -> int:
        """Bytes of all lines."""
        return sum(map(len, self.lines))


def batches(
    table: str, label: str, rows: Iterable[Mapping[str, object]], batch_bytes: int
) -> Iterator[Batch]:
    """Cut ``rows`` into batches of at most ``batch_bytes``, or of one row."""
    lines: list[bytes] = []
    size = 0
    for row in rows:
        line = msgspec.json.encode(row) + b"\n"
        if lines and size + len(line) > batch_bytes:
            yield Batch(table, load_label(table, label, lines), lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield Batch(table, load_label(table, label, lines), lines)


def load_label(table: str, label: str, lines: Iterable[bytes]) -> str:
    """Names a load of ``lines``, part of what ``label`` names.

    Doris takes a label once. The same range whose rows differ now, because a codec was repaired or
    the program was changed, must not be taken for the load that is there: so the rows' digest is
    part of the name. Labels hold for a whole database, so the table is, too.
    """
    digest = hashlib.sha256(f"{table}\n{label}\n".encode())
    for line in lines:
        digest.update(line)
    end = digest.hexdigest()[:_DIGEST_LENGTH]
    readable = label if label.startswith(table) else f"{table}:{label}"
    room = LABEL_LENGTH - _DIGEST_LENGTH - 1
    return f"{_NO_LABEL.sub('_', readable)[:room]}-{end}"


def load_headers(table: str) -> dict[str, str]:
    """The headers that tell Doris what the lines are: columns go by their names."""
    names = list(TYPES[table])
    headers = {
        "format": "json",
        "read_json_by_line": "true",
        "strict_mode": "true",
        "max_filter_ratio": "0",
        "timezone": "UTC",
    }
    if SEQUENCES[table] == ROW_ORDER:
        names.append(ROW_ORDER)
        headers["function_column.sequence_col"] = ROW_ORDER
    return {**headers, "columns": ",".join(names)}
