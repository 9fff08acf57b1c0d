import sqlite3

import pytest

from dicom_pipeline.errors import TransientError
from receiver.failures import described


def raised(error, cause=None):
    try:
        raise error from cause
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(
    "error",
    [
        ValueError("SECRET"),
        KeyError("SECRET"),
        UnicodeDecodeError("ascii", b"SECRET\xff", 6, 7, "SECRET"),
        FileNotFoundError(2, "No such file or directory", "/SECRET"),
        OSError("SECRET"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_values_of_foreign_exceptions_are_not_told(error):
    said = described(raised(TransientError("outbox is away"), raised(error)))
    assert "SECRET" not in str(said)
    assert type(error).__name__ in said["error"]


def test_our_own_words_and_those_of_the_system_are_told():
    said = described(raised(TransientError("outbox is away"), sqlite3.OperationalError("locked")))
    assert said["error"] == "TransientError: outbox is away <- OperationalError: locked"


def test_the_place_leads_to_the_line():
    place = described(raised(ValueError("x")))["place"]
    assert place.startswith("test_failures.py:")
    assert place.endswith(" raised")
