"""Statements with ``:name`` parameters as the MySQL client wants them; only those that read."""

import re
from typing import Final

from dicom_pipeline.errors import PermanentError

_TOKENS: Final = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`[^`]*`)"""
    r"""|(?P<comment>--[^\n]*|/\*.*?\*/)"""
    r"""|(?<![:\w]):(?P<name>[A-Za-z_]\w*)"""
    r"""|(?P<percent>%)""",
    re.DOTALL,
)
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


def require_reading(sql: str) -> None:
    """Refuse a statement that could change anything: Doris has no read-only sessions.

    Raises:
        PermanentError: it is none of SELECT, WITH, SHOW, DESCRIBE and EXPLAIN, or writes a file.
    """
    plain = _TOKENS.sub(lambda match: "''" if match["text"] else match["name"] or " ", sql)
    word = _FIRST_WORD.match(plain)
    if not word or word[1].upper() not in _READS or _WRITES_A_FILE.search(plain) or ";" in plain:
        raise PermanentError("a query may only read: one SELECT, SHOW, DESCRIBE or EXPLAIN")
