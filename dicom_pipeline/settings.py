"""Every setting of the product: environment variables, or the file `.env`, choose them.

URLs choose adapters; numbers bound work. ``docs/configuration.md`` lists them all, and a test
compares that page with this module.
"""

import os
import socket
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Positive = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """One immutable set of settings. A field's name in capitals is its environment variable."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    # Where things lie
    dicom_pipeline_home: Path = Path(".dicom-pipeline")
    """Folder of everything the embedded stack writes."""
    storage_root: Path | None = None
    """Folder of the original objects. Default: `storage` in the home folder."""
    rendition_root: Path | None = None
    """Folder of the renditions. Default: `renditions` in the home folder."""
    manifest_root: Path | None = None
    """Folder of the study manifests. Default: `manifests` in the home folder."""
    peers_file: Path | None = None
    """TOML file of peers: tenants, networks, AE titles. Default: `peers.toml` in the home."""
    dagster_yaml: Path | None = None
    """Dagster's own settings: its storage, launcher and limits. Default: the product's file."""

    # Systems, by URL. Empty: the embedded default in the home folder
    event_log_url: str = ""
    """Event log. Default: SQLite file `events.db`."""
    catalog_url: str = ""
    """Catalog: storage records, study index, renditions. Default: SQLite file `catalog.db`."""
    warehouse_url: str = ""
    """Warehouse: metadata, tag tables, conversion records. Default: SQLite file `warehouse.db`."""
    cache_url: str = ""
    """Cache: spares catalog and warehouse what was just written or read. Default: in process."""
    event_log_partitions: Positive = 1
    """Partitions of each queue when it is created."""
    event_log_retention_hours: Positive = 168
    """Messages older than this may leave the event log once every stage has passed them."""

    # Receiver
    receiver_host: str = "127.0.0.1"
    """Address the receiver listens on."""
    receiver_port: int = Field(default=11112, ge=0, le=65535)
    """TCP port the receiver listens on; 0 takes a free one."""
    receiver_ae_title: str = Field(default="DICOM_PIPELINE", min_length=1, max_length=16)
    """The receiver's own AE title."""
    receiver_max_associations: Positive = 32
    """Associations of a process at a time; the next is rejected (local limit exceeded)."""
    receiver_max_pdu_bytes: int = Field(default=131072, ge=4096)
    """Largest PDU that the receiver accepts."""
    receiver_loop: Literal["fast", "public"] = "fast"
    """Who reads what an association brings: our own loop, or pynetdicom's (slower)."""
    receiver_acknowledge: Literal["written", "queued"] = "written"
    """When an object is acknowledged: once its file is on disk, or its event in the outbox too."""
    receiver_processes: Positive = 1
    """Processes that take the port's connections in turn; when busy, one more than cores."""
    receiver_max_connections: Positive = 1024
    """Connections that may wait at a time without having asked for an association."""
    receiver_request_timeout_seconds: float = Field(default=30, gt=0)
    """A connection that has not asked for an association by then is closed (TLS included)."""
    receiver_network_timeout_seconds: float = Field(default=60, gt=0)
    """A PDU that takes longer aborts its association."""
    receiver_idle_timeout_seconds: float = Field(default=300, gt=0)
    """An association without a word for this long is aborted."""
    receiver_max_object_bytes: Positive = 4 << 30
    """A larger object aborts its association."""
    receiver_max_association_objects: int = Field(default=0, ge=0)
    """An association that has brought so many objects is aborted at the next; 0: no limit."""
    receiver_max_association_bytes: int = Field(default=0, ge=0)
    """An association that has brought so many bytes is aborted at the next object; 0: no limit."""
    receiver_min_free_bytes: int = Field(default=1 << 30, ge=0)
    """Below this free space on the storage root new objects are refused with A700."""
    receiver_private_transfer_syntaxes: tuple[str, ...] = ()
    """Further transfer syntax UIDs to accept (a JSON list)."""
    receiver_transfer_syntaxes: tuple[str, ...] = ()
    """Accept only these transfer syntax UIDs (a JSON list). Default: all that are known."""
    receiver_sop_classes: tuple[str, ...] = ()
    """Accept only these storage SOP class UIDs (a JSON list). Default: all that are known."""
    receiver_proxy_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Balancers (a JSON list of networks): their connections begin with a PROXY header."""
    receiver_tls_certificate: Path | None = None
    """PEM file of its certificate chain: the port then speaks TLS only. Default: no TLS."""
    receiver_tls_key: Path | None = None
    """PEM file of its private key. Default: it is in the certificate's file."""
    receiver_tls_key_password: SecretStr | None = None
    """Password of that key. Default: it has none."""
    receiver_tls_ca: Path | None = None
    """PEM file of the authorities whose client certificates are accepted. Default: none."""
    receiver_tls_crl: Path | None = None
    """PEM file of these authorities' revocation lists, one of each. Default: not checked."""
    receiver_tls_clients: Literal["none", "optional", "required"] = "none"
    """Whether senders are asked for a certificate."""
    receiver_http_host: str = "127.0.0.1"
    """Address of `/metrics`, `/healthz` and `/readyz`."""
    receiver_http_port: int | None = Field(default=None, ge=0, le=65535)
    """Their port; 0 takes a free one. Default: not served."""
    receiver_commitment_days: Positive = 30
    """How long the receiver can answer a storage commitment request for an object."""
    receiver_commitment_retry_hours: Positive = 72
    """How long a storage commitment report is tried again while the requester is away."""
    worker_node_id: str = Field(
        default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
    )
    """Names this receiver process in events and its outbox. Default: the host name."""

    # Streams: how messages become runs
    stream_tick_seconds: Positive = 5
    """Shortest time between two looks at a queue (the sensor daemon's own floor is 5 s)."""
    stream_range_messages: Positive = 1000
    """Messages of a range while the queue is short."""
    stream_range_messages_max: Positive = 20000
    """Messages of a range when the backlog is long."""
    stream_range_bytes_max: Positive = 2 << 30
    """Bytes of objects in one range of the transcode queue."""
    stream_ranges_in_flight: Positive = 2
    """Ranges of one partition that wait or run at a time."""
    stream_max_attempts: Positive = 8
    """Attempts at a range that fails for an unknown reason, before it waits for an operator."""
    stream_backoff_seconds: float = Field(default=5, ge=0)
    """Pause before the second attempt at a range; doubles with each further one."""
    stream_backoff_max_seconds: float = Field(default=300, ge=0)
    """Longest pause between two attempts."""

    dagster_run_retention_days: Positive = 30
    """Finished runs older than this leave Dagster's database."""

    # Work inside a run
    worker_processes: Positive = Field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that parse headers and decode pixels, per run. Default: the machine's cores."""
    worker_memory_bytes: Positive = 4 << 30
    """Address space of each of these processes."""
    index_seconds_per_object: float = Field(default=20, gt=0)
    """Time limit for reading the header of one object."""
    rendition_seconds_per_object: float = Field(default=300, gt=0)
    """Time limit for deciding, converting and verifying one object, or a part of a large one."""

    # Outside
    ui_host: str = "127.0.0.1"
    """Address of the Dagster UI started by `up` and `demo`."""
    ui_port: int = Field(default=3000, ge=0, le=65535)
    """Port of the Dagster UI; 0 takes a free one."""
    viewer_host: str = "127.0.0.1"
    """Address of the file server with the viewer. It knows no passwords: keep it on loopback."""
    viewer_port: int = Field(default=3001, ge=0, le=65535)
    """Port of the file server; 0 takes a free one."""
    public_url: str = Field(default="", pattern=r"^(https?://[^/?#@\s]+(/[^?#\s]*)?)?$")
    """Base of the URLs in manifests and links. Default: root-relative; links to the file server."""
    log_format: Literal["text", "json"] = "text"
    """Form of the log lines."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe log lines that are written."""

    @cached_property
    def home(self) -> Path:
        """The home folder, absolute, so that processes started elsewhere mean the same one."""
        return self.dicom_pipeline_home.absolute()

    @property
    def storage(self) -> Path:
        """Root of the original objects."""
        return (self.storage_root or self.home / "storage").absolute()

    @property
    def renditions(self) -> Path:
        """Root of the renditions."""
        return (self.rendition_root or self.home / "renditions").absolute()

    @property
    def manifests(self) -> Path:
        """Root of the study manifests."""
        return (self.manifest_root or self.home / "manifests").absolute()

    @property
    def peers(self) -> Path:
        """The file of peers; it need not exist."""
        return (self.peers_file or self.home / "peers.toml").absolute()

    @property
    def outbox(self) -> Path:
        """This receiver process's outbox: always on a local disk."""
        return self.home / "outbox" / f"{self.worker_node_id}.db"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance folder."""
        return self.home / "dagster"
