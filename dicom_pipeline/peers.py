"""Who may send, into which tenant, and what is known of each sender: the file of peers.

Without a file, only loopback addresses may send, into tenant ``default``.
"""

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Annotated, Final, NamedTuple, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.imaging.text import resolve_character_set

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
AETitle = Annotated[str, Field(min_length=1, max_length=16)]
Fingerprint = Annotated[
    str,
    BeforeValidator(lambda text: text.replace(":", "").lower() if isinstance(text, str) else text),
    StringConstraints(pattern=r"^[0-9a-f]{64}$"),
]
"""SHA-256 of a certificate in DER, in hexadecimal; colons and capitals may be written."""
UID = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)*$", max_length=64)]

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
DEFAULT_TENANT: Final = "default"

_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
RESERVED_TENANTS: Final = frozenset({"incoming"})
"""Folders of the storage root that are no tenant's."""


class ClientCertificate(NamedTuple):
    """The verified certificate that a sender has shown in the TLS handshake."""

    sha256: str
    """Fingerprint: 64 lower-case hexadecimal digits."""
    subject: str
    """Distinguished name as a string (RFC 4514), such as ``CN=CT01,O=North,C=DE``."""


class Peer(BaseModel):
    """Senders of one kind. What is left out matches any sender."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant: str = DEFAULT_TENANT
    networks: tuple[IPNetwork, ...] = tuple(ipaddress.ip_network(text) for text in LOOPBACK)
    """Addresses the sender may come from. Default: this machine only."""
    calling_ae: AETitle | None = None
    called_ae: AETitle | None = None
    certificate_sha256: tuple[Fingerprint, ...] | None = None
    """Fingerprints of its certificates: more than one while it changes from old to new."""
    certificate_subject: str | None = Field(default=None, min_length=1)
    """Its certificate's subject, in full, as a string of RFC 4514."""
    sop_classes: tuple[UID, ...] = ()
    """Storage SOP classes it may send. Empty: all that the receiver accepts."""
    transfer_syntaxes: tuple[str, ...] = ()
    """Preferred transfer syntaxes, best first; the others follow in the default order."""
    character_set: tuple[str, ...] | None = None
    """Defined Terms of SpecificCharacterSet that replace what this sender's objects say."""
    commitment_host: str | None = Field(default=None, min_length=1)
    """Where storage commitment reports are delivered. Default: the address of the request."""
    commitment_port: int | None = Field(default=None, gt=0, le=65535)
    """TCP port for these reports. Default: only the association of the request is used."""
    commitment_tls: bool = False
    """Whether they are delivered over TLS."""

    @field_validator("tenant")
    @classmethod
    def _tenant_is_a_safe_folder(cls, value: str) -> str:
        if not _TENANT.fullmatch(value) or value in RESERVED_TENANTS:
            raise ValueError(
                f"tenant {value!r}: use 1 to 63 lower-case letters, digits, '-' and '_', "
                f"starting with a letter or digit, and none of {sorted(RESERVED_TENANTS)}"
            )
        return value

    @field_validator("character_set")
    @classmethod
    def _character_set_is_known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value and (problem := resolve_character_set(value).problem):
            raise ValueError(
                f"character set {list(value)}: {problem}; use Defined Terms of "
                "SpecificCharacterSet such as GB18030 or ISO_IR 192"
            )
        return value

    @model_validator(mode="after")
    def _reports_have_a_port(self) -> Self:
        if self.commitment_port is None and (self.commitment_host or self.commitment_tls):
            raise ValueError("commitment_host and commitment_tls need a commitment_port as well")
        return self

    def matches(
        self,
        address: str,
        calling_ae: str,
        called_ae: str,
        certificate: ClientCertificate | None = None,
    ) -> bool:
        """Whether an association from ``address`` with these AE titles is this peer's."""
        return (
            self._from_network(address)
            and self.calling_ae in {None, calling_ae}
            and self.called_ae in {None, called_ae}
            and self._has_shown(certificate)
        )

    def _from_network(self, address: str) -> bool:
        ip = ipaddress.ip_address(address)
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        return any(ip in network for network in self.networks)

    def _has_shown(self, certificate: ClientCertificate | None) -> bool:
        if self.certificate_sha256 is None and self.certificate_subject is None:
            return True
        return (
            certificate is not None
            and (self.certificate_sha256 is None or certificate.sha256 in self.certificate_sha256)
            and self.certificate_subject in {None, certificate.subject}
        )


class Peers(BaseModel):
    """The peers in the order of the file: the first that matches decides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    peer: tuple[Peer, ...] = (Peer(),)

    def find(
        self,
        address: str,
        calling_ae: str,
        called_ae: str,
        certificate: ClientCertificate | None = None,
    ) -> Peer | None:
        """The peer that an association belongs to; None: not authorised."""
        for peer in self.peer:
            if peer.matches(address, calling_ae, called_ae, certificate):
                return peer
        return None


def load_peers(path: Path) -> Peers:
    """The peers in a TOML file of ``[[peer]]`` tables; the defaults when there is no file.

    Raises:
        ConfigurationError: the file cannot be read or holds something else.
    """
    try:
        with path.open("rb") as file:
            return Peers.model_validate(tomllib.load(file))
    except FileNotFoundError:
        return Peers()
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigurationError(f"peers file {path}: {error}") from error
