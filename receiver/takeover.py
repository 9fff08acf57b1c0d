"""Where our own loop takes an association over from pynetdicom.

The only module that relies on how pynetdicom works inside: its upper-layer thread ends as soon as
it has sent the A-ASSOCIATE-AC, before it could read anything further, and the association thread,
which then reports the establishment, serves the connection in the handler. Nothing of this is
promised by pynetdicom, so it is done for versions that were tried only.
"""

import logging
from typing import Final

import pynetdicom
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_AC

from receiver.connection import Connection
from receiver.polled_socket import connection_of

logger = logging.getLogger(__name__)

TRIED_VERSIONS: Final = frozenset({"3.0.4"})
_HANDOVER_SECONDS: Final = 30.0


class TakeoverError(Exception):
    """pynetdicom did not let go of an association."""


def possible() -> bool:
    """Whether this pynetdicom is one whose associations can be taken over."""
    if pynetdicom.__version__ in TRIED_VERSIONS:
        return True
    logger.warning(
        "pynetdicom %s was never tried with the fast loop: using its own, which is slower",
        pynetdicom.__version__,
    )
    return False


def leave_after_acceptance(event: evt.Event) -> None:
    """EVT_PDU_SENT, in the upper-layer thread: the A-ASSOCIATE-AC was the last it had to do."""
    if isinstance(event.pdu, A_ASSOCIATE_AC):
        event.assoc.dul.kill_dul()


def take(association: Association) -> Connection:
    """EVT_ESTABLISHED, in the association thread: the connection is the caller's from here on.

    Raises:
        TakeoverError: the upper-layer thread lives, or has closed the connection.
    """
    association.dul.join(_HANDOVER_SECONDS)
    connection = connection_of(association)
    if association.dul.is_alive() or connection is None:
        raise TakeoverError
    connection.established()
    return connection


def release(association: Association) -> None:
    """The caller has closed the connection: the association thread may end."""
    association.kill()
