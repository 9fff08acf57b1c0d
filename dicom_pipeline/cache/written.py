"""What is known to stand in a table, and which rows therefore need not be written.

A note says of one key of one table: *a row of at least this order is in the table*. It is made only
after the transaction that wrote such a row was committed. Rows never go back in their order
``(row_version, trace_id)``, so a note stays true whatever is written afterwards, by whomever, and
it does no harm when it is lost, late, or overwritten by an older one.

A row that is older than the note of its key would be refused by the table, and is left out. A row
of the same order is written, though it is mostly the same row: an upsert of the same order
overwrites, so that a replay by a mended program has an effect, and no note can tell who came last.
It also means that a replay of all that was lost brings everything back after a database was
restored, whatever the cache remembers: the newest row of each key is never left out.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from dicom_pipeline.cache import Cache
from dicom_pipeline.cache.databases import Database
from dicom_pipeline.cache.keys import Keys
from dicom_pipeline.table_columns import Row, TableColumns


class Order(msgspec.Struct, frozen=True, order=True, array_like=True):
    """What the rows of one key are ordered by."""

    row_version: int
    trace_id: str


class Written(NamedTuple):
    """Rows that are to be written, and the notes that they allow once they are committed."""

    rows: list[list[Row]]
    """A list for each table that was asked about."""
    notes: dict[str, Order]


_decoder = msgspec.msgpack.Decoder(Order)


class WrittenRows:
    """Leaves out of the upserts of one database what its tables would refuse."""

    def __init__(self, cache: Cache, database: Database) -> None:
        self._cache = cache
        self._database = database

    def worth_writing(self, *tables: tuple[TableColumns, Iterable[Row]]) -> Written:
        """Of each table and key the newest row, unless the table has a newer one.

        A row that is not as it should be is kept: the table says what is wrong with it.
        """
        keys = self._database.keys()
        if keys is None:
            return Written([list(rows) for _, rows in tables], {})
        others: list[list[Row]] = []
        newest: list[dict[str, tuple[Order, Row]]] = []
        for columns, rows in tables:
            odd, by_key = _newest(keys, columns, rows)
            others.append(odd)
            newest.append(by_key)
        too_old = self._too_old({key: order for one in newest for key, (order, _) in one.items()})
        self._cache.counts.cache_spared_rows += len(too_old)
        return Written(
            [
                [*odd, *(row for key, (_, row) in by_key.items() if key not in too_old)]
                for odd, by_key in zip(others, newest, strict=True)
            ],
            {
                key: order
                for by_key in newest
                for key, (order, _) in by_key.items()
                if key not in too_old
            },
        )

    def note(self, written: Written) -> None:
        """Tell the cache what has been committed: call it after the commit, never before."""
        notes = {key: msgspec.msgpack.encode(order) for key, order in written.notes.items()}
        self._cache.put(notes, self._cache.options.write_ttl)

    def _too_old(self, orders: dict[str, Order]) -> set[str]:
        noted = self._cache.get(list(orders))
        return {
            key
            for (key, order), note in zip(orders.items(), noted, strict=True)
            if note is not None and _is_older(order, note)
        }


def _newest(
    keys: Keys, columns: TableColumns, rows: Iterable[Row]
) -> tuple[list[Row], dict[str, tuple[Order, Row]]]:
    """Rows without a key or an order, and of the others the newest of each key."""
    odd: list[Row] = []
    newest: dict[str, tuple[Order, Row]] = {}
    cached_keys: dict[tuple[str, ...], str] = {}
    defaults = {column.name: column.default for column in columns.columns}
    for row in rows:
        values, order = _key_values(columns.key, defaults, row), _order(row)
        if values is None or order is None:
            odd.append(row)
            continue
        if values not in cached_keys:
            cached_keys[values] = keys.row(columns.name, columns.key, values)
        key = cached_keys[values]
        if key not in newest or order >= newest[key][0]:
            newest[key] = order, row
    return odd, newest


def _key_values(
    names: Sequence[str], defaults: dict[str, str | None], row: Row
) -> tuple[str, ...] | None:
    """What the table takes for the row's key."""
    values = []
    for name in names:
        value = row.get(name)
        value = defaults.get(name) if value is None else value
        if not isinstance(value, str):
            return None
        values.append(value)
    return tuple(values)


def _order(row: Row) -> Order | None:
    version, trace_id = row.get("row_version"), row.get("trace_id")
    if isinstance(version, int) and isinstance(trace_id, str):
        return Order(version, trace_id)
    return None


def _is_older(order: Order, note: bytes) -> bool:
    try:
        return order < _decoder.decode(note)
    except msgspec.MsgspecError:
        return False
