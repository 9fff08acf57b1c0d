"""Where requesters listen for their reports: what the file of peers says."""

import ssl

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.peers import Peers
from dicom_pipeline.settings import Settings
from receiver.commitment.reports import Address
from receiver.commitment.transactions import Requester


class PeerAddresses:
    """The `AddressBook` of the file of peers.

    A report may be due long after the association that asked for it, so its certificate is not
    at hand: a peer is found again by its tenant, its network and the AE titles.
    """

    def __init__(self, peers: Peers, settings: Settings) -> None:
        """``settings``: for reports over TLS, the receiver's own certificate and authorities."""
        self._peers = [
            peer.model_copy(update={"certificate_sha256": None, "certificate_subject": None})
            for peer in peers.peer
        ]
        self._settings = settings

    def __call__(self, requester: Requester) -> Address | None:
        """The address of a requester; None: it has none.

        Raises:
            ConfigurationError: the report goes over TLS, and a file for that is of no use.
        """
        for peer in self._peers:
            if peer.tenant == requester.tenant_id and peer.matches(
                requester.source_ip, requester.calling_ae, requester.called_ae
            ):
                if peer.commitment_port is None:
                    return None
                return Address(
                    peer.commitment_host or requester.source_ip,
                    peer.commitment_port,
                    _client_context(self._settings) if peer.commitment_tls else None,
                )
        return None


def _client_context(settings: Settings) -> ssl.SSLContext:
    """For a connection of ours: made for each, because the files may change.

    The requester's certificate must name its host, and come from the authorities of the settings
    or, without any, from those that the system trusts. Ours is shown when it is asked for.
    """
    password = settings.receiver_tls_key_password
    try:
        context = ssl.create_default_context(cafile=settings.receiver_tls_ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.receiver_tls_certificate is not None:
            context.load_cert_chain(
                settings.receiver_tls_certificate,
                settings.receiver_tls_key,
                password.get_secret_value() if password else "",  # never asked for at a terminal
            )
    except OSError as error:
        raise ConfigurationError(
            "no storage commitment reports over TLS: correct RECEIVER_TLS_CA, "
            f"RECEIVER_TLS_CERTIFICATE or RECEIVER_TLS_KEY ({error.strerror})"
        ) from error
    return context
