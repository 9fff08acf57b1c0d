"""A copying that is interrupted anywhere ends, once repeated, with the same target."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from dicom_pipeline.messages import ALL_QUEUES, STORAGE_QUEUE
from dicom_pipeline.moving import copying as copying_module
from dicom_pipeline.moving.copying import JOURNAL
from dicom_pipeline.moving.journal import Journal
from dicom_pipeline.stages import STORAGE
from dicom_pipeline_tests.moving.homes import (
    copy,
    copying,
    fill_tables,
    ledger_of,
    publish,
    publish_everywhere,
)

PROGRAM = [sys.executable, "-c", "from dicom_pipeline.cli import main; main()", "copy"]


class Interruptions:
    """Interrupts at random: before something is done, or once it is."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.left = 12

    def around(self, function):
        def interrupted(*args, **kwargs):
            self._perhaps()
            result = function(*args, **kwargs)
            self._perhaps()
            return result

        return interrupted

    def _perhaps(self) -> None:
        if self.left and self.random.random() < 0.1:
            self.left -= 1
            raise KeyboardInterrupt


@pytest.fixture
def small_batches(monkeypatch):
    for module in ("source", "queues"):
        monkeypatch.setattr(f"dicom_pipeline.moving.{module}.BATCH_ROWS", 11)


@pytest.mark.parametrize("seed", range(3))
def test_interrupted_at_random_points_it_ends_with_the_same_target(
    source, target, small_batches, monkeypatch, seed
):
    fill_tables(source)
    expected = publish_everywhere(source, 30)
    ledger = ledger_of(source, STORAGE_QUEUE, planned=22, outstanding=[(2, 9), (12, 15), (16, 20)])
    values = expected[STORAGE_QUEUE]
    expected[STORAGE_QUEUE] = [*values[2:9], *values[12:15], *values[16:20], *values[22:]]
    interruptions = Interruptions(seed)
    monkeypatch.setattr(Journal, "save", interruptions.around(Journal.save))
    report = None
    while report is None:
        try:
            with copying(source, target.settings, {STORAGE.sensor_name: ledger}) as begun:
                begun._tables = [
                    one._replace(write=interruptions.around(one.write)) for one in begun._tables
                ]
                begun._logs.target.publish = interruptions.around(begun._logs.target.publish)
                report = begun.run()
                begun.finish(report)
        except KeyboardInterrupt:
            continue
    assert report.good
    assert interruptions.left < 12
    assert target.dump() == source.dump()
    for queue in ALL_QUEUES:
        assert set(target.values(queue)) == set(expected[queue])


def test_what_was_copied_is_not_copied_again_after_an_interruption(
    source, target, small_batches, monkeypatch
):
    fill_tables(source)
    values = publish(source, STORAGE_QUEUE, 30)
    copied = []
    original = copying_module.publish_pending

    def stop_here(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(copying_module, "publish_pending", stop_here)
    with pytest.raises(KeyboardInterrupt), copying(source, target.settings) as begun:
        begun.run()
    monkeypatch.setattr(copying_module, "publish_pending", original)
    with copying(source, target.settings) as begun:
        assert begun.resumed
        begun._tables = [one._replace(write=copied.append) for one in begun._tables]
        assert begun.run().good
    assert copied == []
    assert sorted(target.values(STORAGE_QUEUE)) == sorted(values)


def test_a_queue_of_several_ranges_is_gone_on_with_in_the_midst_of_one(source, target, monkeypatch):
    monkeypatch.setattr("dicom_pipeline.moving.queues.BATCH_ROWS", 4)
    values = publish(source, STORAGE_QUEUE, 30)
    ledger = ledger_of(source, STORAGE_QUEUE, planned=26, outstanding=[(0, 3), (5, 8), (10, 15)])
    expected = [*values[:3], *values[5:8], *values[10:15], *values[26:]]
    ledgers = {STORAGE.sensor_name: ledger}
    for calls in (1, 2, 99):
        left = iter([None] * calls)
        with copying(source, target.settings, ledgers) as begun:
            publish_them = begun._logs.target.publish

            def some(messages, left=left, publish_them=publish_them):
                if next(left, "none") == "none":
                    raise KeyboardInterrupt
                publish_them(messages)

            begun._logs.target.publish = some
            with suppress(KeyboardInterrupt):
                assert begun.run().good
    assert sorted(target.values(STORAGE_QUEUE)) == sorted(expected)


def test_a_finished_copying_leaves_no_journal(source, target):
    copy(source, target.settings)
    assert not (source.settings.home / JOURNAL).exists()


def test_the_journal_holds_no_row_and_no_password(source, target, small_batches):
    fill_tables(source)
    with copying(source, target.settings) as begun:
        begun.run()
    journal = json.loads((source.settings.home / JOURNAL).read_bytes())
    assert "said by" not in json.dumps(journal)
    assert set(journal) == {"target", "pending", "id", "tables", "queues"}


def test_it_starts_over_when_the_stages_have_worked_on_the_source_since(source, target):
    publish(source, STORAGE_QUEUE, 3)
    with copying(source, target.settings) as begun:
        begun.run()
    publish(source, STORAGE_QUEUE, 1, start=3)
    with copying(source, target.settings) as begun:
        assert not begun.resumed
        assert begun.run().good
    assert len(set(target.values(STORAGE_QUEUE))) == 4


@pytest.mark.service
def test_killed_at_any_moment_it_ends_with_the_same_target(source, target):
    fill_tables(source, objects=600)
    values = publish(source, STORAGE_QUEUE, 30_000)
    journal = source.settings.home / JOURNAL
    environment = {
        **os.environ,
        "DICOM_PIPELINE_HOME": str(target.settings.home),
        "STORAGE_ROOT": str(target.settings.storage),
    }
    command = [*PROGRAM, "--from-home", str(source.settings.home)]
    killed = 0
    for pause in (0.0, 0.1, 0.3):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        began = journal.read_bytes() if journal.exists() else b""
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes() != began:
                time.sleep(pause)
                break
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert killed
    assert target.dump() == source.dump()
    assert set(target.values(STORAGE_QUEUE)) == set(values)
