"""Where the requesters of storage commitment listen for their reports: by the file of peers."""

import ssl
from functools import cached_property

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.peers import Peers
from dicom_pipeline.settings import Settings
from receiver.commitment.reports import Address
from receiver.commitment.transactions import Requester


class ReportAddresses:
    """Finds the address of a requester."""

    def __init__(self, settings: Settings, peers: Peers) -> None:
        """The settings tell whom we trust, and who we are, over TLS."""
        self._settings = settings
        self._peers = peers

    def __call__(self, requester: Requester) -> Address | None:
        """The first peer of the tenant that could have sent the request and has an address.

        Raises:
            ConfigurationError: reports go over TLS, and its files are of no use.
        """
        for peer in self._peers.peer:
            if (
                peer.commitment_port is not None
                and peer.tenant == requester.tenant_id
                and peer.calling_ae in {None, requester.calling_ae}
                and peer.called_ae in {None, requester.called_ae}
                and peer.from_network(requester.source_ip)
            ):
                host = peer.commitment_host or requester.source_ip
                return Address(
                    host, peer.commitment_port, self._tls if peer.commitment_tls else None
                )
        return None

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        settings = self._settings
        try:
            context = ssl.create_default_context(cafile=settings.receiver_tls_ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if settings.receiver_tls_certificate:
                password = settings.receiver_tls_key_password
                context.load_cert_chain(
                    settings.receiver_tls_certificate,
                    settings.receiver_tls_key,
                    password.get_secret_value() if password else "",
                )
        except OSError as error:
            raise ConfigurationError(
                "storage commitment reports over TLS: RECEIVER_TLS_CA, RECEIVER_TLS_CERTIFICATE "
                f"or RECEIVER_TLS_KEY cannot be used ({error.strerror or error})"
            ) from error
        return context
