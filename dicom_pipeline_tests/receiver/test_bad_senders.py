"""Senders that stop, trickle, idle or bring too much: they end, and nobody else is disturbed."""

import signal
import socket
import threading
import time
from contextlib import suppress

import pytest

from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.receiver.objects import encode_dataset, make_dataset
from dicom_pipeline_tests.receiver.running import process, published
from dicom_pipeline_tests.receiver.sender import (
    A_ASSOCIATE_AC,
    Sender,
    association_request,
    store_request,
)
from receiver.statuses import Status

pytestmark = pytest.mark.service

ASSOCIATIONS = 4
NETWORK_TIMEOUT = 2
IDLE_TIMEOUT = 2
OBJECTS = 100
BYTES = 1_000_000
A_ABORT = 0x07


@pytest.fixture(scope="module", params=["fast", "public"])
def receiver(request, tmp_path_factory):
    with process(
        tmp_path_factory.mktemp(request.param),
        RECEIVER_LOOP=request.param,
        RECEIVER_MAX_ASSOCIATIONS=str(ASSOCIATIONS),
        RECEIVER_NETWORK_TIMEOUT_SECONDS=str(NETWORK_TIMEOUT),
        RECEIVER_IDLE_TIMEOUT_SECONDS=str(IDLE_TIMEOUT),
        RECEIVER_MAX_ASSOCIATION_OBJECTS=str(OBJECTS),
        RECEIVER_MAX_ASSOCIATION_BYTES=str(BYTES),
    ) as running:
        yield running


def an_object(size=8):
    dataset = make_dataset(PixelData=bytes(size))
    return str(dataset.SOPInstanceUID), encode_dataset(dataset)


def one_byte_pdus(count):
    """The beginning of a request: the command in one PDU, the data set in PDUs of a byte each."""
    whole = a_request()
    command = 6 + int.from_bytes(whole[2:6], "big")
    one_byte = b"\4\0" + (7).to_bytes(4, "big") + (3).to_bytes(4, "big") + b"\1\0\0"
    return [whole[:command], *[one_byte] * count]


def a_request(size=100_000):
    return store_request(*an_object(size))


def ended_within(sender, least, most):
    """The receiver ends the association after so many seconds, with an A-ABORT if with anything."""
    began = time.monotonic()
    sender.socket.settimeout(most)
    last = sender.ending()
    assert last[:1] in {b"", bytes((A_ABORT,))}
    assert least <= time.monotonic() - began <= most


def require_undisturbed(receiver, while_):
    """Another association is served all the time that something goes on."""
    thread = threading.Thread(target=while_)
    longest = 0.0
    with Sender(receiver.port) as good:
        thread.start()
        while thread.is_alive():
            began = time.monotonic()
            assert good.store(*an_object()) == 0
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.3)
    thread.join()
    assert longest < NETWORK_TIMEOUT


def require_all_free(receiver):
    """As many as may associate at a time can; afterwards one can."""

    def full_house():
        senders = []
        try:
            for _ in range(ASSOCIATIONS):
                senders.append(Sender(receiver.port))  # noqa: PERF401 - those before an error count
        except OSError:
            return False
        finally:
            for sender in senders:
                sender.__exit__()
        return True

    def one():
        try:
            with Sender(receiver.port):
                return True
        except OSError:
            return False

    wait_until(full_house)
    wait_until(one)  # their places are free some moments after they have gone


def test_one_who_stops_within_a_pdu_is_ended_and_its_place_is_free(receiver):
    def stop_within_a_pdu():
        with Sender(receiver.port) as bad:
            bad.socket.sendall(a_request()[:50_000])
            ended.append(ended_within(bad, NETWORK_TIMEOUT - 1, NETWORK_TIMEOUT + 8))

    ended = []
    require_undisturbed(receiver, stop_within_a_pdu)
    assert len(ended) == 1
    require_all_free(receiver)


def test_one_who_trickles_is_ended_and_its_place_is_free(receiver):
    def trickle():
        with Sender(receiver.port) as bad:
            began = time.monotonic()
            try:
                for pdu in one_byte_pdus(count=400):
                    bad.socket.sendall(pdu)
                    time.sleep(0.02)
            except ConnectionError:
                ended.append(time.monotonic() - began)

    ended = []
    require_undisturbed(receiver, trickle)
    assert ended[0] > NETWORK_TIMEOUT - 1
    require_all_free(receiver)


def test_one_who_idles_is_ended(receiver):
    with Sender(receiver.port) as bad:
        assert bad.store(*an_object()) == 0
        ended_within(bad, IDLE_TIMEOUT - 1, IDLE_TIMEOUT + 8)
    require_all_free(receiver)


@pytest.mark.parametrize(
    ("size", "allowed"), [(8, OBJECTS), (300_000, 4)], ids=["objects", "bytes"]
)
def test_one_who_brings_too_much_is_ended_after_what_it_may_bring(receiver, size, allowed):
    with Sender(receiver.port) as bad:
        assert [bad.store(*an_object(size)) for _ in range(allowed)] == [0] * allowed
        with suppress(ConnectionError):  # pynetdicom's loop answers before it aborts
            assert bad.store(*an_object(size)) == Status.OUT_OF_RESOURCES.code
        ended_within(bad, 0, NETWORK_TIMEOUT)
    require_all_free(receiver)


def test_what_comes_before_the_answer_to_the_request_waits_for_it(receiver):
    garbage = b"\x49\0" + bytes(4)
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", receiver.port), 20) as connection:
            connection.sendall(association_request("DICOM_PIPELINE", "HASTY") + garbage)
            answer = b""
            with suppress(ConnectionError):
                while chunk := connection.recv(4096):
                    answer += chunk
        assert answer[:1] == bytes((A_ASSOCIATE_AC,))
    require_all_free(receiver)


def test_a_stop_lets_the_objects_finish_that_are_under_way(tmp_path):
    with process(tmp_path) as receiver:
        senders = [Sender(receiver.port) for _ in range(4)]
        objects = [an_object(200_000) for _ in senders]
        requests = [store_request(*each) for each in objects]
        for sender, request in zip(senders, requests, strict=True):
            sender.socket.sendall(request[:100_000])
        time.sleep(0.2)
        began = time.monotonic()
        receiver.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        for sender, request in zip(senders, requests, strict=True):
            sender.socket.sendall(request[100_000:])
        assert [sender.status() for sender in senders] == [0] * 4
        for sender in senders:
            assert sender.ending()[:1] in {b"", bytes((A_ABORT,))}
            sender.socket.close()
        assert receiver.wait(30) == 0
        assert time.monotonic() - began < 15
    assert {event.sop_uid for event in published(tmp_path, "index_queue")} == {
        uid for uid, _ in objects
    }
