"""Whatever the order in which words on a receipt come, no complaint outlives a success."""

from itertools import permutations

import pytest

from dicom_pipeline.imaging.outcomes import Action, ConversionError, ErrorCode, Outcome
from dicom_pipeline.stages.conversion_records import conversion_records
from dicom_pipeline.stages.decided import Decided, rendition_row
from dicom_pipeline.warehouse import CONVERSION_RECORD
from dicom_pipeline_tests.events import an_event
from dicom_pipeline_tests.flow import open_flow

SHOWN = Outcome(action=Action.KEEP, rule="shown", reason="as it is")


def failed(code):
    error = ConversionError(code=code, reason="why")
    return Outcome(action=Action.FAIL, rule="none", reason="", error=error)


def word(outcome, attempt=0, trace_id="trace-1"):
    return Decided(an_event(trace_id=trace_id, attempt=attempt), outcome)


LATE = word(failed(ErrorCode.TIMEOUT))
GOOD = word(SHOWN)
BAD_AGAIN = word(failed(ErrorCode.TRUNCATED), attempt=1)
GOOD_AGAIN = word(SHOWN, attempt=2)


@pytest.fixture
def stores(tmp_path):
    with open_flow(tmp_path / "home") as flow:
        yield flow.catalog, flow.warehouse


def say(stores, *decided):
    catalog, warehouse = stores
    catalog.record_renditions([rendition_row(one) for one in decided])
    warehouse.load(CONVERSION_RECORD, conversion_records(decided, catalog, warehouse), "label")


def states(warehouse):
    rows = warehouse.query("SELECT state FROM dicom_conversion_record")
    return {row["state"] for row in rows}


@pytest.mark.parametrize("words", [*permutations([LATE, GOOD])])
def test_a_success_of_the_same_attempt_leaves_no_complaint(stores, words):
    for one in (*words, LATE):
        say(stores, one)
    assert stores[0].query("SELECT error_code FROM rendition") == [{"error_code": None}]
    assert "failed" not in states(stores[1])


@pytest.mark.parametrize("words", [*permutations([LATE, GOOD, BAD_AGAIN])])
def test_a_later_attempt_that_fails_is_a_complaint(stores, words):
    for one in words:
        say(stores, one)
    assert states(stores[1]) == {"failed"}


@pytest.mark.parametrize("words", [*permutations([GOOD, BAD_AGAIN, GOOD_AGAIN])])
def test_a_later_attempt_that_succeeds_settles_it(stores, words):
    for one in words:
        say(stores, one)
    assert states(stores[1]) == {"recovered"}


def test_words_of_one_batch_are_weighed_like_those_of_several(stores):
    say(stores, LATE, GOOD_AGAIN, word(failed(ErrorCode.TRUNCATED), trace_id="trace-0"))
    assert stores[1].query(
        "SELECT trace_id, state FROM dicom_conversion_record ORDER BY trace_id"
    ) == [
        {"trace_id": "trace-0", "state": "failed"},
        {"trace_id": "trace-1", "state": "recovered"},
    ]


def test_an_upgrade_that_can_show_what_could_not_be_shown_settles_it(stores):
    say(stores, word(failed(ErrorCode.TRUNCATED)))
    say(stores, GOOD)
    assert states(stores[1]) == {"recovered"}
