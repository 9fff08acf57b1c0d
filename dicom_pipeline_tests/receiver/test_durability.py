"""The order of the receiver's syncs, by strace, and what a power failure leaves between them."""

import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from dicom_pipeline.event_log.sqlite import SqliteEventLog
from dicom_pipeline.messages import ALL_QUEUES, FAN_OUT, LOG_QUEUE, decode_event
from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.receiver.objects import (
    EXPLICIT,
    encode_dataset,
    make_dataset,
    new_uid,
    unfinished,
)
from dicom_pipeline_tests.receiver.power_loss import Disk
from dicom_pipeline_tests.receiver.promises import require_kept
from dicom_pipeline_tests.receiver.running import process, published
from dicom_pipeline_tests.receiver.sender import Sender
from dicom_pipeline_tests.receiver.tracing import Call, Descriptor, read_trace, strace
from receiver.commands import RESPONSE, Operation, decode
from receiver.outbox import Outbox
from receiver.part10 import digest
from receiver.recovery import recover
from receiver.wire import split

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(
        not shutil.which("strace")
        or subprocess.run(["strace", "-qq", "true"], capture_output=True, check=False).returncode,
        reason="strace is not installed, or may not trace",
    ),
]

SYNCS = {"fsync", "fdatasync"}
CRASHES = int(os.environ.get("CRASHES", "15"))


class Recorded(NamedTuple):
    """A receiver's life from its first start to its end."""

    home: Path
    acknowledge: str
    calls: list[Call]
    sent: list[tuple[str, str]]
    """SOP Instance UID and digest; those of one UID in their order."""
    events: list
    """Of the log queue."""


class Response(NamedTuple):
    """A C-STORE response, as it is handed to the kernel."""

    call: Call
    uid: str
    status: int


