"""DICOM through nginx: balanced, with the sender's own address, past a receiver that is lost."""

import subprocess
from contextlib import ExitStack, suppress

import pytest

from dicom_pipeline.demo.dcmtk import find_storescu
from dicom_pipeline.messages import LOG_QUEUE
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.nginx.receivers import change, drained, two_receivers
from dicom_pipeline_tests.receiver.authority import Authority
from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.receiver.objects import encode_dataset, make_dataset, new_uid
from dicom_pipeline_tests.receiver.running import process, published
from dicom_pipeline_tests.receiver.sender import Sender
from dicom_pipeline_tests.services.nginx import running_nginx

pytestmark = pytest.mark.service

LIMIT = 4


@pytest.fixture(scope="module")
def nginx():
    with running_nginx(NGINX_DICOM_CONNECTIONS_PER_ADDRESS=str(LIMIT)) as server:
        server.variables["NGINX_DICOM_TLS_LISTEN"] = f"127.0.0.1:{server.dicom_tls_port}"
        server.stop()
        server.start()
        yield server


@pytest.fixture(scope="module")
def receivers(nginx, tmp_path_factory):
    with two_receivers(nginx, tmp_path_factory.mktemp("receivers")) as both:
        yield both


def send(port, source="", **options):
    """Send one new object from the address ``source``; returns its UID."""
    uid = new_uid()
    with Sender(port, source=source, **options) as sender:
        assert sender.store(uid, encode_dataset(make_dataset(SOPInstanceUID=uid))) == 0
    return uid


def events_of(receivers, uids):
    """The receipts of these objects, once all are published."""

    def found():
        return [each for each in receivers.published(LOG_QUEUE) if each.sop_uid in uids]

    wait_until(lambda: len(found()) >= len(uids))
    return found()


def nodes_of(receivers, uids):
    return {event.worker_node_id for event in events_of(receivers, uids)}


def test_events_hold_the_address_of_the_sender_itself(nginx, receivers):
    uid = send(nginx.dicom_port, "127.0.0.5")
    (event,) = events_of(receivers, [uid])
    assert event.source_ip == "127.0.0.5"


def test_dcmtk_sends_through_it(nginx, receivers, tmp_path):
    program = find_storescu()
    if program is None:
        pytest.skip("DCMTK is not installed: no storescu")
    images = [an_image(seed) for seed in (2, 3)]
    for number, image in enumerate(images):
        image.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    done = subprocess.run(
        [program, "-aec", "DICOM_PIPELINE", "+sd", "127.0.0.1", str(nginx.dicom_port), tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    events_of(receivers, [str(image.SOPInstanceUID) for image in images])


def test_a_sender_stays_at_one_receiver_and_senders_are_spread(nginx, receivers):
    uids = [send(nginx.dicom_port, f"127.0.1.{number // 2}") for number in range(2, 26)]
    nodes = {}
    for event in events_of(receivers, uids):
        nodes.setdefault(event.source_ip, set()).add(event.worker_node_id)
    assert all(len(each) == 1 for each in nodes.values())
    assert set.union(*nodes.values()) == {"node-0", "node-1"}


def test_tls_may_end_at_nginx(nginx, receivers):
    uid = send(nginx.dicom_tls_port, "127.0.0.6", tls=nginx.trusting())
    (event,) = events_of(receivers, [uid])
    assert event.source_ip == "127.0.0.6"


def test_one_address_cannot_take_all_connections(nginx, receivers):
    with ExitStack() as stack:
        for _ in range(LIMIT):
            stack.enter_context(Sender(nginx.dicom_port))
        with pytest.raises(OSError, match=r"closed|reset"):
            Sender(nginx.dicom_port)
        events_of(receivers, [send(nginx.dicom_port, "127.0.0.7")])


@pytest.mark.parametrize("lost", [0, 1])
def test_when_a_receiver_is_lost_the_other_one_takes_over(nginx, receivers, lost):
    receivers.kill(lost)
    uids = [send(nginx.dicom_port, f"127.0.2.{number}") for number in range(1, 7)]
    assert nodes_of(receivers, uids) == {f"node-{1 - lost}"}
    receivers.start(lost)
    change(nginx, "restore", receivers.address(lost))  # else nginx waits for fail_timeout


def test_a_drained_receiver_gets_no_new_senders_and_keeps_those_that_it_has(nginx, receivers):
    sources = [f"127.0.4.{number}" for number in range(1, 9)]
    with ExitStack() as stack:
        senders = [stack.enter_context(Sender(nginx.dicom_port, source=s)) for s in sources]
        with drained(nginx, receivers, 0):
            later = [send(nginx.dicom_port, source) for source in sources]
            assert nodes_of(receivers, later) == {"node-1"}
            uids = [new_uid() for _ in senders]
            for sender, uid in zip(senders, uids, strict=True):
                assert sender.store(uid, encode_dataset(make_dataset(SOPInstanceUID=uid))) == 0
            assert nodes_of(receivers, uids) == {"node-0", "node-1"}
    again = [send(nginx.dicom_port, source) for source in sources]
    assert nodes_of(receivers, again) == {"node-0", "node-1"}


def test_the_last_receiver_cannot_be_drained(nginx, receivers):
    with drained(nginx, receivers, 0):
        listed = nginx.run("receivers").stdout.splitlines()
        assert listed == [f"{receivers.address(0)} drained", f"{receivers.address(1)} in"]
        done = nginx.run("receivers", "drain", receivers.address(1))
        assert (done.returncode, "the last one" in done.stderr) == (2, True)


def test_only_receivers_can_be_drained(nginx):
    done = nginx.run("receivers", "drain", "127.0.0.1:1")
    assert (done.returncode, "no receiver 127.0.0.1:1" in done.stderr) == (2, True)


def test_the_metrics_of_receivers_are_not_to_be_had(nginx, receivers):
    assert receivers.http_port(0)
    for ui in (False, True):
        with suppress(ConnectionRefusedError):
            assert nginx.ask("/metrics", ui=ui).status == 404


def test_tls_of_the_receivers_passes_through_and_so_do_certificates(tmp_path):
    authority = Authority(tmp_path / "ca")
    home = tmp_path / "home"
    home.mkdir()
    (home / "peers.toml").write_text(
        '[[peer]]\ntenant = "north"\ncertificate_subject = "CN=CT01,OU=CT,O=North"\n'
    )
    with running_nginx() as nginx:
        port = nginx.receiver_ports[0]
        with process(
            home,
            RECEIVER_PORT=str(port),
            RECEIVER_PROXY_NETWORKS='["127.0.0.1/32"]',
            RECEIVER_TLS_CERTIFICATE=str(authority.certificate_file),
            RECEIVER_TLS_KEY=str(authority.key_file),
            RECEIVER_TLS_CA=str(authority.certificate),
            RECEIVER_TLS_CLIENTS="required",
        ):
            certificate = authority.issue("CT01")
            context = authority.sender(certificate)
            context.check_hostname = False  # the receiver's has another name
            uid = send(nginx.dicom_port, "127.0.0.8", tls=context)
            wait_until(lambda: published(home, LOG_QUEUE))
            (event,) = published(home, LOG_QUEUE)
    assert (event.sop_uid, event.tenant_id, event.source_ip) == (uid, "north", "127.0.0.8")
