"""The embedded event log: one SQLite file that several processes and threads share."""

import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, Self
from zlib import crc32

from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.errors import ConfigurationError, PermanentError
from dicom_pipeline.event_log import Message, Record, Watermarks
from dicom_pipeline.event_log.bounds import require_range, unknown_topic
from dicom_pipeline.event_log.sqlite_file import BUSY_SECONDS, SqliteFile
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.sqlite_access import insert_rows

_READ_CHUNK: Final = 500
_TRIM_CHUNK: Final = 10_000
"""Records deleted in one transaction: publishers wait for no longer than that takes."""

# A message of several queues is stored once, and goes with the last entry that leads to it: the
# values (about 1 KB) are most of what a publisher writes.
_MESSAGES: Final = (
    """CREATE TABLE message (
        id INTEGER PRIMARY KEY,
        timestamp INTEGER NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        entries INTEGER NOT NULL
    )""",
    """CREATE TABLE entry (
        partition_id INTEGER NOT NULL REFERENCES topic_partition (id) ON DELETE CASCADE,
        "offset" INTEGER NOT NULL,
        message_id INTEGER NOT NULL,
        PRIMARY KEY (partition_id, "offset")
    ) WITHOUT ROWID""",
    """CREATE TRIGGER entry_deleted AFTER DELETE ON entry BEGIN
        UPDATE message SET entries = entries - 1 WHERE id = OLD.message_id;
        DELETE FROM message WHERE id = OLD.message_id AND entries = 0;
    END""",
)
_SCHEMA: Final = (
    """CREATE TABLE topic (
        name TEXT PRIMARY KEY,
        id TEXT NOT NULL
    )""",
    """CREATE TABLE topic_partition (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        topic TEXT NOT NULL REFERENCES topic (name) ON DELETE CASCADE,
        partition INTEGER NOT NULL,
        low INTEGER NOT NULL DEFAULT 0,
        high INTEGER NOT NULL DEFAULT 0,
        UNIQUE (topic, partition)
    )""",
    *_MESSAGES,
    """CREATE TABLE committed (
        consumer_group TEXT NOT NULL,
        partition_id INTEGER NOT NULL REFERENCES topic_partition (id) ON DELETE CASCADE,
        "offset" INTEGER NOT NULL,
        PRIMARY KEY (consumer_group, partition_id)
    )""",
)
_UPGRADES: Final = (
    (
        "ALTER TABLE message RENAME TO message_1",
        *_MESSAGES,
        "INSERT INTO message SELECT rowid, timestamp, key, value, 1 FROM message_1",
        'INSERT INTO entry SELECT partition_id, "offset", rowid FROM message_1',
        "DROP TABLE message_1",
    ),
)
"""From each version of the schema to the next one."""


