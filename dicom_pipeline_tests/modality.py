"""A modality that never gives up: for tests in which parts of the group come and go."""

import threading
import time
from collections.abc import Callable, Iterable

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt

from dicom_pipeline.demo.accounting import Acknowledged

RETRY_SECONDS = 0.2


class Modality(threading.Thread):
    """Sends object after object, each again until it is acknowledged, and remembers each answer.

    Args:
        port: tells where the receiver listens now.
        data_sets: what to send.
        per_second: how many of them.
    """

    def __init__(self, port: Callable[[], int], data_sets: Iterable, per_second: float) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.data_sets = data_sets
        self.pause = 1 / per_second
        self.acknowledged = []
        self.stopping = threading.Event()
        self.association = None
        self.connections = []

    def run(self):
        for ds in self.data_sets:
            while not self.stopping.is_set() and not self.send(ds):
                time.sleep(RETRY_SECONDS)
            if self.stopping.wait(self.pause):
                break
        if self.association and self.association.is_established:
            self.association.release()
        self.close_connections()

    def send(self, ds):
        """Send one object; whether it was acknowledged."""
        try:
            if self.association is None or not self.association.is_established:
                entity = AE(ae_title="MODALITY")
                entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = 10
                entity.add_requested_context(ds.SOPClassUID, ExplicitVRLittleEndian)
                self.close_connections()
                self.association = entity.associate(
                    "127.0.0.1",
                    self.port(),
                    ae_title="DICOM_PIPELINE",
                    evt_handlers=[(evt.EVT_CONN_OPEN, self.remember_connection)],
                )
            status = self.association.send_c_store(ds).get("Status")
        except (OSError, RuntimeError, ValueError):
            return False
        if status == 0:
            self.acknowledged.append(Acknowledged(str(ds.SOPInstanceUID), "default"))
        return status == 0

    def remember_connection(self, event):
        self.connections.append(event.assoc.dul.socket.socket)

    def close_connections(self):
        """pynetdicom forgets to when the peer was faster."""
        while self.connections:
            self.connections.pop().close()

    def end(self, seconds=30):
        """Stop after the object in flight."""
        self.stopping.set()
        self.join(seconds)
        assert not self.is_alive()
