"""Several receiver processes on one port."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from contextlib import suppress

import psutil
import pytest

from dicom_pipeline.messages import FAN_OUT, LOG_QUEUE
from dicom_pipeline_tests.receiver.authority import Authority
from dicom_pipeline_tests.receiver.listening import SECONDS, until_closed, wait_until
from dicom_pipeline_tests.receiver.load import Load
from dicom_pipeline_tests.receiver.objects import EXPLICIT, encode_dataset, make_dataset
from dicom_pipeline_tests.receiver.promises import require_kept
from dicom_pipeline_tests.receiver.running import (
    RECEIVER,
    environment,
    family,
    process,
    published,
    read_status,
    run_to_exit,
)
from dicom_pipeline_tests.receiver.sender import A_ASSOCIATE_AC, Sender, association_request
from dicom_pipeline_tests.receiver.test_process import associated, send
from receiver.part10 import digest
from receiver.processes import WORKER_OPTION

KILLS = int(os.environ.get("KILLS", "3"))
"""As in `test_kills`: long runs set it."""
END_SECONDS = 60
"""As long as a parent lets its processes finish."""

pytestmark = pytest.mark.service


def workers(receiver):
    return family(receiver.pid) - {receiver.pid}


def read_worker(home, node):
    with suppress(FileNotFoundError):  # the parent takes away that of one it starts again
        return json.loads((home / f"receiver.{node}.json").read_text())["pid"]
    return None


def stop(receiver):
    receiver.send_signal(signal.SIGTERM)
    assert receiver.wait(60) == 0


def require_kept_and_published(home, acknowledged, sent):
    events = {topic: published(home, topic) for topic in FAN_OUT}
    require_kept(home / "storage", events, acknowledged, sent)
    return events[LOG_QUEUE]


class Connected(Sender):
    """An association over a connection that is there already."""

    def __init__(self, connection):
        self.socket = connection
        connection.sendall(association_request("DICOM_PIPELINE", "SCU"))
        self.read(A_ASSOCIATE_AC)


def connect(port, host="127.0.0.1", source=""):
    return socket.create_connection((host, port), SECONDS, (source, 0))


def store(connection, count=2):
    """Store objects over a connection, and end it; returns what was acknowledged, as `Load`."""
    acknowledged = Counter()
    with connection, Connected(connection) as sender:
        for _ in range(count):
            dataset = make_dataset()
            uid, data_set = str(dataset.SOPInstanceUID), encode_dataset(dataset)
            assert sender.store(uid, data_set) == 0
            acknowledged[uid, digest(EXPLICIT, data_set)] += 1
    return acknowledged


def test_processes_take_the_connections_of_a_port_in_turn_and_lose_nothing(tmp_path):
    with process(tmp_path, RECEIVER_PROCESSES="2") as receiver:
        acknowledged = []
        for _ in range(8):
            with associated(receiver.port) as association:
                acknowledged += send(association, 2)
        assert len(workers(receiver)) == 2
        receiver.send_signal(signal.SIGTERM)
        assert receiver.wait(60) == 0
    assert len(acknowledged) == 16
    events = published(tmp_path, "storage_queue")
    assert {event.sop_uid for event in events} == set(acknowledged)
    assert Counter(event.worker_node_id for event in events) == {"node-0": 8, "node-1": 8}
    assert read_status(tmp_path) is None


def test_a_process_that_dies_is_started_again_while_the_other_serves(tmp_path):
    with process(tmp_path, RECEIVER_PROCESSES="2") as receiver:
        before = workers(receiver)
        os.kill(min(before), signal.SIGKILL)
        deadline = time.monotonic() + 30
        while len(now := workers(receiver)) < 2 or now == before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert len(now & before) == 1
        receiver.send_signal(signal.SIGTERM)
        assert receiver.wait(60) == 0


def kill_first(home):
    """Kill node-0; returns what tells its next process from this one."""
    pid = read_worker(home, "node-0")
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_for_another_first(home, receiver, pid):
    deadline = time.monotonic() + 40
    while read_worker(home, "node-0") in {None, pid}:
        assert receiver.poll() is None, "the others go on"
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_process_waits_for_a_neighbour_that_finishes_what_it_has_left(tmp_path):
    with process(tmp_path, RECEIVER_PROCESSES="2") as receiver:
        with (tmp_path / "outbox" / "node-0.lock").open() as lock:
            pid = kill_first(tmp_path)
            fcntl.flock(lock, fcntl.LOCK_EX)
            time.sleep(6)  # longer than a start takes, and a look at an orphan
        wait_for_another_first(tmp_path, receiver, pid)


def test_a_process_that_cannot_come_back_does_not_end_the_others(tmp_path):
    peers = tmp_path / "peers.toml"
    peers.write_text("")
    with process(tmp_path, RECEIVER_PROCESSES="2") as receiver:
        peers.write_text("[")
        pid = kill_first(tmp_path)
        deadline = time.monotonic() + 30
        while '"exit": 2' not in (tmp_path / "log.txt").read_text():
            assert receiver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        peers.write_text("")
        wait_for_another_first(tmp_path, receiver, pid)


def test_a_port_of_another_program_is_a_configuration_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = run_to_exit(tmp_path, RECEIVER_PORT=port, RECEIVER_PROCESSES="2")
    assert result.returncode == 2
    assert "RECEIVER_PORT" in result.stderr


def test_objects_over_tls_are_stored_by_all_that_share_the_port(tmp_path):
    authority = Authority(tmp_path / "tls")
    settings = authority.mutual_settings()
    variables = {name.upper(): str(value) for name, value in settings.items()}
    context = authority.sender(authority.issue("CT01"))
    acknowledged = Counter()
    with process(tmp_path, RECEIVER_PROCESSES="2", **variables) as receiver:
        for _ in range(4):
            plain = connect(receiver.port)
            acknowledged += store(context.wrap_socket(plain, server_hostname="receiver"))
        stop(receiver)
    events = require_kept_and_published(tmp_path, acknowledged, set(acknowledged))
    assert Counter(event.worker_node_id for event in events) == {"node-0": 4, "node-1": 4}


def test_a_trusted_balancer_tells_the_source_to_whichever_process_is_given_it(tmp_path):
    (tmp_path / "peers.toml").write_text('[[peer]]\nnetworks = ["0.0.0.0/0", "::/0"]\n')
    trusted, other = "127.0.0.2", "127.0.0.1"
    told = ("TCP4 10.1.2.3 127.0.0.1", "TCP4 10.1.2.4 127.0.0.1", "TCP6 fd00::3 ::1", "UNKNOWN ? ?")
    sources = {}
    with process(
        tmp_path, RECEIVER_PROCESSES="2", RECEIVER_PROXY_NETWORKS=f'["{trusted}/32"]'
    ) as receiver:
        for addresses in told:
            balancer = connect(receiver.port, source=trusted)
            balancer.sendall(f"PROXY {addresses} 4711 11112\r\n".encode())
            for uid, _ in store(balancer):
                sources[uid] = addresses.split()[1].replace("?", trusted)
        for _ in range(2):  # one for each process
            with connect(receiver.port, source=other) as pretender:
                header = f"PROXY {told[0]} 4711 11112\r\n".encode()
                pretender.sendall(header + association_request("DICOM_PIPELINE", "SCU"))
                assert until_closed(pretender)[:1] != bytes([A_ASSOCIATE_AC])
        for _ in range(2):
            for uid, _ in store(connect(receiver.port, source=other)):
                sources[uid] = other
        stop(receiver)
    events = published(tmp_path, LOG_QUEUE)
    assert {event.sop_uid: event.source_ip for event in events} == sources
    shares = Counter((event.source_ip == other, event.worker_node_id) for event in events)
    assert shares == {
        (False, "node-0"): 4,
        (False, "node-1"): 4,
        (True, "node-0"): 2,
        (True, "node-1"): 2,
    }


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
def test_a_port_of_ipv6_is_shared_too(tmp_path):
    acknowledged = Counter()
    with process(tmp_path, RECEIVER_PROCESSES="2", RECEIVER_HOST="::1") as receiver:
        for _ in range(2):
            acknowledged += store(connect(receiver.port, host="::1"))
        stop(receiver)
    events = require_kept_and_published(tmp_path, acknowledged, set(acknowledged))
    assert Counter(event.worker_node_id for event in events) == {"node-0": 2, "node-1": 2}
    assert {event.source_ip for event in events} == {"::1"}


def running(processes):
    found = []
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found


def test_when_the_parent_is_killed_the_others_end_and_the_next_one_has_all_they_acknowledged(
    tmp_path,
):
    load = Load(seed="parent")
    with process(tmp_path, RECEIVER_PROCESSES="2") as receiver:
        orphans = [psutil.Process(pid) for pid in workers(receiver)]
        assert len(orphans) == 2
        try:
            load.port = receiver.port
            with load.running():
                load.wait_for(100)
                load.port = None  # one that is tried in vain may be given to whoever tries
                receiver.kill()
                receiver.wait()
                wait_until(lambda: not running(orphans), END_SECONDS)
        finally:
            for orphan in running(orphans):
                orphan.kill()
    assert load.acknowledged
    with process(tmp_path, RECEIVER_PROCESSES="2", RECEIVER_PORT=str(receiver.port)) as following:
        assert following.port == receiver.port
        later = store(connect(following.port)) + store(connect(following.port))
        stop(following)
    require_kept_and_published(tmp_path, load.acknowledged + later, load.sent | set(later))


def test_a_process_that_nobody_gives_connections_any_more_ends_in_order(tmp_path):
    ours, place = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, place:
        ours.settimeout(SECONDS)
        orphan = subprocess.Popen(
            [*RECEIVER, WORKER_OPTION, str(place.fileno())],
            env=environment(tmp_path, RECEIVER_PROCESSES="2", WORKER_NODE_ID="node-0"),
            cwd=tmp_path,
            pass_fds=[place.fileno()],
        )
        try:
            place.close()
            assert ours.recv(100)  # it is ready
            ours.close()
            assert orphan.wait(SECONDS) == 0
        finally:
            orphan.kill()
            orphan.wait()


@pytest.mark.timeout(300 + 20 * KILLS)
def test_no_kill_of_one_process_loses_what_any_has_acknowledged(tmp_path):
    loads = [Load(seed=f"round {number}") for number in range(KILLS)]
    with process(tmp_path, RECEIVER_PROCESSES="2") as receiver:

        def all_ready(since):
            pids = {read_worker(tmp_path, node) for node in ("node-0", "node-1")}
            return since not in pids and pids == workers(receiver)

        for load in loads:  # new senders each time: those of before would all be with the other
            load.port = receiver.port
            with load.running():
                load.wait_for(load.random.randrange(20, 250))
                time.sleep(load.random.uniform(0, 0.01))
                killed = load.random.choice(sorted(workers(receiver)))
                os.kill(killed, signal.SIGKILL)
                wait_until(lambda pid=killed: all_ready(since=pid), 40)
        stop(receiver)
    assert all(load.acknowledged for load in loads)
    assert any(load.ended for load in loads), "no kill has hit a sender"
    assert not any(load.refused for load in loads)
    acknowledged = sum((load.acknowledged for load in loads), Counter())
    sent = set().union(*(load.sent for load in loads))
    events = require_kept_and_published(tmp_path, acknowledged, sent)
    assert {event.worker_node_id for event in events} == {"node-0", "node-1"}
    shutil.rmtree(tmp_path / "storage")  # a hundred megabytes, which pytest would keep
