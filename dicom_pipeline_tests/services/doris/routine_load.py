"""Routine load: its statements and the rules for their properties. The jobs are in `routine_jobs`.

After Doris' documentation and the source of its frontends (``load/routineload``), 2.1 to 4.
"""

import json
import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dicom_pipeline_tests.services.doris.errors import DorisError
from dicom_pipeline_tests.services.doris.loading import Mapping
from dicom_pipeline_tests.services.doris.routine_jobs import BEGINNING, END, Definition, Job, State
from dicom_pipeline_tests.services.doris.statements import NOTHING, Session, form
from dicom_pipeline_tests.services.doris.store import Result
from dicom_pipeline_tests.services.doris.text import NAME, bracket, properties, unquoted

_HEAD = re.compile(rf"CREATE\s+ROUTINE\s+LOAD\s+{NAME}\s+ON\s+`?(\w+)`?", re.IGNORECASE)
_COLUMNS = re.compile(r"\s*COLUMNS\s*\(", re.IGNORECASE)
_PROPERTIES = re.compile(r"\s*PROPERTIES\s*\(", re.IGNORECASE)
_KAFKA = re.compile(r"\s*FROM\s+KAFKA\s*\(", re.IGNORECASE)
_COMMENT = re.compile(r"""\s*COMMENT\s+("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*""", re.IGNORECASE)
_WORDS = {"OFFSET_BEGINNING": BEGINNING, "OFFSET_END": END}
_DATA_SOURCE = {"kafka_broker_list", "kafka_topic", "kafka_partitions", "kafka_offsets"}
_BOUNDS = {
    "desired_concurrent_number": (1, 1 << 31),
    "max_batch_interval": (1, 1 << 31),
    "max_batch_rows": (200_000, 1 << 63),
    "max_batch_size": (100 << 20, 10 << 30),
    "max_error_number": (0, 1 << 63),
}
_DEFAULTS = {
    "desired_concurrent_number": "256",
    "max_batch_interval": "60",
    "max_batch_rows": "20000000",
    "max_batch_size": "1073741824",
    "max_error_number": "0",
    "max_filter_ratio": "1.0",
    "strict_mode": "false",
    "timezone": "Asia/Shanghai",
    "format": "csv",
    "jsonpaths": "",
}


def _is_zone(value: str) -> bool:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        return False
    return True


def _is_list(value: str) -> bool:
    try:
        return isinstance(json.loads(value), list)
    except ValueError:
        return False


_RULES = {
    "max_filter_ratio": (
        lambda value: 0 <= float(value) <= 1,
        "max_filter_ratio must between 0.0 and 1.0.",
    ),
    "strict_mode": (lambda value: value in {"true", "false"}, "strict_mode should be a boolean"),
    "format": (lambda value: value in {"csv", "json"}, "Format type is invalid"),
    "timezone": (_is_zone, "Unknown or incorrect time zone"),
    "jsonpaths": (_is_list, "Invalid jsonpaths"),
}


def _create(session: Session, match: re.Match[str]) -> Result:
    head = _HEAD.match(match[0])
    if not head:
        raise DorisError("no viable alternative at input 'CREATE ROUTINE LOAD'")
    database = session.held(head[1])
    rest = match[0]
    columns, at = _clause(rest, head.end(), _COLUMNS)
    given, at = _clause(rest, at, _PROPERTIES)
    source, at = _clause(rest, at, _KAFKA)
    if source is None:
        raise DorisError("mismatched input, expecting FROM KAFKA (…)")
    comment = _COMMENT.fullmatch(rest[at:])
    if not comment and rest[at:].strip():
        raise DorisError(f"mismatched input '{rest[at:].strip()[:30]}'")
    options = {**_DEFAULTS, **_checked(properties(given))}
    kafka, offsets = _source(properties(source))
    for needed in ("kafka_broker_list", "kafka_topic"):
        if needed not in kafka:
            raise DorisError(f"{needed} is a required property")
    default = kafka.pop("property.kafka_default_offsets", None)
    if default is not None and offsets:
        raise DorisError("Only one of kafka_offsets and kafka_default_offsets can be set.")
    for name, value in kafka.items():
        if value.startswith("FILE:") and value[5:] not in session.cluster.routine_loads.files:
            raise DorisError(f"File {value[5:]} does not exist in db with catalog: kafka ({name})")
    definition = Definition(
        head[2], database.name, head[3].lower(), columns or "", options, kafka, comment=""
    )
    if comment:
        definition.comment = unquoted(comment[1])
    session.cluster.routine_loads.loader(definition)  # the columns fit the table
    session.cluster.routine_loads.add(
        definition, offsets or {}, _WORDS.get(default or "OFFSET_END", END), pinned=bool(offsets)
    )
    return NOTHING


