"""Every statement about the routine load, as it is sent.

Passwords are parameters, so that no error quotes them.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline.messages import LOG_QUEUE
from dicom_pipeline.routine_load.properties import job_properties, kafka_properties
from dicom_pipeline.warehouse import OBJECT_META
from dicom_pipeline.warehouse.doris.events import event_columns
from dicom_pipeline.warehouse.doris.options import DorisOptions

Offsets = Mapping[int, int]
"""The next offset to read of each partition."""

_TOPIC_ID: Final = ", topic id "


class Statement(NamedTuple):
    """A statement and the values of its ``:name`` parameters."""

    sql: str
    parameters: Mapping[str, str]


class Start(StrEnum):
    """Where a routine load begins when no offsets are given."""

    BEGINNING = "OFFSET_BEGINNING"
    END = "OFFSET_END"


def create(
    options: DorisOptions, kafka: KafkaUrl, topic_id: str, start: Start | Offsets
) -> Statement:
    """CREATE ROUTINE LOAD.

    With a `Start` it reads all partitions, those that are added later included; with offsets these
    partitions only. The comment keeps the topic's id, by which a topic that was created anew is
    known.
    """
    properties = kafka_properties(kafka, options)
    parameters = {f"secret_{n}": value for n, value in enumerate(properties.secret.values())}
    items = [f"{_quoted(name)} = {_quoted(value)}" for name, value in properties.plain.items()]
    items += [
        f"{_quoted(name)} = :{parameter}"
        for name, parameter in zip(properties.secret, parameters, strict=True)
    ]
    if isinstance(start, Start):
        items.append(f'"property.kafka_default_offsets" = "{start}"')
    else:
        items += _offsets(start)
    sql = (
        f"CREATE ROUTINE LOAD {options.routine_load} ON {OBJECT_META}\n"
        f"COLUMNS (\n    {_lines(event_columns())}\n)\n"
        f"PROPERTIES (\n    {_lines(_pairs(job_properties(options)))}\n)\n"
        f"FROM KAFKA (\n    {_lines(items)}\n)\n"
        f"COMMENT {_quoted(comment(topic_id))}"
    )
    return Statement(sql, parameters)


def alter(name: str, properties: Mapping[str, str], offsets: Offsets) -> Statement:
    """ALTER ROUTINE LOAD, which Doris allows while it is paused.

    ``offsets`` are none, or those of all partitions that it reads: versions of Doris differ in
    whether it goes on with partitions that are left out.
    """
    sql = f"ALTER ROUTINE LOAD FOR {name}"
    if properties:
        sql += f"\nPROPERTIES (\n    {_lines(_pairs(properties))}\n)"
    if offsets:
        sql += f"\nFROM KAFKA (\n    {_lines(_offsets(offsets))}\n)"
    return Statement(sql, {})


def show(name: str) -> Statement:
    """SHOW ALL ROUTINE LOAD: those of this name, the stopped ones included."""
    return Statement(f"SHOW ALL ROUTINE LOAD FOR {name}", {})


def pause(name: str) -> Statement:
    """PAUSE ROUTINE LOAD: it stays paused until somebody resumes it."""
    return Statement(f"PAUSE ROUTINE LOAD FOR {name}", {})


def resume(name: str) -> Statement:
    """RESUME ROUTINE LOAD."""
    return Statement(f"RESUME ROUTINE LOAD FOR {name}", {})


def stop(name: str) -> Statement:
    """STOP ROUTINE LOAD, which is final."""
    return Statement(f"STOP ROUTINE LOAD FOR {name}", {})


def statements(options: DorisOptions, kafka: KafkaUrl) -> Iterator[str]:
    """Each form of each statement with sample values, its parameters filled in by sample texts.

    The offsets, the topic's id and the passwords are made up.
    """
    name = options.routine_load
    samples = [
        *(create(options, kafka, "sample-topic-id", start) for start in (*Start, {0: 12, 1: 0})),
        show(name),
        pause(name),
        alter(name, job_properties(options), {}),
        alter(name, {}, {0: 12, 1: 0}),
        alter(name, {"max_batch_interval": "20"}, {0: 12, 1: 0}),
        resume(name),
        stop(name),
    ]
    for sql, parameters in samples:
        filled = sql
        for parameter in parameters:
            filled = filled.replace(f":{parameter}", f"'sample {parameter}'")
        yield filled


def comment(topic_id: str) -> str:
    """What the routine load's comment says."""
    return f"{LOG_QUEUE}{_TOPIC_ID}{topic_id}"


def commented_topic_id(text: str) -> str | None:
    """The topic's id in a comment; None: somebody else has written it."""
    _, found, topic_id = text.partition(_TOPIC_ID)
    return topic_id if found else None


def _offsets(offsets: Offsets) -> list[str]:
    partitions = sorted(offsets)
    return _pairs(
        {
            "kafka_partitions": ",".join(map(str, partitions)),
            "kafka_offsets": ",".join(str(offsets[partition]) for partition in partitions),
        }
    )


def _pairs(properties: Mapping[str, str]) -> list[str]:
    return [f"{_quoted(name)} = {_quoted(value)}" for name, value in properties.items()]


def _lines(items: list[str]) -> str:
    return ",\n    ".join(items)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
