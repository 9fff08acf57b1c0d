"""Which failures are found, and what keeps the others from being sent."""

import msgspec
import pytest

from dicom_pipeline.backfill import candidates
from dicom_pipeline.backfill.candidates import Count, Disposition, count, ready
from dicom_pipeline.backfill.selection import Selection
from dicom_pipeline.errors import PermanentError
from dicom_pipeline.imaging.outcomes import ErrorCode
from dicom_pipeline.messages import TransferStatus
from dicom_pipeline.warehouse import CONVERSION_RETRY, IMAGE
from dicom_pipeline_tests.backfill.failures import (
    SECOND,
    SHOWN,
    START,
    again,
    failed,
    image_row,
    received,
    say,
)

NOW = START + 1000 * SECOND
EXPLICIT = "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4.50"


def found(warehouse, selection=None, now=NOW):
    """The numbers of the objects that can be sent, in their order."""
    pages = ready(warehouse, selection or Selection(), now)
    return [int(one.event.sop_uid.rsplit(".", 1)[1]) for page in pages for one in page]


def dispositions(warehouse, selection=None, now=NOW):
    counts = count(warehouse, selection or Selection(), now)
    return {one.disposition: one.number for one in counts}


def sent(warehouse, event, requested=NOW):
    """What a backfill writes down when it has answered the attempt of ``event``."""
    row = {
        "tenant_id": event.tenant_id,
        "trace_id": event.trace_id,
        "stage": "rendition",
        "attempt": event.attempt,
        "row_version": event.row_version,
        "sop_uid": event.sop_uid,
        "requested": requested,
        "backfill_id": "backfill-1",
    }
    warehouse.load(CONVERSION_RETRY, [row], "retry")


def test_the_event_is_the_receipts_own_with_the_next_attempt(stores):
    event = received(
        1,
        patient_id="张",
        number_of_frames=3,
        study_date=None,
        findings=("one", "two: with a colon"),
        duplicate_of=None,
    )
    say(stores, failed(), event)
    ((candidate,),) = ready(stores[1], Selection(), NOW)
    assert candidate.event == again(event, 1)
    say(stores, failed(), again(event, 1))
    ((candidate,),) = ready(stores[1], Selection(), NOW)
    assert candidate.event == again(event, 2)
    assert candidate.event.transfer_status == TransferStatus.PENDING


def test_only_failures_are_found_the_oldest_receipt_first(stores):
    say(stores, failed(), received(3), received(1))
    say(stores, SHOWN, received(2))
    say(stores, failed(), received(4))
    say(stores, SHOWN, received(4, attempt=1))
    assert found(stores[1]) == [1, 3]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [1, 2, 3, 4]),
        ({"codes": ("timeout",)}, [1, 3]),
        ({"codes": ("timeout", "truncated")}, [1, 2, 3, 4]),
        ({"transfer_syntaxes": (JPEG,)}, [3]),
        ({"studies": ("1.2.4",)}, [4]),
        ({"tenants": ("north",)}, [2]),
        ({"since": START + 2 * SECOND}, [2, 3, 4]),
        ({"until": START + 2 * SECOND}, [1]),
        ({"since": START + SECOND, "until": START + SECOND + 1}, [1]),
        ({"codes": ("truncated",), "tenants": ("default",)}, [4]),
        ({"limit": 3}, [1, 2, 3]),
        ({"studies": ("'; DROP TABLE dicom_image; --",)}, []),
    ],
)
def test_every_filter_of_a_selection_counts(stores, filters, expected):
    say(stores, failed(ErrorCode.TIMEOUT), received(1), received(3, transfer_syntax_uid=JPEG))
    say(
        stores,
        failed(ErrorCode.TRUNCATED),
        received(2, tenant_id="north"),
        received(4, study_uid="1.2.4"),
    )
    assert found(stores[1], Selection(**filters)) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
def test_pages_neither_leave_out_nor_repeat(stores, monkeypatch, limit):
    monkeypatch.setattr(candidates, "PAGE", 2)
    # Two receivers may give two receipts the same version.
    say(stores, failed(), *(received(number, version=START) for number in range(5)))
    assert found(stores[1], Selection(limit=limit)) == [0, 1, 2, 3, 4][:limit]


