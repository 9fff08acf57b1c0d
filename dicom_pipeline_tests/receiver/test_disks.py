"""Disks that are full, read-only or closed to the receiver."""

import json
import os
import shutil
import signal
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager

import pytest

from dicom_pipeline.messages import FAN_OUT
from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.receiver.objects import (
    EXPLICIT,
    encode_dataset,
    make_dataset,
    unfinished,
)
from dicom_pipeline_tests.receiver.promises import require_kept
from dicom_pipeline_tests.receiver.running import process, published, run_to_exit
from dicom_pipeline_tests.receiver.sender import Sender
from dicom_pipeline_tests.receiver.volumes import MEGABYTE, NoVolumeError, volume
from receiver.part10 import digest
from receiver.statuses import Status

pytestmark = pytest.mark.service

OUT_OF_RESOURCES = Status.OUT_OF_RESOURCES.code


@contextmanager
def volume_at(path):
    try:
        with volume(path) as mounted:
            yield mounted
    except NoVolumeError:
        pytest.skip("nothing can be mounted here: neither as root nor in a user namespace")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def storage(home):
    with volume_at(home / "storage") as mounted:
        yield mounted


class Journal:
    """What was sent, and what became of it."""

    def __init__(self):
        self.sent = set()
        self.acknowledged = Counter()

    def store(self, sender, size):
        dataset = make_dataset(PixelData=os.urandom(size))
        data_set = encode_dataset(dataset)
        content = str(dataset.SOPInstanceUID), digest(EXPLICIT, data_set)
        self.sent.add(content)
        status = sender.store(content[0], data_set)
        if status == 0:
            self.acknowledged[content] += 1
        return status

    def require_kept(self, storage, home):
        events = {topic: published(home, topic) for topic in FAN_OUT}
        require_kept(storage, events, self.acknowledged, self.sent)


def stop(receiver):
    receiver.send_signal(signal.SIGTERM)
    assert receiver.wait(60) == 0


def get(receiver, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{receiver.http_port}/{path}") as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def readiness(receiver):
    return get(receiver, "readyz")[0]


def disk_is_low(receiver):
    name = "dicom_receiver_disk_low "
    (line,) = [line for line in get(receiver, "metrics")[1].splitlines() if line.startswith(name)]
    return line.removeprefix(name)


def test_a_full_disk_refuses_objects_one_by_one_until_it_has_space(home, storage):
    journal = Journal()
    with process(home, storage.prefix) as receiver, Sender(receiver.port) as sender:
        assert journal.store(sender, 1000) == 0
        storage.fill(leave=MEGABYTE)
        statuses = [journal.store(sender, 200_000) for _ in range(10)]
        assert set(statuses) == {0, OUT_OF_RESOURCES}
        assert journal.store(sender, 3 * MEGABYTE) == OUT_OF_RESOURCES
        storage.empty()
        assert journal.store(sender, 1000) == 0
        assert journal.store(sender, 3 * MEGABYTE) == 0
    with process(home, storage.prefix) as receiver:  # takes up what could not get its name
        stop(receiver)
    journal.require_kept(storage.root, home)


def test_below_the_low_water_mark_it_is_not_ready_and_says_so(home, storage):
    options = {"RECEIVER_MIN_FREE_BYTES": str(4 * MEGABYTE), "RECEIVER_HTTP_PORT": "0"}
    journal = Journal()
    with process(home, storage.prefix, **options) as receiver, Sender(receiver.port) as sender:
        assert journal.store(sender, 1000) == 0
        assert readiness(receiver) == 200
        storage.fill(leave=3 * MEGABYTE)
        wait_until(lambda: journal.store(sender, 1000) == OUT_OF_RESOURCES)
        assert journal.store(sender, 1000) == OUT_OF_RESOURCES
        wait_until(lambda: readiness(receiver) == 503)
        assert "RECEIVER_MIN_FREE_BYTES" in get(receiver, "readyz")[1]
        wait_until(lambda: disk_is_low(receiver) == "1.0")
        storage.empty()
        wait_until(lambda: journal.store(sender, 1000) == 0)
        wait_until(lambda: readiness(receiver) == 200)
        wait_until(lambda: disk_is_low(receiver) == "0.0")
        stop(receiver)
    journal.require_kept(storage.root, home)


@pytest.mark.parametrize("acknowledge", ["written", "queued"])
def test_a_full_disk_of_the_outbox_loses_no_event(home, acknowledge):
    options = {"RECEIVER_ACKNOWLEDGE": acknowledge, "RECEIVER_HTTP_PORT": "0"}
    journal = Journal()
    with volume_at(home / "outbox") as outbox:
        with (
            process(home, outbox.prefix, **options) as receiver,
            Sender(receiver.port) as sender,
        ):
            assert journal.store(sender, 1000) == 0
            outbox.fill()
            statuses = {journal.store(sender, 1000) for _ in range(40)}
            wait_until(lambda: readiness(receiver) == 503)
            assert (OUT_OF_RESOURCES in statuses) == (acknowledge == "queued")
            outbox.empty()
            wait_until(lambda: readiness(receiver) == 200)
            assert journal.store(sender, 1000) == 0
        with process(home, outbox.prefix, **options) as receiver:
            stop(receiver)
        journal.require_kept(home / "storage", home)


def test_a_disk_that_turns_read_only_refuses_objects_until_it_is_writable(home, storage):
    journal = Journal()
    options = {"RECEIVER_HTTP_PORT": "0"}
    with process(home, storage.prefix, **options) as receiver, Sender(receiver.port) as sender:
        assert journal.store(sender, 1000) == 0
        assert readiness(receiver) == 200
        wait_until(lambda: not unfinished(storage.root / "incoming" / "node"))
        storage.remount("ro")
        assert journal.store(sender, 1000) == OUT_OF_RESOURCES
        assert journal.store(sender, 3 * MEGABYTE) == OUT_OF_RESOURCES
        wait_until(lambda: readiness(receiver) == 503)
        storage.remount("rw")
        assert journal.store(sender, 1000) == 0
        wait_until(lambda: readiness(receiver) == 200)
        stop(receiver)
    journal.require_kept(storage.root, home)


def require_explained(done):
    """A configuration error that names the setting, the cause and the remedy."""
    assert done.returncode == 2, done.stderr
    message = json.loads(done.stderr.splitlines()[-1])["message"]
    assert "STORAGE_ROOT" in message
    assert "Traceback" not in done.stderr
    return message


def test_a_storage_root_that_is_read_only_is_a_configuration_error(home, storage):
    storage.remount("ro")
    assert "Read-only" in require_explained(run_to_exit(home, storage.prefix))


@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed")
def test_a_storage_root_without_permission_is_a_configuration_error(home):
    (home / "storage").mkdir(parents=True)
    (home / "storage").chmod(0o500)
    root_obeys = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    prefix = root_obeys if os.geteuid() == 0 else ()
    assert "Permission" in require_explained(run_to_exit(home, prefix))


def test_a_storage_root_that_is_a_file_is_a_configuration_error(home):
    home.mkdir()
    (home / "storage").touch()
    require_explained(run_to_exit(home))
