"""pynetdicom's socket of an association, without its ``select``."""

import select

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


class PolledSocket(AssociationSocket):
    """Waits by ``poll``: ``select`` refuses descriptors above 1023, which ours are."""

    @property
    def ready(self) -> bool:
        """Whether something can be read, be it the end."""
        connection = self.socket
        if connection is None:
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
