"""Statements with ``:name`` parameters as the MySQL client wants them; only those that read."""

import re
from collections.abc import Mapping
from typing import Final

from pymysql.converters import escape_item

from dicom_pipeline.errors import PermanentError

_TOKENS: Final = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`[^`]*`)"""
    r"""|(?P<comment>--[^\n]*|/\*.*?\*/)"""
    r"""|(?<![:\w]):(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<percent>%)""",
    re.DOTALL,
)
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d\.\d{6})Z", re.ASCII)
_READS: Final = frozenset({"SELECT", "WITH", "SHOW", "DESC", "DESCRIBE", "EXPLAIN"})
_FIRST_WORD: Final = re.compile(r"[\s(]*([A-Za-z]+)")
_WRITES_A_FILE: Final = re.compile(r"\bINTO\s+(?:OUTFILE|DUMPFILE)\b", re.IGNORECASE)


def client_format(sql: str) -> str:
    """``sql`` with ``%(name)s`` for each ``:name`` outside of texts and comments."""

    def client(match: re.Match[str]) -> str:
        if match["name"]:
            return f"%({match['name']})s"
        return match[0].replace("%", "%%")

    return _TOKENS.sub(client, sql)


def client_values(parameters: Mapping[str, object]) -> dict[str, object]:
    """The values of parameters: times as the columns have them, in UTC without a mark."""
    return {name: _value(value) for name, value in parameters.items()}


def _value(value: object) -> object:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    return f"{match[1]} {match[2]}" if match else value


def rendered(sql: str, parameters: Mapping[str, object]) -> str:
    """A statement with its parameters' values in it, as the client sends it."""
    values = {
        name: escape_item(value, "utf8mb4") for name, value in client_values(parameters).items()
    }
    return client_format(sql) % values


def require_reading(sql: str) -> None:
    """Refuse a statement that could change anything: Doris has no read-only sessions.

    Raises:
        PermanentError: it is none of SELECT, WITH, SHOW, DESCRIBE and EXPLAIN, or writes a file.
    """
    plain = _TOKENS.sub(lambda match: "''" if match["text"] else match["name"] or " ", sql)
    word = _FIRST_WORD.match(plain)
    if not word or word[1].upper() not in _READS or _WRITES_A_FILE.search(plain) or ";" in plain:
        raise PermanentError("a query may only read: one SELECT, SHOW, DESCRIBE or EXPLAIN")
