"""TLS as PS3.15 B.12 asks for (BCP 195: RFC 8996 and RFC 9325), from files that may change.

A context never changes once connections use it: when a file has changed, a new one is made.
"""

import logging
import ssl
import threading
import time
from pathlib import Path
from typing import Final

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings
from receiver.certificates import expiry, warn_of_own_certificate
from receiver.connection import TlsConnection

logger = logging.getLogger(__name__)

TLS12_SUITES: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Ephemeral keys and authenticated encryption only; all suites of TLS 1.3 are such."""
CHECK_SECONDS: Final = 60.0
"""How often, at most, the files are looked at."""

_CLIENTS: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_Stamps = tuple[tuple[int, int, int] | None, ...]


def make_context(settings: Settings) -> ssl.SSLContext | None:
    """The context that the settings ask for; None: no TLS.

    Raises:
        ConfigurationError: a setting is missing, or its file is of no use.
    """
    _refuse_contradictions(settings)
    if settings.receiver_tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = TlsConnection
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS12_SUITES)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # A resumed session would not be checked against the revocation lists again.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    _load_own(context, settings)
    _load_authorities(context, settings)
    warn_of_own_certificate(context, settings.receiver_tls_certificate)
    return context


def _refuse_contradictions(settings: Settings) -> None:
    if settings.receiver_tls_certificate is None:
        for name in ("key", "key_password", "ca", "crl"):
            if getattr(settings, f"receiver_tls_{name}") is not None:
                raise ConfigurationError(
                    f"RECEIVER_TLS_{name.upper()} is set without RECEIVER_TLS_CERTIFICATE: "
                    "set it too, or remove the former to receive without TLS"
                )
        if settings.receiver_tls_clients != "none":
            raise ConfigurationError(
                f"RECEIVER_TLS_CLIENTS is {settings.receiver_tls_clients!r} without "
                "RECEIVER_TLS_CERTIFICATE: set it too, or remove the former"
            )
    if settings.receiver_tls_clients == "none":
        for name in ("ca", "crl"):
            if getattr(settings, f"receiver_tls_{name}") is not None:
                raise ConfigurationError(
                    f"RECEIVER_TLS_{name.upper()} is set, but RECEIVER_TLS_CLIENTS is 'none': set "
                    "it to 'required' or 'optional', or remove the former"
                )
    elif settings.receiver_tls_ca is None:
        raise ConfigurationError(
            f"RECEIVER_TLS_CLIENTS is {settings.receiver_tls_clients!r}, but no authority is "
            "trusted: set RECEIVER_TLS_CA to a PEM file of those who sign the senders' certificates"
        )


def _load_own(context: ssl.SSLContext, settings: Settings) -> None:
    certificate, key = settings.receiver_tls_certificate, settings.receiver_tls_key
    assert certificate is not None
    password = settings.receiver_tls_key_password
    _readable("RECEIVER_TLS_CERTIFICATE", certificate)
    if key is not None:
        _readable("RECEIVER_TLS_KEY", key)

    encrypted = False

    def tell_password() -> str:
        nonlocal encrypted
        encrypted = True
        if password is None:
            raise ConfigurationError(
                f"RECEIVER_TLS_KEY {key or certificate}: the key is encrypted: "
                "set RECEIVER_TLS_KEY_PASSWORD"
            )
        return password.get_secret_value()

    try:
        context.load_cert_chain(certificate, key, tell_password)
    except ssl.SSLError as error:
        reason = error.reason or ("BAD_DECRYPT" if encrypted else "PEM")
        raise ConfigurationError(
            f"RECEIVER_TLS_CERTIFICATE {certificate}, RECEIVER_TLS_KEY {key or '(same file)'}: "
            f"{_OWN_PROBLEMS.get(reason, _OWN_PROBLEM)} ({reason})"
        ) from error


_OWN_PROBLEM: Final = (
    "not a certificate in PEM and its private key in PEM: convert the files, or set "
    "RECEIVER_TLS_KEY if the key has a file of its own"
)
_OWN_PROBLEMS: Final = {
    "KEY_VALUES_MISMATCH": "the key is not that of the certificate: set the two that belong "
    "together, the receiver's own certificate first in its file",
    "KEY_TYPE_MISMATCH": "the key is not that of the certificate: set the two that belong "
    "together, the receiver's own certificate first in its file",
    "BAD_DECRYPT": "the password does not open the key: correct RECEIVER_TLS_KEY_PASSWORD",
    "EE_KEY_TOO_SMALL": "the key is too short: use RSA with 2048 bits or more, or ECDSA",
    "CA_MD_TOO_WEAK": "the signature's hash is too weak: use SHA-256 or better",
}


def _load_authorities(context: ssl.SSLContext, settings: Settings) -> None:
    authorities, revoked = settings.receiver_tls_ca, settings.receiver_tls_crl
    context.verify_mode = _CLIENTS[settings.receiver_tls_clients]
    if authorities is not None and not _loaded(context, "RECEIVER_TLS_CA", authorities)["x509_ca"]:
        raise ConfigurationError(
            f"RECEIVER_TLS_CA {authorities}: no certificate of an authority in it: "
            "write those that sign the senders' certificates into it, in PEM"
        )
    if revoked is not None:
        if not _loaded(context, "RECEIVER_TLS_CRL", revoked)["crl"]:
            raise ConfigurationError(
                f"RECEIVER_TLS_CRL {revoked}: no revocation list in it: "
                "write one of each authority into it, in PEM"
            )
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _loaded(context: ssl.SSLContext, setting: str, path: Path) -> dict[str, int]:
    _readable(setting, path)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"{setting} {path}: not in PEM, or damaged ({error.reason}): convert or replace it"
        ) from error
    return context.cert_store_stats()


def _readable(setting: str, path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"{setting} {path}: {error.strerror}: correct the setting or the file's permissions"
        ) from error


class ReloadingTls:
    """The context for the next connection: made anew once one of its files has changed."""

    def __init__(self, settings: Settings, check_seconds: float = CHECK_SECONDS) -> None:
        """Make the first one.

        Raises:
            ConfigurationError: a setting is missing, or its file is of no use.
        """
        self._settings = settings
        self._check_seconds = check_seconds
        self._files = tuple(
            path
            for path in (
                settings.receiver_tls_certificate,
                settings.receiver_tls_key,
                settings.receiver_tls_ca,
                settings.receiver_tls_crl,
            )
            if path is not None
        )
        self._stamps = _stamps(self._files)
        self._context = make_context(settings)
        self._checked = time.monotonic()
        self._checking = threading.Lock()

    def context(self) -> ssl.SSLContext | None:
        """The present one; None: no TLS. A changed file that is of no use leaves the old one."""
        if not self._files or time.monotonic() - self._checked < self._check_seconds:
            return self._context
        if self._checking.acquire(blocking=False):  # else: another thread is at it
            try:
                self._check()
            finally:
                self._checked = time.monotonic()
                self._checking.release()
        return self._context

    def expiry(self) -> float:
        """Until when (seconds since the epoch) our own certificate is good.

        Raises:
            ssl.SSLCertVerificationError: it is not good now.
        """
        context, path = self.context(), self._settings.receiver_tls_certificate
        assert context is not None
        assert path is not None
        return expiry(context, path)

    def _check(self) -> None:
        stamps = _stamps(self._files)
        if stamps == self._stamps:
            return
        try:
            self._context = make_context(self._settings)
        except ConfigurationError as error:  # tried and told again at the next check
            logger.error(  # noqa: TRY400 - the message says it all
                "changed TLS files are of no use, the old ones stay in force: %s", error
            )
        else:
            self._stamps = stamps
            logger.info("TLS files have changed: new connections use them")


def _stamps(files: tuple[Path, ...]) -> _Stamps:
    return tuple(map(_stamp, files))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