@pytest.fixture(scope="module", params=["written", "queued"])
def recorded(request, tmp_path_factory):
    """A new series, a known one, a large object, a duplicate, other bytes, and a crowd."""
    home = tmp_path_factory.mktemp(request.param)
    trace = home.with_suffix(".trace")
    sent = []
    incoming = home / "storage" / "incoming" / "node"

    def store(sender, **changes):
        dataset = make_dataset(**changes)
        data_set = encode_dataset(dataset)
        sent.append((str(dataset.SOPInstanceUID), digest(EXPLICIT, data_set)))
        assert sender.store(sent[-1][0], data_set) == 0

    def send_some(port):
        with Sender(port) as sender:
            for _ in range(3):
                store(sender)

    with process(home, strace(trace), RECEIVER_ACKNOWLEDGE=request.param) as receiver:
        with Sender(receiver.port) as sender:
            uid = new_uid()
            store(sender, SOPInstanceUID=uid, SeriesInstanceUID="1.2.3.5")
            store(sender, SeriesInstanceUID="1.2.3.5")
            store(sender, SeriesInstanceUID="1.2.3.6", PixelData=bytes(1_200_000))
            wait_until(lambda: not unfinished(incoming))
            store(sender, SOPInstanceUID=uid, SeriesInstanceUID="1.2.3.5")
            store(sender, SOPInstanceUID=uid, SeriesInstanceUID="1.2.3.5", PixelData=b"other")
        crowd = [threading.Thread(target=send_some, args=(receiver.port,)) for _ in range(3)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        os.kill(receiver.receiver_pid, signal.SIGTERM)
        assert receiver.wait(60) == 0
    return Recorded(home, request.param, read_trace(trace), sent, published(home, LOG_QUEUE))


def responses(calls):
    """The C-STORE responses, in their order."""
    for call in calls:
        data = b"".join(each for each in call.arguments if isinstance(each, bytes))
        if call.name in {"sendto", "sendmsg", "write"} and data[:1] == b"\4":
            (value,) = split(memoryview(data[6:]))
            command = decode(bytes(value.fragment))
            assert command.field == Operation.C_STORE | RESPONSE
            yield Response(call, command.sop_instance_uid, command.status)


def on(calls, names, path):
    """The calls of these names on an open file or folder, or that name it."""
    text = str(path)
    return [
        call
        for call in calls
        if call.name in names
        and any(
            each == text.encode() or (isinstance(each, Descriptor) and each.path == text)
            for each in call.arguments
        )
    ]


def between(calls, after, before):
    """Whether one of the calls began after the first had ended, and ended before the second."""
    return any(after.end < call.start and call.end < before.start for call in calls)


def commit_of(recorded, event):
    """The sync of the outbox that makes an event durable."""
    log = f"{recorded.home}/outbox/node.db-wal"
    holding = [
        call
        for call in on(recorded.calls, {"pwrite64"}, log)
        if any(
            isinstance(each, bytes) and event.trace_id.encode() in each for each in call.arguments
        )
    ]
    return next(call for call in on(recorded.calls, SYNCS, log) if call.start > holding[0].end)


def answers_by_receipt(recorded):
    """The response to each receipt, by its trace id."""
    answers = defaultdict(list)
    for each in responses(recorded.calls):
        answers[each.uid].append(each)
    receipts = defaultdict(list)
    for event in sorted(recorded.events, key=lambda each: each.version):
        receipts[event.sop_uid].append(event)
    return {
        event.trace_id: answer
        for uid, events in receipts.items()
        for event, answer in zip(events, answers[uid], strict=True)
    }


def test_success_is_said_once_the_file_and_its_entry_are_durable(recorded):
    answers = answers_by_receipt(recorded)
    new = [event for event in recorded.events if not event.duplicate_of]
    assert len(new) == len(recorded.sent) - 1
    for event in new:
        answer = answers[event.trace_id]
        file = received_as(recorded, event)
        incoming = file.parent
        writes = on(recorded.calls, {"write", "pwrite64", "writev"}, file)
        (sync,) = on(recorded.calls, SYNCS, file)
        assert sum(call.result for call in writes) >= event.file_size
        assert all(call.end < sync.start for call in writes)
        assert sync.end < answer.call.start
        assert between(on(recorded.calls, SYNCS, incoming), entered(recorded, file), answer.call)
        assert answer.status == 0


def test_a_file_leaves_incoming_once_its_name_and_its_event_are_durable(recorded):
    storage = recorded.home / "storage"
    for event in recorded.events:
        if event.duplicate_of:
            continue
        incoming = received_as(recorded, event)
        final = storage / event.file_path
        created = entered(recorded, incoming)
        (link,) = on(recorded.calls, {"link", "linkat"}, final)
        (unlink,) = on(recorded.calls, {"unlink", "unlinkat"}, incoming)
        commit = commit_of(recorded, event)
        assert between(on(recorded.calls, SYNCS, incoming.parent), created, link)
        assert between(on(recorded.calls, SYNCS, final.parent), link, commit)
        assert commit.end < unlink.start


def received_as(recorded, event):
    """The file of ``incoming/`` that was linked to an object's name."""
    final = recorded.home / "storage" / event.file_path
    (link,) = on(recorded.calls, {"link", "linkat"}, final)
    return Path(next(each for each in link.arguments if isinstance(each, bytes)).decode())


def entered(recorded, path):
    """What has made a file's entry."""
    return next(
        call
        for call in on(recorded.calls, {"openat", "mknodat", "mknod"}, path)
        if call.name != "openat" or "O_CREAT" in call.arguments[2]
    )


def test_a_new_folder_is_durable_before_anything_in_it_counts(recorded):
    home = str(recorded.home)
    made = {
        call.arguments[0].decode(): call
        for call in recorded.calls
        if call.name == "mkdir" and home.encode() in call.arguments[0]
    }
    commits = {}
    for event in recorded.events:
        for folder in (recorded.home / "storage" / event.file_path).parents:
            commits.setdefault(str(folder), []).append(commit_of(recorded, event))
    assert {f"{home}/storage", f"{home}/storage/default"} < made.keys() & commits.keys()
    for folder in made.keys() & commits.keys():
        first = min(commits[folder], key=lambda each: each.start)
        assert between(on(recorded.calls, SYNCS, Path(folder).parent), made[folder], first)


def test_a_duplicate_is_acknowledged_once_its_event_is_durable(recorded):
    (event,) = [event for event in recorded.events if event.duplicate_of]
    answer = answers_by_receipt(recorded)[event.trace_id]
    assert commit_of(recorded, event).end < answer.call.start
    assert answer.status == 0


def test_queued_means_acknowledged_once_the_event_is_durable(recorded):
    early = 0
    for trace_id, answer in answers_by_receipt(recorded).items():
        (event,) = [event for event in recorded.events if event.trace_id == trace_id]
        early += answer.call.start < commit_of(recorded, event).end
    if recorded.acknowledge == "queued":
        assert early == 0
    else:
        assert early > 0  # nobody waits for what happens behind the acknowledgement


def kept_after_power_loss(recorded, disk, time, survives):
    """Raises AssertionError when recovery does not bring back all that was acknowledged."""
    contents = defaultdict(list)
    for uid, content in recorded.sent:
        contents[uid].append(content)
    acknowledged = Counter(
        (answer.uid, contents[answer.uid].pop(0))
        for answer in responses(recorded.calls)
        if answer.call.start < time
    )
    fast = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=fast) as folder:
        home = Path(folder)
        disk.write_to(home, time, survives)
        storage = home / "storage"
        events = defaultdict(list)
        with closing(Outbox(home / "outbox" / "node.db")) as outbox:
            assert recover(storage, storage / "incoming" / "node", outbox).left == 0
            for entry in outbox.entries(0, 1000):
                for topic in entry.topics:
                    events[topic].append(decode_event(entry.value))
        with SqliteEventLog(home / "events.db") as log:
            log.create_topics(ALL_QUEUES, 1)
        for topic in FAN_OUT:
            events[topic] += published(home, topic)
        require_kept(storage, events, acknowledged, set(recorded.sent))


