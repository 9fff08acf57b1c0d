"""A listener with a small entity of pynetdicom's behind it, and bytes to throw at it."""

import socket
import time
from contextlib import closing, contextmanager, suppress

from pynetdicom import AE, build_context, evt
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.sop_class import Verification

from dicom_pipeline.settings import Settings
from receiver.listener import ListenerHooks, start_listener
from receiver.polled_socket import connection_of

SECONDS = 20
"""Long enough for a busy machine; whatever is waited for comes much earlier."""


class Scp:
    """The listener, what its associations came with, and what it refused."""

    def __init__(self, settings, **options):
        self.connections, self.refused = [], []
        self.entity = AE(ae_title="SCP")
        self.entity.maximum_associations = settings.receiver_max_associations
        self.listener = start_listener(
            self.entity,
            settings,
            contexts=[build_context(Verification)],
            evt_handlers=[
                (evt.EVT_ESTABLISHED, self._on_established),
                (evt.EVT_C_ECHO, lambda _: 0),
            ],
            hooks=ListenerHooks(connection_refused=self.refused.append),
            **options,
        )
        self.host, self.port = settings.receiver_host, self.listener.port

    def _on_established(self, event):
        connection = connection_of(event.assoc)
        self.connections.append(
            (connection.client_address, connection.certificate, event.assoc.requestor.address)
        )


@contextmanager
def listening(tls_check_seconds=60.0, place=None, **options):
    options = {
        "receiver_host": "127.0.0.1",
        "receiver_port": 0,
        "receiver_request_timeout_seconds": SECONDS,
        **options,
    }
    settings = Settings(_env_file=None, **options)
    scp = Scp(settings, tls_check_seconds=tls_check_seconds, place=place)
    try:
        yield scp
    finally:
        scp.listener.shutdown()
        wait_until(lambda: not scp.listener.active_associations)


def echo(scp, tls=None, called="SCP"):
    """A C-ECHO's status; None without an association."""
    entity = AE(ae_title="SCU")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = SECONDS
    entity.add_requested_context(Verification)
    association = entity.associate(
        scp.host, scp.port, ae_title=called, tls_args=(tls, "receiver") if tls else None
    )
    if not association.is_established:
        return None
    status = association.send_c_echo().Status
    association.release()
    return status


def association_request(called="SCP"):
    """An A-ASSOCIATE-RQ in bytes."""
    context = build_context(Verification)
    context.context_id = 1
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = 16384
    implementation.implementation_class_uid = "1.2.3"
    request = A_ASSOCIATE()
    request.application_context_name = "1.2.840.10008.3.1.1.1"
    request.calling_ae_title, request.called_ae_title = "SCU", called
    request.presentation_context_definition_list = [context]
    request.user_information = [length, implementation]
    return A_ASSOCIATE_RQ(request).encode()


@contextmanager
def connected(scp):
    with closing(socket.create_connection((scp.host, scp.port), SECONDS)) as connection:
        yield connection


def until_closed(connection):
    """All that comes until the other side closes or resets the connection."""
    data = b""
    with suppress(ConnectionError):
        while chunk := connection.recv(4096):
            data += chunk
    return data


def receive(connection, size):
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        assert chunk, "closed too early"
        data += chunk
    return data


def wait_until(condition, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
