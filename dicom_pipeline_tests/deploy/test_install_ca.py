"""``docker/install-ca.sh``: an authority is trusted by its fingerprint, or not at all."""

import os
import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.service

SCRIPT = Path(__file__).parents[2] / "docker" / "install-ca.sh"
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
SHOWN, MISMATCH, UNUSABLE = 3, 4, 5
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(
    name="Hospital CA", *, ca=True, begins=NOW - DAY, ends=NOW + DAY, signs=True, issuer=None
):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    usage = x509.KeyUsage(**usage, key_cert_sign=signs, crl_sign=not signs)
    return builder.add_extension(usage, True).sign(KEY, hashes.SHA256())


def pem(*certificates):
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def fingerprint(one):
    return one.fingerprint(hashes.SHA256()).hex()


class Machine:
    """A trust store of the tests' own, and the script that changes it."""

    def __init__(self, folder):
        self.folder = folder
        self.anchors, self.store = folder / "anchors", folder / "store"
        for name in ("anchors", "store", "hooks"):
            (folder / name).mkdir()
        (folder / "configuration").touch()
        self.bundle = self.store / "ca-certificates.crt"
        self.variables = {
            "CA_ANCHORS": str(self.anchors),
            "CA_BUNDLE": str(self.bundle),
            "CA_UPDATE": f"update-ca-certificates --localcertsdir {self.anchors} "
            f"--etccertsdir {self.store} --certsconf {folder / 'configuration'} "
            f"--hooksdir {folder / 'hooks'}",
        }

    def install(self, source, *arguments, **variables):
        return subprocess.run(
            [SCRIPT, str(source), *arguments],
            env={**os.environ, **self.variables, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def file(self, content, name="hospital.pem"):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def is_untouched(self):
        return not [*self.anchors.iterdir(), *self.store.iterdir()]


@pytest.fixture
def machine(tmp_path):
    if not shutil.which("update-ca-certificates", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        pytest.skip("update-ca-certificates is not installed")
    return Machine(tmp_path)


@contextmanager
def serving(content, authority):
    """An https server whose certificate ``authority`` has signed; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/ca" else 404)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("form", [Encoding.PEM, Encoding.DER])
def test_the_authority_that_has_signed_its_own_server_can_be_fetched_and_trusted(machine, form):
    authority = trustme.CA()
    own = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    with serving(own.public_bytes(form), authority) as url:
        done = machine.install(f"{url}/ca", "--sha256", fingerprint(own))
        assert done.returncode == 0, done.stderr
        host, _, port = url.removeprefix("https://").partition(":")
        # That very server is now verified by the store.
        assert ssl.get_server_certificate((host, int(port)), ca_certs=str(machine.bundle))
    (installed,) = machine.anchors.iterdir()
    assert installed.name == f"127.0.0.1-{fingerprint(own)[:8]}.crt"


def test_it_may_be_installed_again(machine):
    one = certificate()
    for _ in range(2):
        done = machine.install(machine.file(pem(one)), "--sha256", fingerprint(one))
        assert done.returncode == 0
    assert len(list(machine.anchors.iterdir())) == 1


def test_colons_and_capitals_of_a_fingerprint_may_be_written(machine):
    one = certificate()
    written = ":".join(fingerprint(one).upper()[i : i + 2] for i in range(0, 64, 2))
    done = machine.install(machine.file(pem(one)), "--sha256", written)
    assert done.returncode == 0


def test_text_around_a_certificate_is_left_out(machine):
    one = certificate()
    source = machine.file(b"Our CA\r\n" + pem(one) + b"-----BEGIN PRIVATE KEY-----\n")
    assert machine.install(source, "--sha256", fingerprint(one)).returncode == 0
    (installed,) = machine.anchors.iterdir()
    assert installed.read_bytes() == pem(one)


def test_without_a_fingerprint_it_is_only_shown(machine):
    one = certificate(name="Hospital CA")
    done = machine.install(machine.file(pem(one)))
    assert done.returncode == SHOWN
    for line in ("subject:    CN=Hospital CA", "issuer:     CN=Hospital CA", "valid from:"):
        assert line in done.stdout
    assert f"SHA-256:    {fingerprint(one)}" in done.stdout
    assert machine.is_untouched()


def test_another_fingerprint_is_refused(machine):
    done = machine.install(machine.file(pem(certificate())), "--sha256", "0" * 64)
    assert (done.returncode, "another certificate" in done.stderr) == (MISMATCH, True)
    assert machine.is_untouched()


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (certificate(begins=NOW - 2 * DAY, ends=NOW - DAY), "has expired"),
        (certificate(begins=NOW + DAY, ends=NOW + 2 * DAY), "not valid yet"),
        (certificate(ca=False), "not the certificate of an authority"),
        (certificate(ca=None), "not the certificate of an authority"),
        (certificate(signs=False), "may sign certificates"),
    ],
    ids=["expired", "not yet valid", "a server's", "no constraints", "may not sign"],
)
def test_what_is_no_valid_authority_is_refused_whatever_its_fingerprint(machine, one, reason):
    done = machine.install(machine.file(pem(one)), "--sha256", fingerprint(one))
    assert done.returncode == UNUSABLE
    assert reason in done.stderr
    assert machine.is_untouched()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pem(certificate("a"), certificate("b")), "holds 2 certificates"),
        (b"<html>404</html>", "is no certificate"),
        (b"", "is no certificate"),
        (pem(certificate())[:200], "is no certificate"),
    ],
    ids=["two", "a page", "nothing", "half of one"],
)
def test_what_is_not_one_certificate_is_refused(machine, content, reason):
    done = machine.install(machine.file(content), "--sha256", "0" * 64)
    assert (done.returncode, reason in done.stderr) == (UNUSABLE, True)
    assert machine.is_untouched()


def test_names_in_a_certificate_cannot_write_on_the_screen(machine):
    one = certificate(name="CA\x1b[2J\nSHA-256: 00")
    done = machine.install(machine.file(pem(one)))
    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == len(("subject", "issuer", "from", "to", "SHA-256"))


def test_what_cannot_be_fetched_is_said(machine):
    authority = trustme.CA()
    with serving(b"", authority) as url:
        done = machine.install(f"{url}/nothing", "--sha256", "0" * 64)
    assert (done.returncode, "cannot be fetched" in done.stderr) == (1, True)
    assert machine.is_untouched()


def test_an_authority_that_another_has_signed_is_noted(machine):
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root")])
    one = certificate(issuer=issuer)
    done = machine.install(machine.file(pem(one)), "--sha256", fingerprint(one))
    assert (done.returncode, "another authority has signed it" in done.stdout) == (0, True)


def test_a_store_that_does_not_take_it_is_an_error_and_it_is_taken_back(machine):
    one = certificate()
    machine.bundle.write_bytes(b"")
    done = machine.install(machine.file(pem(one)), "--sha256", fingerprint(one), CA_UPDATE="true")
    assert (done.returncode, f"not in {machine.bundle}" in done.stderr) == (1, True)
    assert list(machine.anchors.iterdir()) == []


def test_it_may_go_into_a_folder_for_the_next_build(machine, tmp_path):
    (tmp_path / "ca-certificates").mkdir()
    one = certificate()
    done = machine.install(
        machine.file(pem(one)),
        *("--sha256", fingerprint(one), "--to", str(tmp_path / "ca-certificates")),
        *("--name", "dicom.org.cn"),
    )
    assert done.returncode == 0
    (written,) = (tmp_path / "ca-certificates").iterdir()
    assert written.name == f"dicom.org.cn-{fingerprint(one)[:8]}.crt"
    assert machine.is_untouched()


def test_it_may_go_into_a_running_container(machine):
    """Docker is played by a script that does on this machine what the container should."""
    docker = machine.folder / "docker"
    docker.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >>{machine.folder}/calls\n'
        'case "$1" in\n'
        'exec) shift 4; exec "$@" ;;\n'
        'cp) cp "$2" "${3#*:}" ;;\n'
        "esac\n"
    )
    docker.chmod(0o755)
    one = certificate()
    done = machine.install(
        machine.file(pem(one)),
        *("--sha256", fingerprint(one), "--container", "receiver-1"),
        DOCKER=str(docker),
    )
    assert done.returncode == 0, done.stderr
    calls = (machine.folder / "calls").read_text().splitlines()
    assert all(call.startswith(("exec --user 0 receiver-1", "cp ")) for call in calls)
    assert pem(one) in machine.bundle.read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a", "b"),
        ("a", "--sha256"),
        ("a", "--sha256", "123"),
        ("a", "--force"),
        ("a", "--container", "x", "--to", "y"),
    ],
)
def test_wrong_usage_is_told_apart(arguments):
    done = subprocess.run(
        [SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr
