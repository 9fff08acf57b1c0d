"""Taking statements of Doris apart: texts, comments, brackets, properties."""

import re
from collections.abc import Iterator

from dicom_pipeline_tests.services.doris.errors import DorisError

TOKEN = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")"""
    r"""|(?P<name>`[^`]*`)"""
    r"""|(?P<comment>--[^\n]*|/\*.*?\*/)"""
    r"""|(?P<word>[A-Za-z_]\w*)|(?P<plain>[\s\d.]+)"""
    r"""|(?P<other>.)""",
    re.DOTALL,
)
NAME = r"(?:`?(\w+)`?\.)?`?(\w+)`?"
"""A table's name, with its database before a point or without."""
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "Z": "\x1a"}


def tokens(sql: str) -> Iterator[re.Match[str]]:
    return TOKEN.finditer(sql)


def without_comments(sql: str) -> str:
    return "".join(" " if token["comment"] else token[0] for token in tokens(sql)).strip()


def unquoted(text: str) -> str:
    """The value of a text literal, whose escapes are those of MySQL."""
    quote, body = text[0], text[1:-1]
    body = body.replace(quote * 2, quote)
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), body, flags=re.DOTALL)


def parts(sql: str, separator: str = ",") -> list[str]:
    """Cut at each separator that stands in no bracket and no text."""
    found, depth, current = [], 0, ""
    for token in tokens(sql):
        depth += (token[0] in {"(", "["}) - (token[0] in {")", "]"})
        if token[0] == separator and depth == 0:
            found.append(current.strip())
            current = ""
        else:
            current += token[0]
    return [part for part in (*found, current.strip()) if part]


def bracket(sql: str, start: int) -> tuple[str, int]:
    """What stands in the bracket that opens at ``start``, and where it ends."""
    depth = 0
    for token in tokens(sql[start:]):
        depth += (token[0] == "(") - (token[0] == ")")
        if depth == 0:
            end = start + token.end()
            return sql[start + 1 : end - 1], end
    raise DorisError("mismatched input '<EOF>' expecting ')'")


def clause(sql: str, words: str) -> str | None:
    """The bracket behind ``words``, e.g. ``PROPERTIES (…)``; None when there is none."""
    match = re.search(rf"\b{words}\s*\(", sql, re.IGNORECASE)
    return bracket(sql, match.end() - 1)[0] if match else None


def properties(text: str | None) -> dict[str, str]:
    """``"name" = "value"`` pairs."""
    found = {}
    for pair in parts(text or ""):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or name[0] not in "\"'" or value[0] not in "\"'":
            raise DorisError(f"no viable alternative at input '{pair[:40]}'")
        found[unquoted(name)] = unquoted(value)
    return found


def names(text: str) -> list[str]:
    """A list of names."""
    return [part.strip(" `\n").lower() for part in text.split(",")]
