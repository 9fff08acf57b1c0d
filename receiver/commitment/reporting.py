"""The worker: evaluates transactions, and reports until the requester has taken the report."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from dicom_pipeline.clock import wall_clock_us
from receiver.commitment.evaluation import Evaluation, NotYetError
from receiver.commitment.reports import (
    AddressBook,
    NotDeliveredError,
    OwnAssociation,
    Reporter,
    UnreachableError,
    event_information,
    event_type,
)
from receiver.commitment.transactions import Outcome, Transaction, Transactions
from receiver.failures import described

logger = logging.getLogger(__name__)

_IDLE_SECONDS: Final = 60.0
_SUCCESS: Final = 0x0000


class Pauses(NamedTuple):
    """How reports are tried again, in seconds."""

    first: float = 5.0
    longest: float = 900.0
    """Each pause is twice the one before, up to this."""
    give_up: float = 72 * 3600.0
    """After the request."""
    response: float = 30.0
    """For the requester to answer an association request or a report."""


class Hooks(NamedTuple):
    """Told what happens, for metrics."""

    requested: Callable[[int], None] = lambda _status: None
    """An N-ACTION was answered with this status."""
    evaluated: Callable[[int, int], None] = lambda _good, _failed: None
    """So many objects were found safe, and so many not."""
    reported: Callable[[bool], None] = lambda _delivered: None
    """A report was delivered (True), or given up."""


class _Retry(NamedTuple):
    due: float
    """By the monotonic clock."""
    pause: float


class Worker:
    """A thread that works on all transactions, oldest first, and never ends by itself."""

    def __init__(  # noqa: PLR0913 - its parts, each named
        self,
        transactions: Transactions,
        evaluation: Evaluation,
        address_of: AddressBook,
        *,
        stopping: threading.Event,
        retrieve_ae_title: str = "",
        pauses: Pauses = Pauses(),  # noqa: B008 - immutable
        hooks: Hooks = Hooks(),  # noqa: B008 - immutable
    ) -> None:
        """``stopping``: shared with ``evaluation``; set by `stop`."""
        self._transactions = transactions
        self._evaluation = evaluation
        self._address_of = address_of
        self._retrieve_ae_title = retrieve_ae_title
        self._pauses = pauses
        self._hooks = hooks
        self._stopping = stopping
        self._own = OwnAssociation()
        self._reporters: dict[int, Reporter] = {}
        self._retries: dict[int, _Retry] = {}
        self._adopt_due = 0.0
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commitment", daemon=True)

    def start(self) -> None:
        """Start working."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Interrupt what is being done, and wait for the end; what is left waits for a restart."""
        self._stopping.set()
        self._wake.set()
        self._own.abort()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def submit(self, number: int, reporter: Reporter | None) -> None:
        """Work on a transaction at once; ``reporter``: the association that has brought it."""
        if reporter is not None:
            self._reporters[number] = reporter
        self._retries.pop(number, None)
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._adopt()
                pause = self._pass()
            except Exception as error:  # noqa: BLE001 - the next pass tries again
                logger.error(  # noqa: TRY400 - a traceback may quote values
                    "storage commitment pass failed", extra=described(error)
                )
                pause = self._pauses.first
            self._wake.wait(pause)

    def _adopt(self) -> None:
        if time.monotonic() >= self._adopt_due:
            self._adopt_due = time.monotonic() + _IDLE_SECONDS
            if adopted := self._transactions.adopt_orphans():
                logger.warning("orphaned transactions adopted", extra={"transactions": adopted})

    def _pass(self) -> float:
        """Work on what is due; returns the seconds until something is due again."""
        waiting = self._transactions.all()
        for transaction in waiting:
            if self._stopping.is_set():
                break
            if self._is_due(transaction):
                self._attempt(transaction, waiting)
        dues = [retry.due for each in waiting if (retry := self._retries.get(each.id))]
        return max(0.0, min([_IDLE_SECONDS, *(due - time.monotonic() for due in dues)]))

    def _is_due(self, transaction: Transaction) -> bool:
        retry = self._retries.get(transaction.id)
        return retry is None or retry.due <= time.monotonic()

    def _attempt(self, transaction: Transaction, waiting: list[Transaction]) -> None:
        try:
            outcome = self._outcome(transaction)
        except Exception as error:  # noqa: BLE001 - it must not stop the others
            self._put_off(transaction, error)
            return
        try:
            self._deliver(transaction, outcome)
        except UnreachableError as error:
            for each in waiting:  # the others would only wait as long
                if each.requester == transaction.requester and self._is_due(each):
                    self._put_off(each, error)
        except Exception as error:  # noqa: BLE001 - it must not stop the others
            self._put_off(transaction, error)
        else:
            self._end(transaction, delivered=True)

    def _outcome(self, transaction: Transaction) -> Outcome:
        outcome = self._transactions.outcome(transaction.id)
        if outcome is None:
            outcome = self._evaluation.evaluate(
                transaction.requester.tenant_id, self._transactions.references(transaction.id)
            )
            self._transactions.set_outcome(transaction.id, outcome)
            self._hooks.evaluated(len(outcome.good), len(outcome.failed))
        return outcome

    def _deliver(self, transaction: Transaction, outcome: Outcome) -> None:
        requester = transaction.requester
        information = event_information(
            transaction.transaction_uid, outcome, self._retrieve_ae_title
        )
        kind, seconds = event_type(outcome), self._pauses.response
        if address := self._address_of(requester):
            status = self._own.send(requester, address, kind, information, seconds)
        elif reporter := self._reporters.get(transaction.id):
            try:
                status = reporter.send_event_report(kind, information, seconds)
            except BaseException:
                self._reporters.pop(transaction.id, None)  # it will not serve again
                raise
        else:
            raise NotDeliveredError(
                "its association has ended: give the peer a commitment_host and commitment_port"
            )
        if status != _SUCCESS:
            raise NotDeliveredError(f"the requester answered {status:04X}H")

    def _put_off(self, transaction: Transaction, error: Exception) -> None:
        if self._stopping.is_set():
            return
        age = (wall_clock_us() - transaction.requested_us) / 1e6
        if age >= self._pauses.give_up:
            self._end(transaction, delivered=False)
            return
        last = self._retries.get(transaction.id)
        pause = min(last.pause * 2, self._pauses.longest) if last else self._pauses.first
        self._retries[transaction.id] = _Retry(time.monotonic() + pause, pause)
        logger.log(
            logging.INFO if isinstance(error, NotYetError) else logging.WARNING,
            "storage commitment not reported yet, will try again",
            extra={**_named(transaction), "pause_seconds": pause, **described(error)},
        )

    def _end(self, transaction: Transaction, *, delivered: bool) -> None:
        self._transactions.remove(transaction.id)
        self._retries.pop(transaction.id, None)
        self._reporters.pop(transaction.id, None)
        self._hooks.reported(delivered)
        if delivered:
            logger.info("storage commitment reported", extra=_named(transaction))
        else:
            logger.error(
                "storage commitment report given up: the requester was away for "
                "RECEIVER_COMMITMENT_RETRY_HOURS",
                extra=_named(transaction),
            )


def _named(transaction: Transaction) -> dict[str, str]:
    return {
        "transaction_uid": transaction.transaction_uid,
        "calling_ae": transaction.requester.calling_ae,
    }
