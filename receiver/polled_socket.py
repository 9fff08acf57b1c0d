"""pynetdicom's socket of an association, without its ``select``."""

import select
from typing import Final

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from receiver.connection import Connection


def connection_of(association: Association) -> Connection | None:
    """The connection of an association of this listener; None: it is closed already."""
    transport = association.dul.socket
    connection = transport and transport.socket
    assert connection is None or isinstance(connection, Connection)
    return connection


_AWAITING_LOCAL_RESPONSE: Final = "Sta3"
"""The association was requested, and it is for us to answer (PS3.8 table 9-2)."""


class PolledSocket(AssociationSocket):
    """Waits by ``poll``: ``select`` refuses descriptors above 1023, which ours are."""

    @property
    def ready(self) -> bool:
        """Whether something is to be read now, be it the end.

        Not while an event waits or the request is being decided: what comes too early waits for
        the answer. pynetdicom would abort, and then fail at the acceptance that its other thread
        has on the way.
        """
        connection = self.socket
        if connection is None or not self.event_queue.empty():
            return False
        if self.assoc.dul.state_machine.current_state == _AWAITING_LOCAL_RESPONSE:
            return False
        assert isinstance(connection, Connection)
        poll = select.poll()
        try:
            poll.register(connection, select.POLLIN)
            return connection.pending() > 0 or bool(poll.poll(0))
        except (OSError, ValueError):  # closed by another thread
            self.event_queue.put("Evt17")
            return False


def wait_by_poll(event: evt.Event) -> None:
    """Give a new association its socket again, as a `PolledSocket`."""
    service = event.assoc.dul
    old = service.socket
    assert old is not None
    service.socket = PolledSocket(event.assoc, client_socket=old.socket)
    service.event_queue.get_nowait()  # both have announced the connection: once is right


def lift_bounds(event: evt.Event) -> None:
    """Once an association is accepted, its reads have a timeout each and nothing else."""
    connection = connection_of(event.assoc)
    if connection is not None:
        connection.established()
