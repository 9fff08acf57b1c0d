"""The receiver on 127.0.0.1, with pynetdicom as the sender."""

import json
import logging
import socket
import threading
import time
from contextlib import contextmanager, suppress
from io import BytesIO

import pydicom.config
import pytest
from pynetdicom import _config
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import (
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    RTStructureSetStorage,
    TwelveLeadECGWaveformStorage,
    Verification,
)

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.messages import FAN_OUT, LOG_QUEUE
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.receiver.objects import (
    BIG_ENDIAN,
    CT,
    EXPLICIT,
    IMPLICIT,
    MR,
    FakeEventLog,
    deep_nesting,
    element,
    encode_dataset,
    make_dataset,
    new_uid,
)
from dicom_pipeline_tests.receiver.scu import associated, send, send_dataset
from receiver.part10 import read_head
from receiver.server import Receiver
from receiver.statuses import Status

pytestmark = pytest.mark.service

JPEG_BASELINE, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"


@pytest.fixture(autouse=True)
def libraries_as_they_were():
    """The receiver configures pynetdicom and pydicom for its whole process."""
    settings = pydicom.config.settings
    modes = settings.reading_validation_mode, settings.writing_validation_mode
    level, check = _config.LOG_HANDLER_LEVEL, _config.VALIDATORS["UI"]
    levels = {name: logging.getLogger(name).level for name in ("pydicom", "pynetdicom")}
    yield
    settings.reading_validation_mode, settings.writing_validation_mode = modes
    _config.LOG_HANDLER_LEVEL, _config.VALIDATORS["UI"] = level, check
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)


@pytest.fixture(autouse=True, params=["fast", "public"])
def loop(request, monkeypatch):
    """Both ways to serve an association keep the same promises."""
    monkeypatch.setenv("RECEIVER_LOOP", request.param)


