"""A misconfiguration of TLS stops the start, and says which setting, which file, what to do."""

import logging

import pytest

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.receiver.authority import DAY, NOW, Authority
from receiver.certificates import distinguished_name
from receiver.tls import make_context


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def make(options):
    return make_context(Settings(_env_file=None, **options))


def test_without_settings_there_is_no_tls():
    assert make({}) is None


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"receiver_tls_key": "a"}, "RECEIVER_TLS_KEY is set without RECEIVER_TLS_CERTIFICATE"),
        ({"receiver_tls_ca": "a"}, "RECEIVER_TLS_CA is set without RECEIVER_TLS_CERTIFICATE"),
        ({"receiver_tls_clients": "required"}, "RECEIVER_TLS_CLIENTS is 'required' without"),
        ({"receiver_tls_certificate": "no/where"}, r"RECEIVER_TLS_CERTIFICATE no/where: No such"),
    ],
)
def test_tls_by_halves_is_refused(options, problem):
    with pytest.raises(ConfigurationError, match=problem):
        make(options)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"receiver_tls_clients": "required"}, "no authority is trusted: set RECEIVER_TLS_CA"),
        ({"receiver_tls_clients": "optional"}, "no authority is trusted: set RECEIVER_TLS_CA"),
        ({"receiver_tls_ca": "a"}, "RECEIVER_TLS_CA is set, but RECEIVER_TLS_CLIENTS is 'none'"),
        ({"receiver_tls_crl": "a"}, "RECEIVER_TLS_CRL is set, but RECEIVER_TLS_CLIENTS is 'none'"),
        ({"receiver_tls_key": "no/where"}, "RECEIVER_TLS_KEY no/where: No such file"),
        ({"receiver_tls_key": None}, "set RECEIVER_TLS_KEY if the key has a file of its own"),
    ],
)
def test_a_setting_that_lacks_another_or_its_file_is_refused(authority, options, problem):
    with pytest.raises(ConfigurationError, match=problem):
        make({**authority.settings(), **options})


@pytest.mark.parametrize(
    ("setting", "content", "problem"),
    [
        ("receiver_tls_ca", "nothing", "RECEIVER_TLS_CA .*broken.*not in PEM"),
        ("receiver_tls_crl", "nothing", "RECEIVER_TLS_CRL .*broken.*not in PEM"),
        ("receiver_tls_ca", "leaf", "RECEIVER_TLS_CA .*broken.*no certificate of an authority"),
        ("receiver_tls_crl", "leaf", "RECEIVER_TLS_CRL .*broken.*no revocation list"),
        ("receiver_tls_key", "nothing", "RECEIVER_TLS_KEY .*broken.*private key in PEM"),
        ("receiver_tls_certificate", "nothing", "RECEIVER_TLS_CERTIFICATE .*broken.*PEM"),
    ],
)
def test_a_file_of_the_wrong_kind_is_refused(authority, tmp_path, setting, content, problem):
    broken = tmp_path / "broken"
    leaf = authority.issue("CT01").cert_chain_pems[0].bytes()
    broken.write_bytes(leaf if content == "leaf" else b"nothing")
    with pytest.raises(ConfigurationError, match=problem):
        make({**authority.mutual_settings(), setting: broken})


def test_a_key_of_another_certificate_is_refused(authority):
    authority.write_server(authority.server, key_of=authority.issue("other"))
    with pytest.raises(ConfigurationError, match="the key is not that of the certificate"):
        make(authority.settings())


def test_an_encrypted_key_needs_its_password(authority):
    authority.encrypt_key(b"right")
    with pytest.raises(ConfigurationError, match=r"encrypted: set RECEIVER_TLS_KEY_PASSWORD"):
        make(authority.settings())
    with pytest.raises(ConfigurationError, match="the password does not open the key") as raised:
        make(authority.settings(receiver_tls_key_password="wrong"))
    assert "wrong" not in str(raised.value)
    assert make(authority.settings(receiver_tls_key_password="right"))


def test_the_key_may_be_in_the_certificates_file(authority):
    pem = authority.server.private_key_and_cert_chain_pem.bytes()
    authority.certificate_file.write_bytes(pem)
    assert make(authority.settings(receiver_tls_key=None))


@pytest.mark.parametrize(
    ("first_day", "last_day", "warning"),
    [
        (-9, -1, "senders may refuse the certificate"),
        (1, 90, "senders may refuse the certificate"),
        (-1, 9, "expires soon"),
        (-1, 90, None),
    ],
)
@pytest.mark.parametrize("clients", ["none", "required"])
def test_a_certificate_of_our_own_that_is_of_no_use_is_warned_of(
    authority, caplog, first_day, last_day, warning, clients
):
    days = {"not_before": NOW + first_day * DAY, "not_after": NOW + last_day * DAY}
    authority.write_server(authority.issue("receiver", **days))
    make(authority.mutual_settings() if clients == "required" else authority.settings())
    warnings = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == (warning is not None)
    assert not warning or warning in warnings[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ((), ""),
        (((("countryName", "DE"),), (("commonName", "CT01"),)), "CN=CT01,C=DE"),
        (((("commonName", "a"), ("userId", "b")),), "CN=a+UID=b"),
        (((("serialNumber", "1"),),), "serialNumber=1"),
        (((("commonName", 'a,b+c"d\\e<f>g;h'),),), 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h'),
        (((("commonName", " # "),),), "CN=\\ #\\ "),
        (((("commonName", "#"),),), "CN=\\#"),
        (((("commonName", " "),),), "CN=\\ "),
        (((("commonName", "a\nb\0"),),), "CN=a\\0Ab\\00"),
        (((("organizationName", "北医"),),), "O=北医"),
    ],
)
def test_a_subject_is_written_as_one_unambiguous_line(name, text):
    assert distinguished_name(name) == text