def mapping_of(definition: Definition) -> Mapping:
    options = definition.properties
    return Mapping(
        columns=definition.columns,
        jsonpaths=json.loads(options["jsonpaths"] or "[]"),
        strict=options["strict_mode"] == "true",
        zone=options["timezone"],
    )


def _clause(text: str, at: int, head: re.Pattern[str]) -> tuple[str | None, int]:
    match = head.match(text, at)
    return bracket(text, match.end() - 1) if match else (None, at)


def _checked(given: dict[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if name not in _DEFAULTS:
            raise DorisError(f"{name} is invalid property")
        if name in _BOUNDS:
            low, high = _BOUNDS[name]
            if not value.isdigit() or not low <= int(value) <= high:
                raise DorisError(f"{name} should between {low} and {high}")
        if name in _RULES:
            fits, message = _RULES[name]
            if not fits(value):
                raise DorisError(message)
    return given


def _source(given: dict[str, str]) -> tuple[dict[str, str], dict[int, int]]:
    """The properties of the source but for offsets, and the offsets of the partitions named."""
    for name, value in given.items():
        if name not in _DATA_SOURCE and not name.startswith("property."):
            raise DorisError(f"{name} is invalid kafka property or can not be set")
        if not value:
            raise DorisError(f"{name} is empty")
    partitions = [int(each) for each in given.get("kafka_partitions", "").split(",") if each]
    offsets = [each.strip() for each in given.get("kafka_offsets", "").split(",") if each]
    if offsets and len(offsets) != len(partitions):
        raise DorisError("Partitions number should be equals to offsets number")
    found = {
        partition: _WORDS.get(offset, int(offset) if offset.isdigit() else END)
        for partition, offset in zip(partitions, offsets or ["OFFSET_END"] * 99, strict=False)
    }
    kept = {n: v for n, v in given.items() if n not in {"kafka_partitions", "kafka_offsets"}}
    return kept, found


def _alter(session: Session, match: re.Match[str]) -> Result:
    job = _one(session, match[1], match[2])
    given, at = _clause(match[0], match.end(2), _PROPERTIES)
    source, at = _clause(match[0], at, _KAFKA)
    if match[0][at:].strip():
        raise DorisError(f"mismatched input '{match[0][at:].strip()[:30]}'")
    with job.lock:
        if job.state is not State.PAUSED:
            raise DorisError("Only supports modification of PAUSED jobs")
        kafka, offsets = _source(properties(source))
        for partition in offsets:
            if partition not in job.progress:
                raise DorisError(
                    f"The specified partition {partition} is not in the consumed partitions"
                )
        job.definition.properties |= _checked(properties(given))
        job.definition.kafka |= kafka
        if offsets and session.cluster.routine_loads.alter_pins:
            job.pinned, job.progress = True, {}
        job.progress |= offsets
    return NOTHING


def _pause(session: Session, match: re.Match[str]) -> Result:
    _one(session, match[1], match[2]).pause(100, f"User {session.user} pauses routine load job")
    return NOTHING


def _resume(session: Session, match: re.Match[str]) -> Result:
    _one(session, match[1], match[2]).resume()
    return NOTHING


def _stop(session: Session, match: re.Match[str]) -> Result:
    _one(session, match[1], match[2]).stop(State.STOPPED)
    return NOTHING


def _show(session: Session, match: re.Match[str]) -> Result:
    database = session.held(match[2])
    jobs = session.cluster.routine_loads.named(database.name, match[3])
    shown = [job for job in jobs if match[1] or not job.state.is_final]
    if not shown:
        raise DorisError(
            f"There is no job named {match[3]} in db {database.name}. Include history? "
            f"{'true' if match[1] else 'false'}"
        )
    rows = [job.shown() for job in shown]
    return Result(list(rows[0]), [list(row.values()) for row in rows])


def _one(session: Session, database: str | None, name: str) -> Job:
    held = session.held(database)
    for job in session.cluster.routine_loads.named(held.name, name):
        if not job.state.is_final:
            return job
    raise DorisError(f"There is not operable routine load job with name {name}")


FORMS = [
    (form(r"CREATE ROUTINE LOAD .+"), _create),
    (form(rf"ALTER ROUTINE LOAD FOR {NAME}(?: .+)?"), _alter),
    (form(rf"PAUSE ROUTINE LOAD FOR {NAME}"), _pause),
    (form(rf"RESUME ROUTINE LOAD FOR {NAME}"), _resume),
    (form(rf"STOP ROUTINE LOAD FOR {NAME}"), _stop),
    (form(rf"SHOW (ALL )?ROUTINE LOAD FOR {NAME}"), _show),
]
