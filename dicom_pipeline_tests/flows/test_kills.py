"""SIGKILL at random moments while objects flow: nothing acknowledged is lost, nothing doubled."""

import random
import threading
import time
from collections import Counter

import psutil
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.demo.accounting import Acknowledged, missing
from dicom_pipeline.warehouse import open_warehouse
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.stack import RunningStack

KILLS = 24
OBJECTS = 600
OBJECTS_PER_SECOND = 8
PARTS = ["receiver", "daemon", "run"]
APPEARS_SECONDS = 30
KILLING_SECONDS = 240
CATCH_UP_SECONDS = 420


class Modality(threading.Thread):
    """Sends object after object, each again until it is acknowledged, and remembers each answer."""

    def __init__(self, stack):
        super().__init__(daemon=True)
        self.stack = stack
        self.acknowledged = []
        self.stopping = threading.Event()
        self.association = None

    def run(self):
        for number in range(OBJECTS):
            ds = an_image(number, SeriesInstanceUID=f"1.2.3.{number % 7}")
            while not self.stopping.is_set() and not self.send(ds):
                time.sleep(0.2)
            if self.stopping.wait(1 / OBJECTS_PER_SECOND):
                break
        if self.association and self.association.is_established:
            self.association.release()

    def send(self, ds):
        try:
            if self.association is None or not self.association.is_established:
                entity = AE(ae_title="MODALITY")
                entity.acse_timeout = entity.dimse_timeout = entity.connection_timeout = 10
                entity.add_requested_context(ds.SOPClassUID, ExplicitVRLittleEndian)
                self.association = entity.associate(
                    "127.0.0.1", self.stack.receiver_port, ae_title="DICOM_PIPELINE"
                )
            status = self.association.send_c_store(ds).get("Status")
        except (OSError, RuntimeError, ValueError):
            return False
        if status == 0:
            self.acknowledged.append(Acknowledged(str(ds.SOPInstanceUID), "default"))
        return status == 0


def kill(stack, part):
    """SIGKILL a part of the group, or the process of a run; False when there is none just now."""
    if part == "run":
        processes = run_processes(stack)
        if processes:
            processes[0].kill()
        return bool(processes)
    if part not in stack.pids():
        return False
    stack.kill(part)
    return True


def run_processes(stack):
    """The processes that Dagster's code server has started for runs."""
    try:
        children = psutil.Process(stack.pids()["code-server"]).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except (psutil.Error, KeyError):
        return []


def kill_when_there(stack, part):
    deadline = time.monotonic() + APPEARS_SECONDS
    while time.monotonic() < deadline:
        if kill(stack, part):
            return True
        time.sleep(0.05)
    return False


def duplicates(store, table, key):
    return store.query(f"SELECT {key} FROM {table} GROUP BY {key} HAVING COUNT(*) > 1")


@pytest.mark.service
@pytest.mark.timeout(900)
# pynetdicom's threads and sockets as a sender, when the receiver is gone
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_kills_at_random_moments_lose_nothing_and_double_nothing(tmp_path):
    chance = random.Random(20260131)
    home = tmp_path / "home"
    settings = {"stream_backoff_seconds": 1, "stream_range_messages": 100}
    with RunningStack(home, worker_node_id="node-1", **settings) as stack:
        modality = Modality(stack)
        modality.start()
        killed = Counter()
        deadline = time.monotonic() + KILLING_SECONDS
        while sum(killed.values()) < KILLS and time.monotonic() < deadline:
            time.sleep(chance.uniform(0.5, 4))
            part = min(PARTS, key=lambda name: (killed[name], chance.random()))
            killed[part] += kill_when_there(stack, part)
        modality.stopping.set()
        modality.join(30)
        assert not modality.is_alive()
        stack.wait_until_ready()
        stack.wait_until_caught_up(CATCH_UP_SECONDS)

        assert sum(killed.values()) >= 20
        assert set(killed) == set(PARTS)
        assert len(modality.acknowledged) > KILLS
        assert missing(stack.settings, modality.acknowledged) == []
        with open_catalog(stack.settings) as catalog, open_warehouse(stack.settings) as warehouse:
            assert catalog.abandoned() == []
            for table in ("storage_record", "instance", "rendition"):
                assert duplicates(catalog, table, "tenant_id, sop_uid") == []
            assert duplicates(warehouse, "dicom_image", "tenant_id, sop_uid") == []
            assert duplicates(warehouse, "dicom_object_meta", "trace_id") == []
            (count,) = catalog.query("SELECT SUM(number_of_instances) AS instances FROM study")
            (objects,) = catalog.query("SELECT COUNT(*) AS objects FROM instance")
            assert count["instances"] == objects["objects"]
