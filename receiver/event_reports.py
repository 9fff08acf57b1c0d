"""N-EVENT-REPORT requests over an association, and the way back to it from elsewhere."""

import weakref
from concurrent.futures import Future
from typing import Protocol

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import encode

from receiver.commitment.reports import NotDeliveredError, UnreachableError
from receiver.wire import ConnectionLostError


class EventReports:
    """Those that the peer has still to answer, by Message ID.

    The caller guards `begin` and `end`.
    """

    def __init__(self) -> None:
        """None yet."""
        self._waiting: dict[int, Future[int]] = {}
        self._ended = False

    def begin(self) -> tuple[int, Future[int]]:
        """A free Message ID, and the status of the response once there is one.

        Raises:
            ConnectionLostError: the association has ended.
        """
        if self._ended:
            raise ConnectionLostError("the association has ended")
        number = next(each for each in range(1, 1 << 16) if each not in self._waiting)
        report = self._waiting[number] = Future[int]()
        return number, report

    def answered(self, number: int, status: int) -> None:
        """A response has come, perhaps to a request that nobody has made."""
        report = self._waiting.pop(number, None)
        if report:
            report.set_result(status)

    def end(self) -> None:
        """No response will come any more."""
        self._ended = True
        for report in self._waiting.values():
            report.set_exception(ConnectionError("the association has ended"))


class ReportingSession(Protocol):
    """An association that reports can be sent over."""

    def send_event_report(self, context_id: int, event_type: int, data_set: bytes) -> Future[int]:
        """The response's status, or `ConnectionError`; raises `ConnectionLostError`."""


class SessionReporter:
    """The way back over an association that brought a storage commitment request.

    It may be kept for long after the association: it does not keep the session and its buffers.
    """

    def __init__(
        self, session: ReportingSession, context_id: int, transfer_syntax_uid: str
    ) -> None:
        self._session = weakref.ref(session)
        self._context_id = context_id
        self._syntax = UID(transfer_syntax_uid)

    def send_event_report(self, event_type: int, data_set: Dataset, timeout: float) -> int:
        """Send an N-EVENT-REPORT; returns its status.

        Raises:
            NotDeliveredError: the association has ended.
            UnreachableError: no response came in time.
        """
        session = self._session()
        if session is None:
            raise NotDeliveredError("the association has ended")
        encoded = encode(data_set, self._syntax.is_implicit_VR, self._syntax.is_little_endian)
        try:
            report = session.send_event_report(self._context_id, event_type, encoded or b"")
            return report.result(timeout)
        except TimeoutError as error:
            raise UnreachableError("no response in time") from error
        except (ConnectionLostError, ConnectionError) as error:
            raise NotDeliveredError("the association has ended") from error
