"""Objects to send, as encoded data sets, and fakes to receive them with."""

import itertools
import threading
from collections import Counter
from io import BytesIO
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicom_pipeline import storage
from dicom_pipeline.clock import HybridClock
from dicom_pipeline.messages import ALL_QUEUES, decode_event
from receiver.admission import StoreRequest
from receiver.incoming import BUFFER_BYTES, ObjectBuffer
from receiver.metrics import Metrics
from receiver.placement import finish
from receiver.receipt import Receiving, Sender

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

_counter = itertools.count(1)


def new_uid() -> str:
    return f"1.2.826.0.1.3680043.8.498.{next(_counter)}"


def make_dataset(**changes) -> Dataset:
    """A small image; a change to None removes the attribute."""
    dataset = Dataset()
    values = {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPClassUID": CT,
        "SOPInstanceUID": new_uid(),
        "StudyDate": "20240131",
        "AccessionNumber": "A1",
        "PatientID": "P1",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "Rows": 2,
        "Columns": 2,
        **changes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.add_new("PixelData", "OW", values.get("PixelData", b"\0\1\2\3\4\5\6\7"))
    return dataset


def encode_dataset(dataset: Dataset, syntax: str = EXPLICIT) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax != BIG_ENDIAN
    buffer.is_implicit_VR = syntax == IMPLICIT
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def element(group: int, number: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """One element in explicit VR little endian, with any declared length."""
    size = len(value) if length is None else length
    tag = group.to_bytes(2, "little") + number.to_bytes(2, "little") + vr.encode()
    if vr in {"OB", "OW", "SQ", "UN", "UT"}:
        return tag + b"\0\0" + size.to_bytes(4, "little") + value
    return tag + size.to_bytes(2, "little") + value


class Sent(NamedTuple):
    """A C-STORE request and the data set that follows it."""

    request: StoreRequest
    data_set: bytes


def store_request(data_set: bytes, *, uid: str, sop_class=CT, syntax=EXPLICIT) -> Sent:
    request = StoreRequest(
        sop_class_uid=sop_class,
        sop_instance_uid=uid,
        abstract_syntax=sop_class,
        transfer_syntax_uid=syntax,
    )
    return Sent(request, data_set)


def request_for(dataset: Dataset, syntax: str = EXPLICIT) -> Sent:
    return store_request(
        encode_dataset(dataset, syntax),
        uid=str(dataset.SOPInstanceUID),
        sop_class=str(dataset.SOPClassUID),
        syntax=syntax,
    )


SENDER = Sender("assoc-1", "default", "127.0.0.1", "SCU", "SCP")


class FakeOutbox:
    """Keeps events in memory, or fails."""

    def __init__(self) -> None:
        self.events = []
        self.failure: BaseException | None = None

    def add(self, events) -> None:
        if self.failure:
            raise self.failure
        self.events.extend(events)

    def alive(self) -> bool:
        return True


class InlineFinisher:
    """Finishes an object in the thread that submits it, so that a test can kill it anywhere."""

    def __init__(self, root, outbox, ended) -> None:
        self.root, self.outbox, self.ended = root, outbox, ended

    def alive(self) -> bool:
        return True

    def submit(self, incoming, content, done) -> None:
        try:
            done.set_result(finish(self.root, incoming, content, self.outbox))
        except Exception as error:  # noqa: BLE001 - as the real one does
            done.set_exception(error)
        self.ended(incoming)

    def stop(self) -> None:
        pass


class DirectReceiving(Receiving):
    """Receives whole objects, each with its event before the answer, all in one thread."""

    def __init__(self, **options) -> None:
        super().__init__(**options, metrics=Metrics(["default"]), wait_for_event=True)
        self.finisher.stop()
        self.finisher = InlineFinisher(self.root, self.outbox, self.incoming.leave)

    def receive(self, sender, sent, buffer_bytes=BUFFER_BYTES):
        return super().receive(sender, sent.request, sent.data_set, ObjectBuffer(buffer_bytes))


def unfinished(incoming):
    """The files of receipts that have not ended, in the folder of a node."""
    return sorted(storage.unfinished(incoming.parent.parent, incoming.name))


def receiving_into(root, outbox, **options) -> DirectReceiving:
    return DirectReceiving(
        root=root, worker_node_id="node", outbox=outbox, clock=HybridClock(), **options
    )


class FakeEventLog:
    """Keeps messages in memory, and fails a number of times first."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.messages = []
        self.closed = 0
        self.lock = threading.Lock()

    def publish(self, messages) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("away")
        with self.lock:
            self.messages.extend(messages)

    def close(self) -> None:
        self.closed += 1

    def topics(self) -> Counter:
        return Counter(message.topic for message in self.messages)

    def events(self, topic: str):
        assert topic in ALL_QUEUES
        return [decode_event(each.value) for each in self.messages if each.topic == topic]


def deep_nesting(depth: int) -> bytes:
    """A sequence of undefined length in its own item, ``depth`` times, explicit little endian."""
    start = element(0x0008, 0x1140, "SQ", b"", 0xFFFFFFFF) + bytes.fromhex("feff00e0ffffffff")
    end = bytes.fromhex("feff0de000000000feffdde000000000")
    buffer = BytesIO()
    buffer.write(start * depth)
    buffer.write(end * depth)
    return buffer.getvalue()