@contextmanager
def running(tmp_path, peers="", **options):
    """A receiver with an event log in memory, stopped at the end."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    if peers:
        (home / "peers.toml").write_text(peers)
    settings = Settings(
        _env_file=None,
        dicom_pipeline_home=home,
        receiver_port=0,
        receiver_min_free_bytes=0,
        worker_node_id="node",
        **options,
    )
    receiver = Receiver(settings, lambda _: receiver.log)
    receiver.log = FakeEventLog()
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()


def stored(receiver):
    """The files under their final names, once every receipt has ended."""
    wait_until(lambda: not receiver.receiving.incoming.in_flight())
    return sorted(receiver.settings.storage.rglob("*.dcm"))


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def events_after_stop(receiver):
    return receiver.log.events(LOG_QUEUE)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_data_sets_arrive_byte_for_byte(tmp_path, syntax):
    dataset = make_dataset(PixelData=bytes(range(256)) * 600)
    data_set = encode_dataset(dataset, syntax)
    with running(tmp_path) as receiver:
        with associated(receiver, [(CT, [syntax])]) as association:
            status = send(association, data_set, str(dataset.SOPInstanceUID))
        assert status == (0, "")
        (path,) = stored(receiver)
    head = read_head(path)
    assert head.transfer_syntax_uid == syntax
    assert path.read_bytes()[head.offset :] == data_set
    assert receiver.log.topics() == dict.fromkeys(FAN_OUT, 1)


def test_echo_answers_success(tmp_path):
    with running(tmp_path) as receiver, associated(receiver, [(Verification, [IMPLICIT])]) as each:
        assert each.send_c_echo().Status == 0


def test_a_duplicate_is_acknowledged_and_only_logged(tmp_path):
    dataset = make_dataset()
    with running(tmp_path) as receiver:
        with associated(receiver) as association:
            for pixels in (b"pixels", b"pixels", b"other pixels"):
                dataset.PixelData = pixels
                assert send_dataset(association, dataset) == (0, "")
                stored(receiver)
        assert len(stored(receiver)) == 2
    first, second, third = events_after_stop(receiver)
    assert second.duplicate_of == first.trace_id
    assert third.file_name.startswith(f"{dataset.SOPInstanceUID}~")
    assert receiver.log.topics() == {topic: 3 if topic == LOG_QUEUE else 2 for topic in FAN_OUT}


@pytest.mark.parametrize("uid", ["", "../../../tmp/evil", "1" * 65, "1.2/3", "1" * 1000])
def test_hostile_instance_uids_are_refused(tmp_path, uid):
    data_set = encode_dataset(make_dataset())
    good = make_dataset()
    with running(tmp_path) as receiver, associated(receiver) as association:
        status, comment = send(association, data_set, uid)
        assert (status, comment) == Status.INVALID_INSTANCE.value
        assert stored(receiver) == []
        assert send_dataset(association, good) == (0, ""), "the association goes on"


def test_hostile_data_sets_get_a_status_and_the_association_goes_on(tmp_path):
    good = encode_dataset(make_dataset(SOPInstanceUID="1.2.77"))
    middle = good.index(b"\x10\x00\x20\x00LO")
    study = good.index(b"\x20\x00\x0d\x00UI")
    series = good.index(b"\x20\x00\x0e\x00UI")
    cases = [
        (b"\xff" * 1000, Status.NO_SOP_CLASS),
        (good[:80], Status.UNREADABLE),
        (good.replace(b"1.2.77", b"1.2.78"), Status.INSTANCE_MISMATCH),
        (
            good[:study] + element(0x20, 0xD, "UI", b"../../..") + good[series:],
            Status.INVALID_STUDY,
        ),
        (good[:20] + element(9, 0x1001, "OB", b"x" * 100_000, 3 << 30), Status.UNREADABLE),
        (
            good[:middle] + element(9, 0x1001, "OB", b"x" * (10 << 20)) + good[middle:],
            Status.SUCCESS,
        ),
        (good[:middle] + deep_nesting(100_000) + good[middle:], Status.SUCCESS),
    ]
    with running(tmp_path) as receiver, associated(receiver) as association:
        for data_set, expected in cases:
            status, comment = send(association, data_set, "1.2.77")
            assert (status, comment) == expected.value
        assert send_dataset(association, make_dataset())[0] == 0
        root = receiver.settings.storage
        assert all(path.is_relative_to(root / "default/20240131") for path in stored(receiver))


@pytest.mark.parametrize(
    "sop_class",
    [
        BasicTextSRStorage,
        EncapsulatedPDFStorage,
        RTStructureSetStorage,
        TwelveLeadECGWaveformStorage,
    ],
)
def test_objects_without_pixels_are_stored(tmp_path, sop_class):
    dataset = make_dataset(SOPClassUID=sop_class)
    del dataset.PixelData
    with running(tmp_path) as receiver, associated(receiver, [(sop_class, [EXPLICIT])]) as each:
        assert send_dataset(each, dataset, sop_class=sop_class) == (0, "")
    assert events_after_stop(receiver)[0].sop_class_uid == sop_class


def test_another_class_than_the_contexts_is_not_supported(tmp_path):
    dataset = make_dataset(SOPClassUID=MR)
    with running(tmp_path) as receiver, associated(receiver) as association:
        status = send_dataset(association, dataset, sop_class=MR)
    assert status == Status.CLASS_NOT_SUPPORTED.value


def test_private_sop_classes_are_not_negotiated(tmp_path):
    contexts = [("1.2.840.113619.4.2", [EXPLICIT]), (CT, [EXPLICIT])]
    with running(tmp_path) as receiver, associated(receiver, contexts) as association:
        assert [each.abstract_syntax for each in association.accepted_contexts] == [CT]


PROPOSED = [BIG_ENDIAN, IMPLICIT, JPEG_BASELINE, JPEG_LOSSLESS, EXPLICIT]


@pytest.mark.parametrize(
    ("proposed", "chosen"),
    [
        (PROPOSED, EXPLICIT),
        (PROPOSED[:4], IMPLICIT),
        ([BIG_ENDIAN, JPEG_BASELINE, JPEG_LOSSLESS], JPEG_LOSSLESS),
        ([BIG_ENDIAN, JPEG_BASELINE], JPEG_BASELINE),
        ([BIG_ENDIAN], BIG_ENDIAN),
        (["1.2.840.10008.1.2.4.112", "1.2.840.10008.1.2.4.110"], "1.2.840.10008.1.2.4.110"),
        (["1.2.840.10008.1.2.8.1"], "1.2.840.10008.1.2.8.1"),
        (["1.2.840.10008.1.2.1.98"], "1.2.840.10008.1.2.1.98"),
        (["1.2.840.113619.5.2"], "1.2.840.113619.5.2"),
        (["1.2.3.4.5"], "1.2.3.4.5"),
    ],
)
def test_the_best_transfer_syntax_is_chosen(tmp_path, proposed, chosen):
    options = {"receiver_private_transfer_syntaxes": ("1.2.3.4.5",)}
    with (
        running(tmp_path, **options) as receiver,
        associated(receiver, [(CT, proposed)]) as association,
    ):
        (context,) = association.accepted_contexts
    assert context.transfer_syntax == [chosen]


PEERS = f"""
[[peer]]
tenant = "east"
calling_ae = "EAST_CT"
networks = ["127.0.0.0/8"]
transfer_syntaxes = ["{JPEG_BASELINE}"]

