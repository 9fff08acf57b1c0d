"""TLS on the wire: who is let in, who is not, and what is told of it."""

import hashlib
import logging
import socket
import ssl
import time
from contextlib import ExitStack

import pytest

from dicom_pipeline_tests.receiver.authority import DAY, NOW, Authority
from dicom_pipeline_tests.receiver.listening import (
    association_request,
    connected,
    echo,
    listening,
    receive,
    until_closed,
    wait_until,
)
from receiver.waiting_room import WORKERS

pytestmark = pytest.mark.service


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def refused(scp, context):
    """Whether a sender with this context gets no association."""
    before = len(scp.refused)
    with connected(scp) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="receiver") as secure:
                secure.sendall(association_request())
                return secure.recv(1) != b"\x02"
        except (ssl.SSLError, ConnectionError):
            wait_until(lambda: len(scp.refused) > before)
            assert scp.refused[-1] == "tls"
            return True


def problem(caplog):
    """What the log says of the one refused connection."""
    (line,) = [each for each in caplog.records if "refused" in each.message]
    assert line.exc_info is None
    assert line.source_ip == "127.0.0.1"
    return line.message.removeprefix("connection refused: ")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_association_over_tls(authority, version):
    sender = authority.sender()
    sender.minimum_version = sender.maximum_version = version
    with listening(**authority.settings()) as scp:
        assert echo(scp, sender) == 0
        assert scp.refused == []
        ((_, certificate, _),) = scp.connections
        assert certificate is None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_1_1_is_refused(authority, caplog):
    sender = authority.sender()
    sender.set_ciphers("ALL:@SECLEVEL=0")
    sender.minimum_version = sender.maximum_version = ssl.TLSVersion.TLSv1_1
    with listening(**authority.settings()) as scp:
        assert refused(scp, sender)
        assert problem(caplog) == "the sender offers only TLS 1.1 or older"


def test_cipher_suites_without_authenticated_encryption_are_refused(authority, caplog):
    sender = authority.sender()
    sender.maximum_version = ssl.TLSVersion.TLSv1_2
    sender.set_ciphers("ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA")
    with listening(**authority.settings()) as scp:
        assert refused(scp, sender)
        assert problem(caplog) == "the sender offers no cipher suite of BCP 195"


def test_a_sender_is_known_by_its_certificate(authority):
    certificate = authority.issue("CT01")
    with listening(**authority.mutual_settings(receiver_tls_crl=authority.crl)) as scp:
        assert echo(scp, authority.sender(certificate)) == 0
        ((_, shown, _),) = scp.connections
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    assert shown.sha256 == hashlib.sha256(der).hexdigest()
    assert shown.subject == "CN=CT01,OU=CT,O=North"


def test_a_certificate_may_be_optional(authority):
    options = authority.mutual_settings(receiver_tls_clients="optional")
    with listening(**options) as scp:
        assert echo(scp, authority.sender()) == 0
        assert echo(scp, authority.sender(authority.issue("CT01"))) == 0
        assert [each and each.subject for _, each, _ in scp.connections] == [
            None,
            "CN=CT01,OU=CT,O=North",
        ]


def test_no_certificate_is_refused_where_one_is_required(authority, caplog):
    with listening(**authority.mutual_settings()) as scp:
        assert refused(scp, authority.sender())
        assert problem(caplog) == "the sender has shown no certificate"


def test_a_certificate_of_another_authority_is_refused(authority, tmp_path, caplog):
    other = Authority(tmp_path / "other")
    with listening(**authority.mutual_settings(receiver_tls_clients="optional")) as scp:
        assert refused(scp, authority.sender(other.issue("CT01")))
        assert "the sender's certificate: unable to get local issuer" in problem(caplog)


def test_an_expired_certificate_is_refused(authority, caplog):
    expired = authority.issue("CT01", not_before=NOW - 2 * DAY, not_after=NOW - DAY)
    with listening(**authority.mutual_settings()) as scp:
        assert refused(scp, authority.sender(expired))
        assert problem(caplog) == "the sender's certificate: certificate has expired"