ANSWERS = {"sendto", "sendmsg"}
REMOVALS = {"unlink", "unlinkat"}


def moments(recorded, names):
    """Just behind each call of these names."""
    return [call.end + 1 for call in recorded.calls if call.name in names]


def nothing(_):
    return False


def removals(change):
    return change.removes


@pytest.mark.parametrize("survives", [nothing, removals])
def test_no_power_failure_behind_an_answer_loses_an_object(recorded, survives):
    disk = Disk(recorded.calls, recorded.home)
    for answer in responses(recorded.calls):
        kept_after_power_loss(recorded, disk, answer.call.end + 1, survives)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_no_power_failure_at_any_moment_loses_an_object(recorded, share):
    disk = Disk(recorded.calls, recorded.home)
    chance = random.Random(share)
    telling = moments(recorded, SYNCS | ANSWERS | REMOVALS | {"link", "mkdir"})
    for time in chance.sample(telling, CRASHES):
        kept_after_power_loss(recorded, disk, time, lambda _: chance.random() < share)


@pytest.mark.parametrize(
    "path",
    [
        r"storage/incoming/node/.*\.(dcm|spare)",
        "storage/incoming/node",
        "storage/default/.*",
        "outbox/.*wal",
    ],
)
@pytest.mark.parametrize("recorded", ["written"], indirect=True)
def test_each_of_the_syncs_is_needed(recorded, path):
    pattern = re.compile(f"{re.escape(str(recorded.home))}/{path}")
    calls = [
        call
        for call in recorded.calls
        if call.name not in SYNCS or not pattern.fullmatch(call.arguments[0].path)
    ]
    disk = Disk(calls, recorded.home)
    assert not all(
        is_kept(recorded, disk, time, survives)
        for time in moments(recorded, ANSWERS | REMOVALS)
        for survives in (removals, nothing)
    )


def is_kept(recorded, disk, time, survives):
    try:
        kept_after_power_loss(recorded, disk, time, survives)
    except AssertionError:
        return False
    return True
