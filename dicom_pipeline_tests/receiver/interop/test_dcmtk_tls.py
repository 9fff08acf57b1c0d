"""DCMTK's senders over TLS, and senders that mistake the port."""

import time
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from dicom_pipeline_tests.receiver.authority import Authority
from dicom_pipeline_tests.receiver.interop.dcmtk import needs_dcmtk, run, succeed, write_objects
from dicom_pipeline_tests.receiver.interop.inbox import Inbox, data_set
from dicom_pipeline_tests.receiver.running import process

pytestmark = [pytest.mark.service, needs_dcmtk]

QUICK_SECONDS = 8


class Identity(NamedTuple):
    """What a sender shows, in files."""

    key: str
    certificate: str


def identity(folder, certificate) -> Identity:
    key, chain = folder / "sender.key", folder / "sender.pem"
    certificate.private_key_pem.write_to_path(key)
    chain.write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
    return Identity(str(key), str(chain))


class Tls(NamedTuple):
    """A receiver that speaks TLS, and who may talk to it."""

    inbox: Inbox
    authority: Authority
    known: Identity
    stranger: Identity
    """Signed by an authority that the receiver does not trust."""


@contextmanager
def _serving(home, clients):
    ours, theirs = Authority(home / "ours"), Authority(home / "theirs")
    known = identity(ours.folder, ours.issue("ct01"))
    stranger = identity(theirs.folder, theirs.issue("ct01"))
    variables = {
        "RECEIVER_TLS_CERTIFICATE": str(ours.certificate_file),
        "RECEIVER_TLS_KEY": str(ours.key_file),
        "RECEIVER_TLS_CLIENTS": clients,
        "RECEIVER_REQUEST_TIMEOUT_SECONDS": "5",
    }
    if clients == "required":
        variables["RECEIVER_TLS_CA"] = str(ours.certificate)
    (home / "peers.toml").write_text(
        f'[[peer]]\ntenant = "by-certificate"\ncertificate_subject = "{SUBJECT}"\n[[peer]]\n'
    )
    with process(home, **variables) as running:
        yield Tls(Inbox(home, running.port), ours, known, stranger)


SUBJECT = "CN=ct01,OU=CT,O=North"


@pytest.fixture(scope="module")
def anonymous(tmp_path_factory):
    """Senders need no certificate."""
    with _serving(tmp_path_factory.mktemp("anonymous"), "none") as tls:
        yield tls


@pytest.fixture(scope="module")
def mutual(tmp_path_factory):
    """Senders must show a certificate."""
    with _serving(tmp_path_factory.mktemp("mutual"), "required") as tls:
        yield tls


def trusting(authority):
    return ("+cf", str(authority.certificate))


def test_storescu_without_a_certificate_sends_where_none_is_asked_for(anonymous, tmp_path):
    (path,) = write_objects(tmp_path, 1)
    options = ("-aet", "TLSCU", "-xe", "+tla", *trusting(anonymous.authority))
    succeed("storescu", anonymous.inbox.port, path, options=options)
    assert anonymous.inbox.data_sets("TLSCU", 1) == {path.stem: data_set(path)}


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_every_profile_of_bcp_195_that_dcmtk_knows_is_served(anonymous, profile):
    options = ("+tla", profile, *trusting(anonymous.authority))
    succeed("echoscu", anonymous.inbox.port, options=options)


def test_storescu_does_not_send_to_a_receiver_that_it_does_not_trust(anonymous, tmp_path):
    paths = write_objects(tmp_path, 1)
    other = Authority(tmp_path / "other")
    options = ("-aet", "DISTRUST", "+tla", *trusting(other))
    code, output = run("storescu", anonymous.inbox.port, *paths, options=options)
    assert code != 0
    assert "certificate verify failed" in output
    anonymous.inbox.events("DISTRUST", 0)


def test_a_certificate_decides_the_tenant(mutual, tmp_path):
    (path,) = write_objects(tmp_path, 1)
    options = ("-aet", "TLSCU", "-xe", "+tls", *mutual.known, *trusting(mutual.authority))
    succeed("storescu", mutual.inbox.port, path, options=options)
    (event,) = mutual.inbox.events("TLSCU", 1)
    assert event.tenant_id == "by-certificate"
    assert data_set(mutual.inbox.path(event)) == data_set(path)


@pytest.mark.parametrize("shown", ["none", "stranger"])
def test_without_a_trusted_certificate_nothing_is_taken(mutual, shown, tmp_path):
    paths = write_objects(tmp_path, 1)
    own = ("+tla",) if shown == "none" else ("+tls", *mutual.stranger)
    options = ("-aet", "REFUSED", *own, *trusting(mutual.authority))
    started = time.monotonic()
    code, _ = run("storescu", mutual.inbox.port, *paths, options=options)
    assert code != 0
    assert time.monotonic() - started < QUICK_SECONDS
    mutual.inbox.events("REFUSED", 0)
    assert '"connection refused' in (mutual.inbox.home / "log.txt").read_text()


def test_a_plain_sender_is_told_at_once_that_the_port_speaks_tls(anonymous):
    started = time.monotonic()
    code, output = run("echoscu", anonymous.inbox.port)
    assert code != 0
    assert "Association Request Failed" in output
    assert time.monotonic() - started < QUICK_SECONDS


def test_a_tls_sender_is_told_at_once_that_the_port_does_not_speak_it(fast):
    started = time.monotonic()
    code, output = run("echoscu", fast.port, options=("+tla", "-ic"))
    assert code != 0
    assert "TLS" in output
    assert time.monotonic() - started < QUICK_SECONDS
