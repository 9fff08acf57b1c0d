"""Receiver processes in a home of their own, and what they have published."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from dicom_pipeline.event_log.sqlite import SqliteEventLog
from dicom_pipeline.messages import OffsetRange, decode_event

RECEIVER = (sys.executable, "-m", "receiver")


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


def spawn(home, prefix=(), **variables):
    """A receiver that is starting; ``prefix``: a command that runs it."""
    home.mkdir(exist_ok=True)
    with (home / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [*prefix, *RECEIVER], env=environment(home, **variables), cwd=home, stderr=log
        )


def wait_until_ready(home, child):
    """Returns the status file of a receiver that was started by `spawn`."""
    deadline = time.monotonic() + 60
    while not (status := read_status(home)) or status["pid"] not in family(child.pid):
        assert child.poll() is None, (home / "log.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return status


@contextmanager
def process(home, prefix=(), **variables):
    """A receiver process, once it is ready; killed at the end if it still runs."""
    child = spawn(home, prefix, **variables)
    child.receiver_pid = child.pid
    try:
        status = wait_until_ready(home, child)
        child.port, child.http_port = status["port"], status["http_port"]
        child.receiver_pid = status["pid"]
        yield child
    finally:
        if child.poll() is None:
            os.kill(child.receiver_pid, signal.SIGKILL)
        child.kill()
        child.wait()


def family(pid):
    """A process and its children: the receiver may be a child of its prefix."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        children = ""
    return {pid, *map(int, children.split())}


def read_status(home):
    path = home / "receiver.json"
    return json.loads(path.read_text()) if path.exists() else None


def run_to_exit(home, prefix=(), **variables):
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [*prefix, *RECEIVER],
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
