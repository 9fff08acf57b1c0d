"""What is told of certificates: whose a sender's is, and whether our own is of use."""

import hashlib
import logging
import ssl
import time
from pathlib import Path
from typing import Any, Final

from dicom_pipeline.peers import ClientCertificate

logger = logging.getLogger(__name__)

_WARN_SECONDS: Final = 30 * 86400

_SHORT_NAMES: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
"""RFC 4514 section 3; others keep their name."""


def client_certificate(connection: ssl.SSLSocket) -> ClientCertificate | None:
    """Whose certificate was verified in the handshake; None: the sender has shown none."""
    der = connection.getpeercert(binary_form=True)
    if not der:
        return None
    subject = distinguished_name((connection.getpeercert() or {}).get("subject", ()))
    return ClientCertificate(sha256=hashlib.sha256(der).hexdigest(), subject=subject)


def distinguished_name(names: Any) -> str:  # noqa: ANN401 - the ssl module has no type for it
    """A name as `ssl.SSLSocket.getpeercert` gives it, as a string of RFC 4514."""
    return ",".join(
        "+".join(f"{_SHORT_NAMES.get(name, name)}={_escaped(value)}" for name, value in each)
        for each in reversed(names)
    )


def _escaped(value: str) -> str:
    """RFC 4514 section 2.4; control characters too, so that a log line stays one."""
    text = "".join(
        f"\\{each}" if each in '"+,;<>\\' else each if each.isprintable() else _hexadecimal(each)
        for each in value
    )
    if text.startswith(("#", " ")):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if value.endswith(" ") and len(value) > 1 else text


def _hexadecimal(character: str) -> str:
    return "".join(f"\\{byte:02X}" for byte in character.encode(errors="surrogatepass"))


def warn_of_own_certificate(context: ssl.SSLContext, path: Path) -> None:
    """Log a warning when senders will not accept, or soon not accept, our own certificate."""
    try:
        expires = expiry(context, path)
    except ssl.SSLCertVerificationError as error:
        logger.warning(
            "senders may refuse the certificate of RECEIVER_TLS_CERTIFICATE: replace it",
            extra={"file": str(path), "reason": error.verify_message},
        )
        return
    if expires - time.time() < _WARN_SECONDS:
        logger.warning(
            "the certificate of RECEIVER_TLS_CERTIFICATE expires soon: replace it",
            extra={"file": str(path), "days": int((expires - time.time()) // 86400)},
        )


def expiry(context: ssl.SSLContext, path: Path) -> float:
    """Until when (seconds since the epoch) our own certificate is good.

    The ssl module judges a certificate only in a handshake, so one is done in memory, with a
    client that trusts this very certificate.

    Raises:
        ssl.SSLCertVerificationError: it is not good now.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cafile=path)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server)
    for side in (theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return ssl.cert_time_to_seconds(str((theirs.getpeercert() or {})["notAfter"]))
