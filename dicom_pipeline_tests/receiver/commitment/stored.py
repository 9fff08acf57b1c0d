"""Objects as a receiver leaves them: a file with its receipt, and a record in an outbox."""

import itertools
import sqlite3
import time
import warnings
from contextlib import closing
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from receiver.commitment.records import SCHEMA, Placement, insert
from receiver.commitment.requests import Reference
from receiver.part10 import Receipt, digest, encode_head

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
START = 1_700_000_000_000_000

_counter = itertools.count(1)


def new_uid() -> str:
    return f"1.2.826.0.1.3680043.8.498.7.{next(_counter)}"


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Stored:
    """A home with a storage root and outboxes."""

    def __init__(self, home: Path) -> None:
        self.root = home / "storage"
        self.outboxes = home / "outbox"
        self.transactions = home / "commitment" / "node.db"
        self.outboxes.mkdir()
        (self.root / "default").mkdir(parents=True)
        self.version = START

    def write(self, path: str, uid: str, *, sop_class=CT, content=b"pixels", tenant="default"):
        """A file as it was received, without a record."""
        self.version += 1
        receipt = Receipt(
            trace_id=f"trace-{self.version}",
            version=self.version,
            tenant_id=tenant,
            worker_node_id="node",
            source_ip="127.0.0.1",
            source_ae="SCU",
            called_ae="SCP",
            digest=digest(EXPLICIT, content),
            length=len(content),
        )
        head = encode_head(
            sop_class_uid=sop_class,
            sop_instance_uid=uid,
            transfer_syntax_uid=EXPLICIT,
            receipt=receipt,
        )
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(head + content)
        return file

    def record(self, *placements: tuple[str, int], node="node"):
        with closing(sqlite3.connect(self.outboxes / f"{node}.db")) as connection:
            connection.executescript(SCHEMA)
            insert(connection, [Placement(*each) for each in placements])
            connection.commit()

    def store(self, uid=None, *, again=False, node="node", tenant="default", **options):
        """Receive an object; returns the reference to it and its file."""
        uid = uid or new_uid()
        name = f"{uid}~{self.version + 1}.dcm" if again else f"{uid}.dcm"
        path = f"{tenant}/20240131/1.2.3/1.2.3.4/{name}"
        file = self.write(path, uid, tenant=tenant, **options)
        self.record((path, self.version), node=node)
        return Reference(options.get("sop_class", CT), uid), file


def action_information(references, transaction_uid="1.2.3", syntax=EXPLICIT) -> bytes:
    """A request, with any text for UIDs."""
    request = Dataset()
    request.ReferencedSOPSequence = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        request.TransactionUID = transaction_uid
        for sop_class, sop_instance in references:
            item = Dataset()
            item.ReferencedSOPClassUID = sop_class
            item.ReferencedSOPInstanceUID = sop_instance
            request.ReferencedSOPSequence.append(item)
        return encode(request, syntax)


def encode(dataset: Dataset, syntax=EXPLICIT) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax != BIG_ENDIAN
    buffer.is_implicit_VR = syntax == IMPLICIT
    write_dataset(buffer, dataset)
    return buffer.getvalue()
