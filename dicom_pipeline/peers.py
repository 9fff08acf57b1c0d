"""Who may send, into which tenant, and what is known of each sender: the file of peers.

Without a file, only loopback addresses may send, into tenant ``default``.
"""

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.imaging.text import resolve_character_set

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
AETitle = Annotated[str, Field(min_length=1, max_length=16)]

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
DEFAULT_TENANT: Final = "default"

_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
RESERVED_TENANTS: Final = frozenset({"incoming"})
"""Folders of the storage root that are no tenant's."""


class Peer(BaseModel):
    """Senders of one kind. What is left out matches any sender."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant: str = DEFAULT_TENANT
    networks: tuple[IPNetwork, ...] = tuple(ipaddress.ip_network(text) for text in LOOPBACK)
    """Addresses the sender may come from. Default: this machine only."""
    calling_ae: AETitle | None = None
    called_ae: AETitle | None = None
    transfer_syntaxes: tuple[str, ...] = ()
    """Preferred transfer syntaxes, best first; the others follow in the default order."""
    character_set: tuple[str, ...] | None = None
    """Defined Terms of SpecificCharacterSet that replace what this sender's objects say."""

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

    def matches(self, address: str, calling_ae: str, called_ae: str) -> bool:
        """Whether an association from ``address`` with these AE titles is this peer's."""
        ip = ipaddress.ip_address(address)
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        return (
            any(ip in network for network in self.networks)
            and self.calling_ae in {None, calling_ae}
            and self.called_ae in {None, called_ae}
        )


class Peers(BaseModel):
    """The peers in the order of the file: the first that matches decides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    peer: tuple[Peer, ...] = (Peer(),)

    def find(self, address: str, calling_ae: str, called_ae: str) -> Peer | None:
        """The peer that an association belongs to; None: not authorised."""
        for peer in self.peer:
            if peer.matches(address, calling_ae, called_ae):
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
