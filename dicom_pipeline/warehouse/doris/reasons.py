"""What Doris says of refused rows and loads, without the values that it quotes from them."""

import re
from collections import Counter
from typing import Final

_QUOTES_A_VALUE: Final = re.compile(
    r"src line|src value|src_line|input str|first 32 bytes|value is incorrect|value:|str:|"
    r"first_error_msg|JsonDoc|jsonpath|json data|url:|https?://",
    re.IGNORECASE,
)
"""Where a message may begin to quote what it was given."""
_COLUMN: Final = re.compile(r"column(?:_name)?\s*[\[(](\w+)[\])]")
_LENGTHS: Final = re.compile(r"schema length: (\d+); actual length: (\d+)")
_RECEIPT: Final = re.compile(r'"trace_id"\s*:\s*"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')
_KNOWN: Final = (
    (re.compile(r"length of input is too long", re.IGNORECASE), "too long"),
    (re.compile(r"null value for not null column", re.IGNORECASE), "NULL in a NOT NULL column"),
    (
        re.compile(r"value is incorrect|parse \w+ fail|out of range", re.IGNORECASE),
        "of another type",
    ),
    (re.compile(r"no partition for this tuple", re.IGNORECASE), "no partition for its time"),
    (re.compile(r"json", re.IGNORECASE), "no JSON of a row"),
)
_MOST: Final = 5
_SHOWN_MESSAGE: Final = 300


def without_values(message: str) -> str:
    """``message`` up to where it may quote a value."""
    match = _QUOTES_A_VALUE.search(message)
    shown = message[: match.start()] if match else message
    return " ".join(shown.split())[:_SHOWN_MESSAGE].rstrip(" [(:,.")


def refused_rows(error_log: str) -> str:
    """The reasons in an error log: the column, the cause and the receipt, never a value."""
    reasons = Counter(_reason(line) for line in error_log.splitlines() if line.strip())
    told = [f"{reason} ({count} rows)" for reason, count in reasons.most_common(_MOST)]
    more = len(reasons) - len(told)
    receipt = _RECEIPT.search(error_log)
    first = [f"first of receipt {receipt[1]}"] if receipt else []
    return "; ".join([*told, *([f"{more} more reasons"] if more > 0 else []), *first])


def _reason(line: str) -> str:
    said = line.split("src line", 1)[0]
    column = _COLUMN.search(said)
    cause = next((told for known, told in _KNOWN if known.search(said)), "refused")
    lengths = _LENGTHS.search(said)
    if lengths:
        cause = f"{cause}: {lengths[2]} bytes, the column holds {lengths[1]}"
    return f"column {column[1]}: {cause}" if column else cause