class SqliteEventLog:
    """An `EventLog` in one file, in WAL mode, on a local disk.

    Threads may share an instance: each gets a connection of its own. Processes open their own
    instance; one must not be carried over a fork.

    Raises:
        ConfigurationError: the parent folder cannot be made, or a newer version wrote the file.
        TransientError: the file cannot be opened now.
    """

    def __init__(self, path: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        self._file = SqliteFile(path, "event log", _SCHEMA, _UPGRADES, busy_seconds=busy_seconds)

    def create_topics(self, topics: Iterable[str], partitions: int) -> None:
        """Create what is missing; topics that exist keep their partitions."""
        with self._file.writing() as connection:
            for topic in topics:
                created = connection.execute(
                    "INSERT INTO topic (name, id) VALUES (?, ?) ON CONFLICT DO NOTHING",
                    (topic, str(uuid.uuid4())),
                )
                if created.rowcount:
                    connection.executemany(
                        "INSERT INTO topic_partition (topic, partition) VALUES (?, ?)",
                        [(topic, partition) for partition in range(partitions)],
                    )

    def publish(self, messages: Sequence[Message]) -> None:
        """Append the messages, all or none; they are durable when this returns.

        Raises:
            ConfigurationError: a topic does not exist.
        """
        if not messages:
            return
        with self._file.writing() as connection:
            queues = {topic: _queues(connection, topic) for topic in {m.topic for m in messages}}
            # Taken under the write lock, so that timestamps follow offsets.
            now = wall_clock_us()
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()
            rows = []
            entries = []
            for number, same in enumerate(_alike(messages), last + 1):
                key = same[0].key
                rows.append((number, now, key, same[0].value, len(same)))
                for message in same:
                    of_topic = queues[message.topic]
                    queue = of_topic[crc32(key.encode()) % len(of_topic)]
                    entries.append((queue.id, queue.high, number))
                    queue.high += 1
            insert_rows(connection, "INSERT INTO message", rows)
            insert_rows(connection, "INSERT INTO entry", sorted(entries))
            connection.executemany(
                "UPDATE topic_partition SET high = ? WHERE id = ?",
                [(queue.high, queue.id) for of_topic in queues.values() for queue in of_topic],
            )

    def topic_id(self, topic: str) -> str:
        """An identifier that changes when the topic is deleted and created again."""
        with self._file.reading() as connection:
            return _topic_id(connection, topic)

    def watermarks(self, topic: str) -> dict[int, Watermarks]:
        """Low and high watermark of each partition."""
        with self._file.reading() as connection:
            return _watermarks(_queues(connection, topic))

    def read(self, offsets: OffsetRange) -> Iterator[Record]:
        """The records of a range, in the order of their offsets, a few hundred at a time.

        Raises:
            RangeGoneError: at the call, when the range is not wholly in the log; while reading,
                when a trim overtakes the reader.
        """
        partition_id = self._require(offsets)
        return self._records(offsets, partition_id)

    def timestamp(self, topic: str, partition: int, offset: int) -> int | None:
        """When the first record at or after ``offset`` was published (µs); None at the end."""
        with self._file.reading() as connection:
            queue = _queue(connection, topic, partition)
            row = connection.execute(
                "SELECT timestamp FROM entry JOIN message ON id = message_id"
                ' WHERE partition_id = ? AND "offset" >= ? ORDER BY "offset" LIMIT 1',
                (queue.id, offset),
            ).fetchone()
            return None if row is None else int(row[0])

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Note that ``group`` has processed everything below ``offset``. Only shows lag."""
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO committed VALUES (?, ?, ?)"
                ' ON CONFLICT DO UPDATE SET "offset" = excluded."offset"',
                (group, _queue(connection, topic, partition).id, offset),
            )

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The committed offset of each partition that has one."""
        with self._file.reading() as connection:
            _topic_id(connection, topic)
            return dict(
                connection.execute(
                    'SELECT p.partition, c."offset" FROM committed c'
                    " JOIN topic_partition p ON p.id = c.partition_id"
                    " WHERE c.consumer_group = ? AND p.topic = ?",
                    (group, topic),
                ).fetchall()
            )

    def trim(self, topic: str, partition: int, before: int) -> int:
        """Delete records below offset ``before`` and return the new low watermark."""
        while True:
            with self._file.writing() as connection:
                queue = _queue(connection, topic, partition)
                target = min(before, queue.high)
                if target <= queue.low:
                    return queue.low
                low = min(target, queue.low + _TRIM_CHUNK)
                connection.execute(
                    'DELETE FROM entry WHERE partition_id = ? AND "offset" < ?', (queue.id, low)
                )
                connection.execute(
                    "UPDATE topic_partition SET low = ? WHERE id = ?", (low, queue.id)
                )

    def close(self) -> None:
        """Close the connections of all threads; they must have stopped using the log."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require(self, offsets: OffsetRange) -> int:
        """The row of the range's partition, once the range is known to be in the log."""
        with self._file.reading() as connection:
            topic_id = _topic_id(connection, offsets.topic)
            queues = _queues(connection, offsets.topic)
        require_range(offsets, topic_id, _watermarks(queues))
        return queues[offsets.partition].id

    def _records(self, offsets: OffsetRange, partition_id: int) -> Iterator[Record]:
        start = offsets.start
        while start < offsets.end:
            # Fetched whole: an open cursor would keep the WAL file from being checkpointed.
            end = min(start + _READ_CHUNK, offsets.end)
            with self._file.reading() as connection:
                rows = connection.execute(
                    'SELECT "offset", timestamp, key, value FROM entry'
                    " JOIN message ON id = message_id"
                    ' WHERE partition_id = ? AND "offset" >= ? AND "offset" < ? ORDER BY "offset"',
                    (partition_id, start, end),
                ).fetchall()
            if len(rows) < end - start:
                self._require(offsets)
                raise PermanentError(
                    f"{self._file}: {end - start - len(rows)} messages of "
                    f"{offsets.topic}:{offsets.partition}:{start}-{end} are missing though the "
                    "watermarks include them: restore the file from a backup"
                )
            for row in rows:
                yield Record(offsets.topic, offsets.partition, *row)
            start = end


class _Queue:
    """A row of ``topic_partition``."""

    def __init__(self, id_: int, partition: int, low: int, high: int) -> None:
        self.id = id_
        self.partition = partition
        self.low = low
        self.high = high


def _alike(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Runs of messages that differ in nothing but their topics."""
    for _, run in groupby(messages, key=lambda each: (each.key, each.value)):
        yield list(run)


def _topic_id(connection: sqlite3.Connection, topic: str) -> str:
    row = connection.execute("SELECT id FROM topic WHERE name = ?", (topic,)).fetchone()
    if row is None:
        raise unknown_topic(topic)
    return str(row[0])


def _queues(connection: sqlite3.Connection, topic: str) -> list[_Queue]:
    """The partitions of a topic, by number."""
    rows = connection.execute(
        "SELECT id, partition, low, high FROM topic_partition WHERE topic = ? ORDER BY partition",
        (topic,),
    ).fetchall()
    if not rows:
        raise unknown_topic(topic)
    return [_Queue(*row) for row in rows]


def _queue(connection: sqlite3.Connection, topic: str, partition: int) -> _Queue:
    queues = _queues(connection, topic)
    if not 0 <= partition < len(queues):
        raise ConfigurationError(
            f"topic {topic!r} has no partition {partition}: it has {len(queues)}, counted from 0"
        )
    return queues[partition]


def _watermarks(queues: Iterable[_Queue]) -> dict[int, Watermarks]:
    return {queue.partition: Watermarks(queue.low, queue.high) for queue in queues}
