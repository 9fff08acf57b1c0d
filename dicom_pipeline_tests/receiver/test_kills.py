"""SIGKILL at random moments under load: what was acknowledged is there, whole, and published.

``KILLS`` in the environment says how often each kind of receiver is killed.
"""

import os
import signal
import time

import pytest

from dicom_pipeline.messages import FAN_OUT
from dicom_pipeline_tests.receiver.load import Load
from dicom_pipeline_tests.receiver.promises import require_kept
from dicom_pipeline_tests.receiver.running import process, published, spawn, wait_until_ready

KILLS = int(os.environ.get("KILLS", "4"))
MOST_RECEIPTS = 250
"""A receiver is killed after so many at the latest."""
BEFORE_IT_IS_READY = 4
"""Of so many kills one hits a receiver that still starts, and perhaps recovers."""

pytestmark = [pytest.mark.service, pytest.mark.timeout(300 + 20 * KILLS)]


def kill_again_and_again(home, load, names, **variables):
    for number in range(KILLS):
        options = {
            **variables,
            "WORKER_NODE_ID": names[number % len(names)],
            "RECEIVER_LOOP": "public" if number % 3 == 2 else "fast",
        }
        child = spawn(home, **options)
        try:
            if number % BEFORE_IT_IS_READY == 3:
                time.sleep(load.random.uniform(0.5, 1.5))
            else:
                load.port = wait_until_ready(home, child)["port"]
                load.wait_for(load.random.randrange(MOST_RECEIPTS))
                time.sleep(load.random.uniform(0, 0.01))
        finally:
            child.kill()
            child.wait()
            load.port = None


@pytest.mark.parametrize(
    ("acknowledge", "names"),
    [
        ("written", ["node"]),
        ("queued", ["node"]),
        ("written", ["node-1", "node-2", "node-3"]),
    ],
    ids=["written", "queued", "each adopts what another has left"],
)
def test_no_kill_loses_an_acknowledged_object(tmp_path, acknowledge, names):
    load = Load(seed=f"{acknowledge}{names}")
    with load.running():
        kill_again_and_again(tmp_path, load, names, RECEIVER_ACKNOWLEDGE=acknowledge)
    with process(tmp_path, WORKER_NODE_ID=names[-1]) as receiver:
        receiver.send_signal(signal.SIGTERM)
        assert receiver.wait(60) == 0
    assert load.acknowledged
    assert not load.refused
    require_kept(
        tmp_path / "storage",
        {topic: published(tmp_path, topic) for topic in FAN_OUT},
        load.acknowledged,
        load.sent,
    )
    print(  # noqa: T201 - shown for long runs
        f"{acknowledge}, {len(names)} names: {KILLS} kills, {len(load.sent)} objects sent, "
        f"{load.acknowledged.total()} receipts acknowledged"
    )
