"""CREATE TABLE, with the rules that Doris has and other databases have not."""

import re
from dataclasses import dataclass, field

from dicom_pipeline_tests.services.doris.errors import DorisError
from dicom_pipeline_tests.services.doris.text import (
    NAME,
    bracket,
    clause,
    names,
    parts,
    properties,
    unquoted,
)

SEQUENCE = "__doris_sequence_col__"

INTEGERS = {"BOOLEAN": 1, "TINYINT": 8, "SMALLINT": 16, "INT": 32, "BIGINT": 64, "LARGEINT": 128}
REALS = {"FLOAT", "DOUBLE"}
TEXTS = {"CHAR", "VARCHAR", "STRING"}
TIMES = {"DATE", "DATETIME"}
DOCUMENTS = {"JSON", "VARIANT"}
TYPES = {*INTEGERS, *REALS, *TEXTS, *TIMES, *DOCUMENTS}
NO_KEYS = {"STRING", "FLOAT", "DOUBLE", "JSON", "VARIANT"}

_PROPERTIES = re.compile(
    r"replication_num|enable_unique_key_merge_on_write|light_schema_change|store_row_column"
    r"|compression|function_column\.sequence_(?:col|type)"
    r"|dynamic_partition\.(?:enable|time_unit|time_zone|start|end|prefix|buckets"
    r"|create_history_partition|replication_num)"
)
_COLUMN = re.compile(
    r"`?(?P<name>\w+)`?\s+(?P<type>\w+)(?:\((?P<size>\d+)\))?"
    r"(?P<null>\s+NOT\s+NULL|\s+NULL)?"
    r"""(?:\s+DEFAULT\s+(?P<default>'[^']*'|"[^"]*"|NULL|-?\d+|CURRENT_TIMESTAMP))?"""
    r"""(?:\s+COMMENT\s+(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))?""",
    re.IGNORECASE,
)
_INDEX = re.compile(
    r"INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?`?(?P<name>\w+)`?\s*\(`?(?P<column>\w+)`?\)\s+USING\s+INVERTED"
    r"(?:\s+PROPERTIES\s*\((?P<properties>.*)\))?(?:\s+COMMENT\s+\S.*)?",
    re.IGNORECASE | re.DOTALL,
)
_INDEX_PROPERTIES = {
    "parser": {"none", "english", "chinese", "unicode", "icu", "ik"},
    "parser_mode": {"coarse_grained", "fine_grained"},
    "support_phrase": {"true", "false"},
    "lower_case": {"true", "false"},
}
_HEAD = re.compile(rf"CREATE\s+TABLE\s+(IF\s+NOT\s+EXISTS\s+)?{NAME}\s*\(", re.IGNORECASE)
_TAIL = re.compile(
    r"""\s*(?:ENGINE\s*=\s*OLAP)?\s*
    (?:(?P<model>UNIQUE|DUPLICATE)\s+KEY\s*\((?P<keys>[^)]*)\))?\s*
    (?:COMMENT\s+(?:'[^']*'|"[^"]*"))?\s*
    (?P<partition>(?:AUTO\s+)?PARTITION\s+BY\s+RANGE\s*
        \((?:[^()]|\([^()]*\))*\)\s*\(\s*\))?\s*
    DISTRIBUTED\s+BY\s+HASH\s*\((?P<buckets>[^)]*)\)\s+BUCKETS\s+(?P<number>\d+|AUTO)\s*
    (?:PROPERTIES\s*\((?P<properties>.*)\))?\s*""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_AUTO = re.compile(
    r"date_trunc\s*\(\s*`?(\w+)`?\s*,\s*'(?:hour|day|week|month|year)'\s*\)", re.IGNORECASE
)
_IS_INDEX = re.compile(r"INDEX\b", re.IGNORECASE)
_LONGEST_VARCHAR = 65533


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    size: int | None
    nullable: bool
    default: str | None = None
    """What stands for a value that a load does not name; None: NULL."""

    @property
    def shown(self) -> str:
        return self.type.lower() + (f"({self.size})" if self.size is not None else "")


@dataclass
class Table:
    name: str
    columns: list[Column]
    keys: list[str]
    unique: bool
    ddl: str
    properties: dict[str, str] = field(default_factory=dict)
    partition: str | None = None
    """The column of its dynamic partitions; without them every time finds a partition."""

    @property
    def sequence(self) -> str | None:
        """The visible column that orders rows of one key."""
        return self.properties.get("function_column.sequence_col", "").lower() or None

    @property
    def hidden_sequence(self) -> bool:
        """Whether a load must say what the sequence is."""
        return "function_column.sequence_type" in self.properties

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)


def is_create_table(sql: str) -> bool:
    return _HEAD.match(sql) is not None


def create_table(sql: str, backends: int) -> tuple[Table, bool]:
    """The table that a statement describes, and whether it may be there already.

    Raises:
        DorisError: it breaks a rule.
    """
    head = _HEAD.match(sql)
    if not head:
        raise DorisError(f"no viable alternative at input '{sql[:40]}'")
    body, end = bracket(sql, head.end() - 1)
    definitions = parts(body)
    columns = [_column(part) for part in definitions if not _IS_INDEX.match(part)]
    tail = _TAIL.fullmatch(sql[end:])
    if not tail:
        raise DorisError(f"mismatched input behind the columns of {head[3]}")
    table = Table(
        name=head[3].lower(),
        columns=columns,
        keys=names(tail["keys"]) if tail["keys"] else [columns[0].name],
        unique=(tail["model"] or "").upper() == "UNIQUE",
        ddl=sql,
        properties=properties(tail["properties"]),
    )
    _check_keys(table, names(tail["buckets"]))
    _check_partition(table, tail["partition"])
    _check_properties(table, backends)
    for part in definitions:
        if _IS_INDEX.match(part):
            _check_index(table, part)
    return table, head[1] is not None


def _column(text: str) -> Column:
    match = _COLUMN.fullmatch(text)
    if not match or match["type"].upper() not in TYPES:
        raise DorisError(f"no viable alternative at input '{text[:60]}'")
    kind, size = match["type"].upper(), match["size"]
    if kind == "VARCHAR" and not (size and 1 <= int(size) <= _LONGEST_VARCHAR):
        raise DorisError(f"The max length of varchar is {_LONGEST_VARCHAR}, but given {size}")
    if size and kind not in {"VARCHAR", "CHAR", "DATETIME"}:
        raise DorisError(f"mismatched input '(' behind {kind}")
    default = match["default"]
    return Column(
        match["name"].lower(),
        kind,
        int(size) if size else None,
        "NOT" not in (match["null"] or "").upper(),
        unquoted(default) if default and default[0] in "\"'" else default,
    )


def _check_keys(table: Table, buckets: list[str]) -> None:
    order = [column.name for column in table.columns]
    if len(set(order)) < len(order):
        raise DorisError("Duplicate column name")
    if order[: len(table.keys)] != table.keys:
        raise DorisError("Key columns should be a ordered prefix of the schema.")
    for name in table.keys:
        column = table.column(name)
        assert column is not None
        if column.type in NO_KEYS:
            raise DorisError(f"{column.type} type should not be used in key column[{name}].")
    if table.unique and not set(buckets) <= set(table.keys):
        raise DorisError(f"Distribution column[{buckets[0]}] is not key column")


def _check_partition(table: Table, clause_text: str | None) -> None:
    if not clause_text:
        return
    expression = clause(clause_text, "RANGE") or ""
    automatic = clause_text.upper().startswith("AUTO")
    match = _AUTO.fullmatch(expression.strip())
    if automatic != (match is not None):
        raise DorisError("auto create partition only support one slotRef or date_trunc in function")
    name = (match[1] if match else expression.strip(" `")).lower()
    column = table.column(name)
    if column is None or column.type not in TIMES:
        raise DorisError(f"partition key {name} is not exists")
    if table.unique and name not in table.keys:
        raise DorisError("The partition column could not be aggregated column")
    if column.nullable and automatic:
        raise DorisError("AUTO RANGE PARTITION doesn't support NULL column")
    if not automatic:
        table.partition = name


def _check_properties(table: Table, backends: int) -> None:
    for name in table.properties:
        if not _PROPERTIES.fullmatch(name):
            raise DorisError(f"Unknown properties: {{{name}={table.properties[name]}}}")
    replicas = int(table.properties.get("replication_num", "3"))
    if replicas > backends:
        raise DorisError(
            "replication num should be less than the number of available backends. "
            f"replication num is {replicas}, available backend num is {backends}"
        )
    if table.properties.get("dynamic_partition.enable") == "true" and not table.partition:
        raise DorisError("Only support dynamic partition properties on range partition table")
    _check_sequence(table)


def _check_sequence(table: Table) -> None:
    visible, hidden = table.sequence, table.hidden_sequence
    if (visible or hidden) and not table.unique:
        raise DorisError("sequence column only support UNIQUE_KEYS")
    if visible and hidden:
        raise DorisError("The sequence_col and sequence_type cannot be set at the same time")
    if visible:
        column = table.column(visible)
        if column is None:
            raise DorisError(f"The specified sequence column[{visible}] not exists")
        if column.type not in {*INTEGERS, *TIMES}:
            raise DorisError("Sequence type only support integer types and date types")
    kind = table.properties.get("function_column.sequence_type", "int").upper()
    if kind not in {*INTEGERS, *TIMES}:
        raise DorisError("sequence type only support integer types and date types")


def _check_index(table: Table, text: str) -> None:
    match = _INDEX.fullmatch(text)
    if not match:
        raise DorisError(f"no viable alternative at input '{text[:60]}'")
    column = table.column(match["column"].lower())
    if column is None:
        raise DorisError(f"{match['column']} does not exist in table")
    if column.type in {*REALS, "JSON"}:
        raise DorisError(f"{column.type} is not supported in INVERTED index")
    given = properties(match["properties"])
    for name, value in given.items():
        if value not in _INDEX_PROPERTIES.get(name, ()):
            raise DorisError(f"Invalid inverted index property {name}={value}")
    if given.get("parser", "none") != "none" and column.type not in TEXTS:
        raise DorisError(f"INVERTED index with parser is not supported for {column.type}")
