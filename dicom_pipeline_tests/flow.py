"""The whole flow in one process, without network and without Dagster: for tests of the stages."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from pydicom import dcmread
from pydicom.filewriter import dcmwrite

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.clock import HybridClock
from dicom_pipeline.event_log import Message, open_event_log
from dicom_pipeline.messages import ALL_QUEUES, DEAD_LETTER_QUEUE, OffsetRange, encode
from dicom_pipeline.peers import Peers
from dicom_pipeline.ranges import process_range
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import INDEX, OBJECT_META, RENDITIONS, STAGES, STORAGE
from dicom_pipeline.stages.index import open_indexer
from dicom_pipeline.stages.object_meta import load_object_meta
from dicom_pipeline.stages.renditions import open_renderer
from dicom_pipeline.stages.storage import record_storage
from dicom_pipeline.warehouse import open_warehouse
from dicom_pipeline_tests.receiver.objects import DirectReceiving, Sent
from receiver.admission import StoreRequest
from receiver.receipt import Sender

CATALOG_TABLES = ("storage_record", "patient", "study", "series", "instance", "rendition")
WAREHOUSE_TABLES = (
    "dicom_object_meta",
    "dicom_patient",
    "dicom_study",
    "dicom_series",
    "dicom_image",
    "dicom_conversion_record",
)


class DirectSink:
    """Takes the place of outbox and forwarder: an event goes to its queues at once."""

    def __init__(self, log):
        self.log = log
        self.events = []

    def add(self, events):
        self.events.extend(events)
        for event in events:
            value = encode(event)
            self.log.publish([Message(topic, event.key, value) for topic in event.topics()])

    def alive(self):
        return True


class Flow:
    """Receives objects and runs the stages over offset ranges."""

    def __init__(self, settings, peers, log, catalog, warehouse, indexer, renderer):
        self.settings = settings
        self.peers = peers
        self.log = log
        self.catalog = catalog
        self.warehouse = warehouse
        self.indexer = indexer
        self.renderer = renderer
        self.sink = DirectSink(log)
        self.receiving = DirectReceiving(
            root=settings.storage, worker_node_id="node-1", outbox=self.sink, clock=HybridClock()
        )
        self.handlers = {
            STORAGE: lambda batch: record_storage(
                batch, catalog=catalog, storage_root=settings.storage
            ),
            INDEX: partial(indexer.index, label="batch"),
            RENDITIONS: partial(renderer.render, label="batch"),
            OBJECT_META: partial(load_object_meta, warehouse=warehouse, label="batch"),
        }
        self.done = dict.fromkeys(STAGES, 0)

    def receive(
        self,
        data_set: bytes,
        sop_class,
        sop_instance,
        syntax,
        calling_ae="MODALITY",
        receiving=None,
    ):
        """Receive one data set as if it had come over the wire; the status.

        ``receiving``: another receiver than the first one.
        """
        address, called_ae = "127.0.0.1", "DICOM_PIPELINE"
        peer = self.peers.find(address, calling_ae, called_ae)
        sender = Sender(
            "association", peer.tenant, address, calling_ae, called_ae, peer.character_set or ()
        )
        request = StoreRequest(sop_class, sop_instance, sop_class, syntax)
        return (receiving or self.receiving).receive(sender, Sent(request, data_set))

    def receive_file(self, path, calling_ae="MODALITY"):
        """Receive the data set of a Part 10 file, byte for byte."""
        ds = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
        uids = (ds.SOPClassUID, ds.SOPInstanceUID, ds.file_meta.TransferSyntaxUID)
        return self.receive(data_set_bytes(path), *map(str, uids), calling_ae)

    def receive_dataset(self, ds, tmp_path: Path, calling_ae="MODALITY"):
        """Receive a pydicom data set."""
        path = tmp_path / f"{random.getrandbits(64):x}.dcm"
        dcmwrite(path, ds, enforce_file_format=True)
        return self.receive_file(path, calling_ae)

    def pending(self, size: int) -> list[tuple]:
        """The ranges of at most ``size`` messages that no stage has worked on yet."""
        found = []
        for stage in STAGES:
            high = self.log.watermarks(stage.queue)[0].high
            found += [
                (stage, self.offsets(stage, start, min(start + size, high)))
                for start in range(self.done[stage], high, size)
            ]
            self.done[stage] = high
        return found

    def offsets(self, stage, start, end):
        return OffsetRange(stage.queue, self.log.topic_id(stage.queue), 0, start, end)

    def run(self, stage, offsets):
        return process_range(self.log, offsets, self.handlers[stage])

    def run_all(self, size: int = 1000) -> list[tuple]:
        """Run the stages until nothing is left; the ranges in the order they were run."""
        ran = []
        while ranges := self.pending(size):
            for stage, offsets in ranges:
                self.run(stage, offsets)
            ran += ranges
        return ran

    def dump(self) -> dict[str, list[str]]:
        return dump_tables(self.catalog, self.warehouse)

    def dead_letters(self):
        mark = self.log.watermarks(DEAD_LETTER_QUEUE)[0]
        topic_id = self.log.topic_id(DEAD_LETTER_QUEUE)
        offsets = OffsetRange(DEAD_LETTER_QUEUE, topic_id, 0, mark.low, mark.high)
        return list(self.log.read(offsets)) if len(offsets) else []


def dump_tables(catalog, warehouse) -> dict[str, list[str]]:
    """Every row of every table, in an order of its own."""
    return {
        table: sorted(repr(row) for row in store.query(f"SELECT * FROM {table}"))
        for store, tables in ((catalog, CATALOG_TABLES), (warehouse, WAREHOUSE_TABLES))
        for table in tables
    }


def data_set_bytes(path) -> bytes:
    """The bytes of a Part 10 file behind group 0002."""
    with Path(path).open("rb") as file:
        dcmread(file, stop_before_pixels=True, specific_tags=["SOPClassUID"])
        file.seek(0)
        content = file.read()
    length = int.from_bytes(content[140:144], "little")  # (0002,0000), Explicit VR LE
    return content[144 + length :]


@contextmanager
def open_flow(home: Path, peers: Peers | None = None, **changes) -> Iterator[Flow]:
    """A flow with fresh embedded stores in ``home``."""
    settings = Settings(
        dicom_pipeline_home=home, worker_node_id="node-1", worker_processes=2, **changes
    )
    with ExitStack() as stack:
        log = stack.enter_context(open_event_log(settings))
        catalog = stack.enter_context(open_catalog(settings))
        warehouse = stack.enter_context(open_warehouse(settings))
        log.create_topics(ALL_QUEUES, 1)
        catalog.migrate()
        warehouse.migrate()
        indexer = stack.enter_context(open_indexer(settings, catalog, warehouse))
        renderer = stack.enter_context(open_renderer(settings, log, catalog, warehouse))
        yield Flow(settings, peers or Peers(), log, catalog, warehouse, indexer, renderer)