def test_failures_are_counted_by_what_keeps_them_code_and_syntax(stores):
    say(stores, failed(ErrorCode.TIMEOUT), received(1), received(2))
    say(stores, failed(ErrorCode.TRUNCATED), received(3, transfer_syntax_uid=JPEG), received(4))
    sent(stores[1], received(4))
    assert count(stores[1], Selection(), NOW) == [
        Count(Disposition.QUEUED, "truncated", EXPLICIT, 1),
        Count(Disposition.READY, "timeout", EXPLICIT, 2),
        Count(Disposition.READY, "truncated", JPEG, 1),
    ]


def test_an_object_that_came_again_with_other_bytes_is_left_alone(stores):
    old, new = received(1), received(2, sop_uid="1.2.3.1")
    say(stores, failed(), old)
    assert dispositions(stores[1]) == {Disposition.READY: 1}
    say(stores, SHOWN, new)
    assert dispositions(stores[1]) == {Disposition.SUPERSEDED: 1}
    assert found(stores[1]) == []


def test_an_object_is_found_before_its_index_row_is_there(stores):
    say(stores, failed(), received(1), indexed=False)
    assert found(stores[1]) == [1]
    stores[1].load(IMAGE, [image_row(received(0, sop_uid="1.2.3.1"))], "image")
    assert found(stores[1]) == [1], "the index still speaks of an older receipt"


def test_without_its_receipt_there_is_nothing_to_publish(stores):
    say(stores, failed(), received(1), logged=False)
    assert dispositions(stores[1]) == {Disposition.NO_RECEIPT: 1}
    assert found(stores[1]) == []


def test_what_is_queued_is_not_sent_twice_unless_asked_for(stores):
    event = received(1)
    say(stores, failed(), event)
    sent(stores[1], event)
    assert dispositions(stores[1]) == {Disposition.QUEUED: 1}
    assert found(stores[1]) == []
    assert found(stores[1], Selection(again=True)) == [1]


def test_what_was_sent_and_failed_again_can_be_sent_again(stores):
    event = received(1)
    say(stores, failed(), event)
    sent(stores[1], event)
    say(stores, failed(), again(event, 1))
    assert found(stores[1]) == [1]


def test_nothing_gets_more_attempts_than_it_is_granted(stores):
    event = received(1)
    say(stores, failed(), again(event, 2))
    assert dispositions(stores[1], Selection(max_attempts=2)) == {Disposition.EXHAUSTED: 1}
    assert found(stores[1], Selection(max_attempts=2)) == []
    assert found(stores[1], Selection(max_attempts=3)) == [1]


def test_the_pause_doubles_with_each_attempt_up_to_a_day(stores):
    selection = Selection(backoff_seconds=100, max_attempts=100)
    event = received(0)

    def due(after):
        return found(stores[1], selection, now=last + after * SECOND) == [0]

    last = START
    for attempt in range(20):
        say(stores, failed(), again(event, attempt))
        pause = min(100 * 2**attempt, 86_400)
        assert not due(pause - 1)
        assert due(pause)
        last += pause * SECOND
        sent(stores[1], again(event, attempt), requested=last)
    assert dispositions(stores[1], selection) == {Disposition.QUEUED: 1}


def test_who_is_not_due_yet_is_counted_as_such(stores):
    say(stores, failed(), received(0))
    selection = Selection(backoff_seconds=10)
    assert dispositions(stores[1], selection, START + 9 * SECOND) == {Disposition.NOT_DUE: 1}


def test_a_receipt_that_makes_no_event_is_named_without_its_values(stores):
    event = msgspec.structs.replace(received(1), patient_id="Zhang^San", file_size=-1)
    say(stores, failed(), event)
    with pytest.raises(PermanentError, match=event.trace_id) as refusal:
        found(stores[1])
    assert "file_size" in str(refusal.value)
    assert "Zhang" not in str(refusal.value)
