"""What a person asks for is understood, or refused with the remedy."""

import pytest

from dicom_pipeline.backfill.selection import (
    ATTEMPTS_LIMIT,
    AUTOMATIC,
    Selection,
    distinct,
    moment,
)
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.messages import decode_event, encode
from dicom_pipeline_tests.events import an_event

NOON = 1_769_860_800 * 1_000_000


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T12:00", "2026-01-31T12:00:00Z", " 2026-01-31T20:00:00+08:00 ", "2026-01-31 12:00"],
)
def test_a_time_without_a_zone_is_utc(text):
    assert moment("since", text) == NOON


def test_no_time_is_no_bound():
    assert moment("since", " ") is None


def test_what_is_no_time_is_refused_with_an_example():
    with pytest.raises(ConfigurationError, match=r"since 'yesterday'.*2026-01-31"):
        moment("since", "yesterday")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"codes": ("timeout", "time-out")}, "'time-out'; choose from crashed, .*timeout"),
        ({"max_attempts": 0}, "maximum attempts 0"),
        ({"max_attempts": ATTEMPTS_LIMIT + 1}, f"1 to {ATTEMPTS_LIMIT}"),
        ({"limit": 0}, "limit 0"),
        ({"backoff_seconds": -1}, "back-off -1"),
        ({"since": 2, "until": 2}, "'since' must be before 'until'"),
    ],
)
def test_what_can_select_nothing_is_refused(wrong, said):
    with pytest.raises(ConfigurationError, match=said):
        Selection(**wrong).checked()


def test_what_runs_by_itself_is_in_order():
    assert AUTOMATIC.checked() is AUTOMATIC
    assert AUTOMATIC.backoff_seconds > 0


def test_the_last_attempt_that_can_be_asked_for_fits_an_event():
    event = an_event(attempt=ATTEMPTS_LIMIT)
    assert decode_event(encode(event)) == event


def test_values_are_taken_once_each_without_blanks():
    assert distinct(["b ", "", "a", "b"]) == ("a", "b")