[[peer]]
tenant = "west"
called_ae = "WEST"
networks = ["127.0.0.0/8"]
"""


def test_a_peers_own_preference_decides(tmp_path):
    with (
        running(tmp_path, PEERS) as receiver,
        associated(receiver, [(CT, PROPOSED)], calling="EAST_CT") as association,
    ):
        (context,) = association.accepted_contexts
    assert context.transfer_syntax == [JPEG_BASELINE]


def test_the_tenant_comes_from_the_ae_titles(tmp_path):
    with running(tmp_path, PEERS) as receiver:
        with associated(receiver, calling="EAST_CT") as association:
            send_dataset(association, make_dataset())
        with associated(receiver, called="WEST") as association:
            send_dataset(association, make_dataset())
    events = events_after_stop(receiver)
    assert [event.tenant_id for event in events] == ["east", "west"]
    assert [event.file_path.split("/")[0] for event in events] == ["east", "west"]
    assert [event.source_ae for event in events] == ["EAST_CT", "SCU"]


@pytest.mark.parametrize(
    ("peers", "diagnostic"),
    [
        (PEERS, 7),
        ('[[peer]]\ncalling_ae = "OTHER"\n', 3),
        ('[[peer]]\nnetworks = ["10.0.0.0/8"]\n', 3),
    ],
    ids=["called AE title", "calling AE title", "address"],
)
def test_a_sender_who_is_no_peer_is_rejected(tmp_path, peers, diagnostic):
    with running(tmp_path, peers) as receiver, associated(receiver) as association:
        assert association.rejection == (1, 1, diagnostic)


def test_one_association_too_many_is_rejected_as_transient(tmp_path):
    with (
        running(tmp_path, receiver_max_associations=2) as receiver,
        associated(receiver) as first,
        associated(receiver),
    ):
        with associated(receiver) as third:
            assert third.rejection == (2, 3, 2)
        assert send_dataset(first, make_dataset()) == (0, "")


def test_parallel_associations_lose_nothing(tmp_path):
    associations, objects = 4, 10
    uids = [[new_uid() for _ in range(objects)] for _ in range(associations)]
    statuses = []

    def run(receiver, mine):
        with associated(receiver) as association:
            for uid in mine:
                dataset = make_dataset(SOPInstanceUID=uid)
                statuses.append(send_dataset(association, dataset))

    with running(tmp_path) as receiver:
        threads = [threading.Thread(target=run, args=(receiver, mine)) for mine in uids]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [(0, "")] * associations * objects
    events = events_after_stop(receiver)
    assert {event.sop_uid for event in events} == {uid for mine in uids for uid in mine}
    assert len({event.version for event in events}) == associations * objects


def test_a_sender_who_hangs_up_within_an_object_leaves_nothing(tmp_path):
    with running(tmp_path) as receiver:
        with associated(receiver) as association:
            request = C_STORE()
            request.MessageID = 1
            request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CT, "1.2.3"
            request.Priority = 2
            request.DataSet = BytesIO(b"\0" * 1_000_000)
            association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
            connection = association.dul.socket.socket
            connection.shutdown(socket.SHUT_RDWR)
            association.abort()
            connection.close()
        assert stored(receiver) == []


def send_without_end(association, data_set):
    """A data set whose last fragment never comes; returns how many bytes were taken."""
    connection = association.dul.socket.socket
    context_id = association.accepted_contexts[0].context_id
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CT, "1.2.3"
    request.DataSet = BytesIO(data_set[:2])
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    command = next(iter(message.encode_msg(context_id, 16382))).presentation_data_value_list[0][1]
    sent = 0
    try:
        for fragment in (command, *[b"\0" + data_set] * 200):
            item = (len(fragment) + 1).to_bytes(4, "big") + bytes([context_id]) + fragment
            connection.sendall(b"\4\0" + len(item).to_bytes(4, "big") + item)
            sent += len(fragment)
    except OSError:
        return sent
    return sent


def test_an_object_that_grows_beyond_the_limit_ends_its_association(tmp_path):
    limit = 1 << 20
    with running(tmp_path, receiver_max_object_bytes=limit) as receiver:
        with associated(receiver) as good, associated(receiver) as association:
            send_without_end(association, b"\0" * 100_000)
            wait_until(lambda: len(receiver._provider.associations()) == 1)
            assert not association.is_established
            assert send_dataset(good, make_dataset()) == (0, "")
            assert send_dataset(good, make_dataset(PixelData=b"\0" * (limit - 2000))) == (0, "")
        assert len(stored(receiver)) == 2


def test_a_whole_object_beyond_the_limit_is_not_stored(tmp_path):
    with running(tmp_path, receiver_max_object_bytes=1 << 20) as receiver:
        with associated(receiver) as association:
            dataset = make_dataset(PixelData=b"\0" * (1 << 20))
            with suppress(AssertionError):  # no answer
                assert send_dataset(association, dataset) != (0, "")
            wait_until(lambda: not receiver._provider.associations())
        assert stored(receiver) == []
    assert events_after_stop(receiver) == []


def test_the_status_file_tells_where_the_receiver_listens(tmp_path):
    with running(tmp_path) as receiver:
        path = receiver.settings.home / "receiver.json"
        status = json.loads(path.read_text())
        assert status["port"] == receiver.port > 0
        assert set(status) == {"pid", "host", "port", "ae_title", "http_port"}
    assert not path.exists()


def test_a_port_in_use_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = Settings(
            _env_file=None,
            dicom_pipeline_home=tmp_path,
            receiver_port=other.getsockname()[1],
            worker_node_id="node",
        )
        with pytest.raises(ConfigurationError, match="RECEIVER_PORT"):
            Receiver(settings, lambda _: FakeEventLog()).start()


def test_without_space_objects_are_refused_as_out_of_resources(tmp_path, monkeypatch):
    monkeypatch.setattr("receiver.receipt._LOOK_SECONDS", 0)
    with running(tmp_path) as receiver, associated(receiver) as association:
        receiver.receiving._min_free_bytes = 1 << 60
        assert send_dataset(association, make_dataset()) == Status.OUT_OF_RESOURCES.value
        receiver.receiving._min_free_bytes = 0
        assert send_dataset(association, make_dataset()) == (0, "")


def test_stopping_ends_idle_associations_and_publishes_everything(tmp_path):
    with running(tmp_path) as receiver:
        with associated(receiver) as association:
            assert send_dataset(association, make_dataset()) == (0, "")
            receiver.stop()
            assert receiver.log.topics() == dict.fromkeys(FAN_OUT, 1)
        receiver.stop = lambda: None
