"""SIGKILL at random moments while objects flow: nothing acknowledged is lost, nothing doubled."""

import gc
import random
import time
from collections import Counter

import psutil
import pytest

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.demo.accounting import missing
from dicom_pipeline.warehouse import open_warehouse
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.modality import Modality
from dicom_pipeline_tests.stack import RunningStack

KILLS = 21
OBJECTS = 600
OBJECTS_PER_SECOND = 8
PARTS = ["receiver", "daemon", "run"]
APPEARS_SECONDS = 30
KILLING_SECONDS = 240
CATCH_UP_SECONDS = 420


def images():
    for number in range(OBJECTS):
        yield an_image(number, SeriesInstanceUID=f"1.2.3.{number % 7}")


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
    settings = {
        "stream_backoff_seconds": 1,
        "stream_range_messages": 100,
        "stream_ranges_in_flight": 2,  # a killed one holds up the queue
    }
    with RunningStack(home, worker_node_id="node-1", **settings) as stack:
        modality = Modality(lambda: stack.receiver_port, images(), OBJECTS_PER_SECOND)
        modality.start()
        killed = Counter()
        deadline = time.monotonic() + KILLING_SECONDS
        while sum(killed.values()) < KILLS and time.monotonic() < deadline:
            time.sleep(chance.uniform(0.5, 4))
            part = min(PARTS, key=lambda name: (killed[name], chance.random()))
            killed[part] += kill_when_there(stack, part)
        modality.end()
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
    gc.collect()  # the sender's sockets: their warnings are this test's, and expected
