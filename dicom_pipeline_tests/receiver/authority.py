"""Certificates, keys and revocation lists in files, as an operator would lay them out."""

import ssl
from datetime import UTC, datetime, timedelta

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


class Authority:
    """One CA, its certificates and its revocation list, below a folder."""

    def __init__(self, folder, name="ca"):
        folder.mkdir(exist_ok=True)
        self.folder, self.ca = folder, trustme.CA()
        self.certificate = folder / f"{name}.pem"
        self.ca.cert_pem.write_to_path(self.certificate)
        self.crl = folder / f"{name}.crl"
        self.server = self.issue("receiver")
        self.certificate_file, self.key_file = folder / "receiver.pem", folder / "receiver.key"
        self.write_server(self.server)
        self.revoke()

    def issue(self, name, **options):
        subject = {
            "common_name": name,
            "organization_unit_name": "CT",
            "organization_name": "North",
        }
        return self.ca.issue_cert(name, **subject, **options)

    def write_server(self, certificate, key_of=None):
        chain = b"".join(each.bytes() for each in certificate.cert_chain_pems)
        self.certificate_file.write_bytes(chain)
        (key_of or certificate).private_key_pem.write_to_path(self.key_file)

    def encrypt_key(self, password):
        key = load_pem_private_key(self.key_file.read_bytes(), None)
        pem = key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
        )
        self.key_file.write_bytes(pem)

    def revoke(self, *certificates):
        """Write the list of those that are revoked."""
        issuer = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        key = load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        crl = x509.CertificateRevocationListBuilder(
            issuer_name=issuer.subject, last_update=NOW - DAY, next_update=NOW + DAY
        )
        for certificate in certificates:
            serial = x509.load_pem_x509_certificate(
                certificate.cert_chain_pems[0].bytes()
            ).serial_number
            crl = crl.add_revoked_certificate(
                x509.RevokedCertificateBuilder(serial, NOW - DAY).build()
            )
        self.crl.write_bytes(crl.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def settings(self, **options):
        """Those of a receiver that speaks TLS."""
        return {
            "receiver_tls_certificate": self.certificate_file,
            "receiver_tls_key": self.key_file,
            **options,
        }

    def mutual_settings(self, **options):
        """Those of one that asks senders for a certificate of this CA."""
        mutual = {"receiver_tls_clients": "required", "receiver_tls_ca": self.certificate}
        return self.settings(**{**mutual, **options})

    def sender(self, certificate=None):
        """A sender's context: trusts this CA, and has ``certificate``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ca.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        return context
