"""Publishing again: bounded, patient, and able to go on; bad files are listed."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from dicom_pipeline.cli.exits import run
from dicom_pipeline.cli.reindexing import Wishes, run_reindex
from dicom_pipeline.errors import TransientError
from dicom_pipeline.messages import FAN_OUT, INDEX_QUEUE, decode_event
from dicom_pipeline.reindexing import Scope, reindexing
from dicom_pipeline.reindexing.journal import JOURNAL, LIST, Journal
from dicom_pipeline.reindexing.pace import Following, longest_lag
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import OBJECT_META, RENDITIONS, STAGES
from dicom_pipeline_tests.moving.homes import open_home, publish
from dicom_pipeline_tests.receiver.objects import (
    SENDER,
    FakeOutbox,
    make_dataset,
    receiving_into,
    request_for,
)
from dicom_pipeline_tests.reindexing.deadly import DEADLY, read_or_die
from dicom_pipeline_tests.reindexing.rebuilding import Silent, reindex

SMALL_BATCHES = "from dicom_pipeline.reindexing import reindexing; reindexing._BATCH = 20; "
MAIN = "from dicom_pipeline.cli import main; main()"
PROGRAM = [sys.executable, "-c", SMALL_BATCHES + MAIN, "reindex"]
OBJECTS = 40


@pytest.fixture
def home(tmp_path):
    with open_home(Settings(dicom_pipeline_home=tmp_path / "home")) as home:
        yield home


def store(home, count=OBJECTS, **first):
    """Objects of two tenants, the first one with these attributes; their events."""
    outbox = FakeOutbox()
    receiving = receiving_into(home.settings.storage, outbox)
    for number in range(count):
        sender = SENDER._replace(tenant_id=("default", "east")[number % 2])
        changes = {"StudyInstanceUID": f"1.2.{number % 3}", **(first if number == 0 else {})}
        receiving.receive(sender, request_for(make_dataset(**changes)))
    return outbox.events


def trace_ids(home, queue=INDEX_QUEUE):
    return [decode_event(value).trace_id for value in home.values(queue)]


def ids(events):
    return {event.trace_id for event in events}


def commit_all(log):
    for stage in STAGES:
        for partition, (_, high) in log.watermarks(stage.queue).items():
            log.commit(stage.consumer_group, stage.queue, partition, high)


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(reindexing, "_BATCH", 7)


def test_every_event_comes_to_every_queue_once(home):
    events = store(home)
    assert reindex(home.settings, home.log).good
    for queue in FAN_OUT:
        assert sorted(trace_ids(home, queue)) == sorted(ids(events))


def test_only_what_was_asked_for_is_published(home):
    events = store(home)
    counts = reindex(home.settings, home.log, tenants=("east",), studies=("1.2.1",))
    wanted = [one for one in events if (one.tenant_id, one.study_uid) == ("east", "1.2.1")]
    assert set(trace_ids(home)) == ids(wanted)
    assert counts.events == len(wanted)
    counts = reindex(home.settings, home.log, since=events[-3].version)
    assert (counts.events, counts.earlier) == (3, OBJECTS - 3)


def test_it_goes_on_where_it_was_interrupted(home, small_batches, monkeypatch):
    events = store(home)
    passed = Journal.passed

    def interrupt(journal, path, lines):
        passed(journal, path, lines)
        if journal.counts.files == 21:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "passed", interrupt)
    with pytest.raises(KeyboardInterrupt):
        reindex(home.settings, home.log)
    monkeypatch.setattr(Journal, "passed", passed)
    assert len(trace_ids(home)) == 21
    counts = reindex(home.settings, home.log)
    assert counts.events == OBJECTS
    assert sorted(trace_ids(home)) == sorted(ids(events))  # none of them twice
    assert not (home.settings.home / JOURNAL).exists()


def test_other_filters_or_new_queues_begin_anew(home):
    scope, root = Scope(), home.settings.storage
    topics = {queue: home.log.topic_id(queue) for queue in FAN_OUT}
    where = home.settings.home
    Journal.open(where, root, scope, topics, from_start=False).passed("a/b", [])
    assert Journal.open(where, root, scope, topics, from_start=False).resumed
    for change in (
        {"scope": Scope(adopt=True)},
        {"targets": {**topics, "catalog": "another"}},
        {"root": root / "x"},
        {"from_start": True},
    ):
        asked = {"root": root, "scope": scope, "targets": topics, "from_start": False, **change}
        assert not Journal.open(where, **asked).resumed


def test_bad_files_are_listed_once_and_never_end_it(home, small_batches):
    events = store(home)
    root = home.settings.storage
    damaged = root / events[0].file_path
    os.truncate(damaged, damaged.stat().st_size - 2)
    for name in ("a", "z"):
        (root / f"default/{name}.dcm").write_bytes(b"no DICOM")
    counts = reindex(home.settings, home.log)
    assert counts.events == OBJECTS
    assert (counts.damaged, counts.left_out) == (1, {"not_dicom": 2})
    lines = (home.settings.home / LIST).read_text(encoding="utf-8").splitlines()
    assert sorted(line.split("\t")[:2] for line in lines) == sorted(
        [
            ["damaged", events[0].file_path],
            ["not_dicom", "default/a.dcm"],
            ["not_dicom", "default/z.dcm"],
        ]
    )


def test_lines_that_the_journal_does_not_know_of_are_taken_back(home):
    arguments = (home.settings.home, home.settings.storage, Scope(), {})
    journal = Journal.open(*arguments, from_start=False)
    journal.passed("a/1", ["one"])
    with journal.list_path.open("a") as file:
        file.write("written just before a crash\n")
    assert Journal.open(*arguments, from_start=False).after == "a/1"
    assert journal.list_path.read_text() == "one\n"


def test_a_file_that_kills_its_reader_costs_itself_only(home, monkeypatch):
    store(home, 5, SOPInstanceUID=DEADLY)
    monkeypatch.setattr("dicom_pipeline.reindexing.reading.read_files", read_or_die)
    counts = reindex(home.settings, home.log)
    assert counts.events == 4
    assert counts.left_out == {"unreadable": 1}


def test_a_storage_root_that_is_not_mounted_is_no_empty_one(home):
    home.settings.storage.mkdir()
    with pytest.raises(TransientError, match="incoming"):
        reindex(home.settings, home.log)


def test_it_publishes_no_further_ahead_than_it_may(home, small_batches):
    store(home)
    told = Silent()
    lags = []
    stopping = threading.Event()

    def work():
        while not stopping.wait(0.05):
            lags.append(longest_lag(home.log).messages)
            commit_all(home.log)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        reindex(home.settings, home.log, ahead=5, progress=told)
    finally:
        stopping.set()
        worker.join()
    assert max(lags) <= 5 + 7
    assert any("`up`" in reason for reason in told.reasons)


def test_an_event_log_that_is_away_is_waited_for(home, monkeypatch):
    events = store(home, 3)
    monkeypatch.setattr(reindexing, "_LOOK_SECONDS", 0.01)
    refusals = iter(range(3))
    publish_them = home.log.publish

    def away(messages):
        if next(refusals, None) is not None:
            raise TransientError("the brokers are away")
        publish_them(messages)

    monkeypatch.setattr(home.log, "publish", away)
    told = Silent()
    reindex(home.settings, home.log, progress=told)
    assert told.reasons == ["the brokers are away"] * 3
    assert set(trace_ids(home)) == ids(events)


def test_the_stages_are_followed_through_what_the_rendition_stage_says(home):
    for queue in FAN_OUT:
        publish(home, queue, 4)
    following = Following(home.log)
    assert following.left() == 16
    home.log.commit(OBJECT_META.consumer_group, OBJECT_META.queue, 0, 4)
    publish(home, OBJECT_META.queue, 4, start=4)
    assert following.left() == 12
    home.log.commit(RENDITIONS.consumer_group, RENDITIONS.queue, 0, 4)
    assert following.left() == 8 + 4
    commit_all(home.log)
    assert following.left() == 0


def test_the_command_shows_what_was_done_and_has_its_codes(home, capsys):
    events = store(home, 4)
    ask = Wishes(wait=False)
    assert run_reindex(home.settings, Scope(), ask) == 0
    assert "4 of 4 files were published again" in capsys.readouterr().out
    (home.settings.storage / "default/x.dcm").write_bytes(b"")
    assert run_reindex(home.settings, Scope(), ask._replace(dry_run=True)) == 3
    shown = capsys.readouterr().out
    assert "not_dicom\tdefault/x.dcm" in shown
    assert len(trace_ids(home)) == len(events)
    assert run_reindex(home.settings, Scope(), ask) == 3
    assert LIST in capsys.readouterr().out


def test_two_at_a_time_on_one_home_are_refused(home, capsys, monkeypatch):
    store(home, 2)
    codes = []

    def second(*_):
        codes.append(run(lambda: run_reindex(home.settings, Scope(), Wishes(wait=False))))

    monkeypatch.setattr(Journal, "remove", second)
    assert run_reindex(home.settings, Scope(), Wishes(wait=False)) == 0
    assert codes == [2]
    assert "another reindex" in capsys.readouterr().err


@pytest.mark.service
def test_killed_again_and_again_it_ends_with_everything_published(home):
    events = store(home, 100)
    environment = {
        **os.environ,
        "DICOM_PIPELINE_HOME": str(home.settings.home),
        "WORKER_PROCESSES": "1",
    }
    for _ in range(2):
        before = len(trace_ids(home))
        command = [*PROGRAM, "--no-wait", "--ahead", "1"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(trace_ids(home)) == before:  # then it waits for the stages, or nearly
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        commit_all(home.log)
    done = subprocess.run(
        [*PROGRAM, "--no-wait"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "100 of 100 files" in done.stdout
    found = trace_ids(home)
    assert set(found) == ids(events)
    assert len(found) <= 100 + 2 * 20  # a batch may come twice after each kill