def test_a_revoked_certificate_is_refused_once_the_list_has_been_replaced(authority, caplog):
    stolen, other = authority.issue("CT01"), authority.issue("CT02")
    options = authority.mutual_settings(receiver_tls_crl=authority.crl)
    with listening(tls_check_seconds=0, **options) as scp:
        sender = authority.sender(stolen)
        assert echo(scp, sender) == 0
        authority.revoke(stolen)
        assert refused(scp, sender)
        assert problem(caplog) == "the sender's certificate: certificate revoked"
        assert echo(scp, authority.sender(other)) == 0


def test_a_changed_certificate_is_shown_without_a_restart(authority):
    def shown(scp):
        context = authority.sender()
        with (
            connected(scp) as plain,
            context.wrap_socket(plain, server_hostname="receiver") as secure,
        ):
            return secure.getpeercert()["serialNumber"]

    with listening(tls_check_seconds=0, **authority.settings()) as scp:
        before = shown(scp)
        authority.write_server(authority.issue("receiver"))
        assert shown(scp) != before


def test_a_broken_new_file_leaves_the_old_one_in_force_and_is_told(authority, caplog):
    with listening(tls_check_seconds=0, **authority.settings()) as scp:
        authority.write_server(authority.server, key_of=authority.issue("receiver"))
        assert echo(scp, authority.sender()) == 0
        errors = [each.message for each in caplog.records if each.levelno == logging.ERROR]
        assert errors
        assert "the old ones stay in force" in errors[0]
        assert "the key is not that of the certificate" in errors[0]
        authority.write_server(authority.server)
        caplog.clear()
        assert echo(scp, authority.sender()) == 0
        assert not [each for each in caplog.records if each.levelno == logging.ERROR]


def test_a_sender_without_tls_is_refused(authority, caplog):
    with listening(**authority.settings()) as scp, connected(scp) as connection:
        connection.sendall(association_request())
        assert not until_closed(connection).startswith(b"\x02")
        wait_until(lambda: scp.refused)
        assert scp.refused == ["tls"]
        assert problem(caplog) == "the sender does not speak TLS"


def test_a_health_probe_of_a_tls_port_is_not_worth_a_line(authority, caplog):
    with listening(**authority.settings()) as scp:
        for _ in range(10):
            with connected(scp):
                pass
        assert echo(scp, authority.sender()) == 0
        assert scp.refused == []
    assert not [each for each in caplog.records if each.name.startswith("receiver")]


@pytest.mark.parametrize("start", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
def test_stalled_handshakes_hinder_nobody_and_end_at_the_deadline(authority, start):
    with (
        listening(receiver_request_timeout_seconds=1, **authority.settings()) as scp,
        ExitStack() as stack,
    ):
        started = time.monotonic()
        stalled = [stack.enter_context(connected(scp)) for _ in range(3 * WORKERS)]
        for each in stalled:
            each.sendall(start)
        assert echo(scp, authority.sender()) == 0
        assert time.monotonic() - started < 1
        for each in stalled:
            assert until_closed(each) == b""
        wait_until(lambda: len(scp.refused) == len(stalled))
        assert set(scp.refused) == {"request_timeout"}


def test_half_a_request_over_tls_ends_at_the_deadline(authority):
    with listening(receiver_request_timeout_seconds=0.3, **authority.settings()) as scp:
        assert refused_half(scp, authority.sender())
        assert scp.listener.active_associations == []


def refused_half(scp, context):
    with connected(scp) as plain, context.wrap_socket(plain, server_hostname="receiver") as secure:
        secure.sendall(association_request()[:100])
        assert secure.recv(1) == b""
    wait_until(lambda: scp.refused)
    return scp.refused == ["request_timeout"]


def test_a_balancers_header_comes_before_the_handshake(authority):
    options = authority.settings(receiver_proxy_networks=["127.0.0.1/32"])
    with (
        listening(**options) as scp,
        connected(scp) as plain,
    ):
        plain.sendall(b"PROXY TCP4 10.1.2.3 127.0.0.1 4711 11112\r\n")
        with authority.sender().wrap_socket(plain, server_hostname="receiver") as secure:
            request = association_request()
            for part in (request[:3], request[3:100], request[100:]):
                secure.sendall(part)
                time.sleep(0.01)
            assert receive(secure, 1) == b"\x02"
            wait_until(lambda: scp.connections)
            assert scp.connections[0][0] == ("10.1.2.3", 4711)
            secure.shutdown(socket.SHUT_RDWR)
