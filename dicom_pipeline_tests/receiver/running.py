"""A receiver process in a home of its own, and what it has published."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

from dicom_pipeline.event_log.sqlite import SqliteEventLog
from dicom_pipeline.messages import OffsetRange, decode_event


def environment(home, **variables):
    return {
        **os.environ,
        "DICOM_PIPELINE_HOME": str(home),
        "RECEIVER_PORT": "0",
        "RECEIVER_MIN_FREE_BYTES": "0",
        "WORKER_NODE_ID": "node",
        "LOG_FORMAT": "json",
        **variables,
    }


@contextmanager
def process(home, **variables):
    """A receiver process, once it is ready; killed at the end if it still runs."""
    home.mkdir(exist_ok=True)
    with (home / "log.txt").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "receiver"],
            env=environment(home, **variables),
            cwd=home,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 60
        while not (status := read_status(home)) or status["pid"] != child.pid:
            assert child.poll() is None, (home / "log.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child.port = status["port"]
        yield child
    finally:
        child.kill()
        child.wait()


def read_status(home):
    path = home / "receiver.json"
    return json.loads(path.read_text()) if path.exists() else None


def run_to_exit(home, **variables):
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "receiver"],
        env=environment(home, **variables),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def published(home, topic):
    with SqliteEventLog(home / "events.db") as log:
        high = log.watermarks(topic)[0].high
        everything = OffsetRange(topic, log.topic_id(topic), 0, 0, high)
        return [decode_event(record.value) for record in log.read(everything)]
