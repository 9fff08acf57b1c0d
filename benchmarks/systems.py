"""The Storage SCPs that are compared: each started fresh, in a folder that never was before."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.messages import STORAGE_QUEUE
from dicom_pipeline.settings import Settings

REPOSITORY: Final = Path(__file__).parent.parent
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05

VARIANTS: Final[Mapping[str, Mapping[str, str]]] = {
    "public": {"RECEIVER_LOOP": "public"},
    "queued": {"RECEIVER_ACKNOWLEDGE": "queued"},
    "written": {"RECEIVER_ACKNOWLEDGE": "written"},
    "single": {"RECEIVER_PROCESSES": "1"},
}
"""Short names for settings of our receiver."""

_PROCESSES: Final = {"RECEIVER_PROCESSES": str((os.cpu_count() or 1) + 1)}
"""How our receiver is run where it has a machine to itself, unless a variant says otherwise."""


class SystemFailedError(Exception):
    """A system did not start, or lost objects."""


class Server(ABC):
    """One running system; a context that ends its process."""

    name: str
    program: str = ""
    """What must be on the path; empty: nothing."""
    called: str = "ANY-SCP"

    def __init__(self) -> None:
        self.folder = Path()
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Prepare the folder and say what to run."""

    @abstractmethod
    def stored(self) -> int:
        """Objects that are stored now."""

    def environment(self) -> dict[str, str]:
        """Environment of the process."""
        return dict(os.environ)

    def settle(self, objects: int, seconds: float) -> None:
        """Wait until the deferred work for ``objects`` is done, or raise `SystemFailedError`."""
        deadline = time.monotonic() + seconds
        while (count := self.stored()) != objects:
            if time.monotonic() > deadline:
                raise SystemFailedError(f"{self.name} stored {count} of {objects} objects")
            time.sleep(_POLL_SECONDS)

    def available(self) -> bool:
        """Whether the program is installed."""
        return not self.program or found(self.program) is not None

    def start(self, folder: Path) -> Self:
        """Start in an empty folder and wait until it listens."""
        self.folder = folder
        folder.mkdir(parents=True)
        self.port = free_port()
        command = self.command()
        with (folder / "log.txt").open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                told = (folder / "log.txt").read_text(errors="replace")[-1000:]
                raise SystemFailedError(f"{self.name} did not start: {told}")
            time.sleep(_POLL_SECONDS)
        return self

    def ready(self) -> bool:
        """Whether it listens."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """Process at the top of the system's tree."""
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        """End the process, in order if it will."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class DicomPipeline(Server):
    """Our receiver as a process: durable, with digest, outbox and the embedded event log."""

    called = "DICOM_PIPELINE"

    def __init__(self, overrides: Mapping[str, str] | None = None, label: str = "") -> None:
        super().__init__()
        self.overrides = overrides or {}
        """Environment variables that make the variant."""
        self.name = f"dicom-pipeline ({label})" if label else "dicom-pipeline"

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "receiver"]

    def environment(self) -> dict[str, str]:
        known = {name.upper() for name in Settings.model_fields}
        return {
            **{name: value for name, value in os.environ.items() if name not in known},
            "PYTHONPATH": str(REPOSITORY),
            "DICOM_PIPELINE_HOME": str(self.home),
            "RECEIVER_PORT": str(self.port),
            "RECEIVER_MIN_FREE_BYTES": "0",
            "LOG_LEVEL": "WARNING",
            **self.overrides,
        }

    @property
    def home(self) -> Path:
        """The receiver's home folder."""
        return self.folder / "home"

    @property
    def settings(self) -> Settings:
        """Settings that find what the receiver has written."""
        return Settings(_env_file=None, dicom_pipeline_home=self.home)

    def ready(self) -> bool:
        """The status file comes last."""
        return (self.home / "receiver.json").exists()

    def stored(self) -> int:
        """Objects under their final names, in any tenant's folder."""
        storage = self.settings.storage
        return sum(
            name.endswith(".dcm")
            for top in storage.iterdir()
            if top.name != "incoming"
            for _, _, names in os.walk(top)
            for name in names
        )

    def events(self) -> int:
        """Events in the queue that every stage starts from."""
        with open_event_log(self.settings) as log:
            return sum(mark.high for mark in log.watermarks(STORAGE_QUEUE).values())

    def settle(self, objects: int, seconds: float) -> None:
        """Every object under its name and its event in the event log."""
        deadline = time.monotonic() + seconds
        while (events := self.events()) != objects:
            if time.monotonic() > deadline:
                raise SystemFailedError(f"{self.name}: {events} events for {objects} objects")
            time.sleep(_POLL_SECONDS)
        super().settle(objects, max(1.0, deadline - time.monotonic()))


class Pynetdicom(Server):
    """A stock Storage SCP with the documented handler."""

    name = "pynetdicom"

    def command(self) -> Sequence[str]:
        self._out.mkdir()
        program = Path(__file__).with_name("stock_scp.py")
        return [sys.executable, str(program), str(self.port), str(self._out)]

    def stored(self) -> int:
        return sum(1 for _ in self._out.iterdir())

    @property
    def _out(self) -> Path:
        return self.folder / "out"


class Storescp(Server):
    """DCMTK's storescp, a process for each association."""

    name = "storescp"
    program = "storescp"

    def command(self) -> Sequence[str]:
        self._out.mkdir()
        return [self.program, "--fork", "-od", str(self._out), str(self.port)]

    def stored(self) -> int:
        return sum(1 for _ in self._out.iterdir())

    @property
    def _out(self) -> Path:
        return self.folder / "out"


class Orthanc(Server):
    """Orthanc as it comes: built-in defaults but for ports and folders."""

    name = "orthanc"
    program = "Orthanc"
    called = "ORTHANC"

    def command(self) -> Sequence[str]:
        self._http = free_port()
        configuration = self.folder / "orthanc.json"
        configuration.write_text(
            json.dumps(
                {
                    "StorageDirectory": str(self.folder / "storage"),
                    "IndexDirectory": str(self.folder / "storage"),
                    "DicomAet": self.called,
                    "DicomPort": self.port,
                    "HttpPort": self._http,
                    "DicomAlwaysAllowStore": True,
                }
            )
        )
        return [found(self.program) or self.program, str(configuration)]

    def stored(self) -> int:
        address = f"http://127.0.0.1:{self._http}/statistics"
        with urllib.request.urlopen(address, timeout=60) as response:
            return int(json.load(response)["CountInstances"])


def system(name: str) -> Server:
    """A system by its name; a variant is ``dicom-pipeline:public`` or ``…:NAME=VALUE+NAME=VALUE``.

    Raises:
        ValueError: there is no such system or variant.
    """
    first, _, variant = name.partition(":")
    if first == "dicom-pipeline":
        server = pipeline(variant)
        server.overrides = {**_PROCESSES, **server.overrides}
        return server
    classes = {each.name: each for each in (Pynetdicom, Storescp, Orthanc)}
    if first not in classes or variant:
        raise ValueError(f"no system {name!r}: use dicom-pipeline, {', '.join(classes)}")
    return classes[first]()


def pipeline(variant: str, overrides: Mapping[str, str] | None = None) -> DicomPipeline:
    """Our receiver with the settings of a variant, and further ones.

    Raises:
        ValueError: there is no such variant.
    """
    if variant and variant not in VARIANTS and "=" not in variant:
        raise ValueError(f"no variant {variant!r}: use {', '.join(VARIANTS)} or NAME=VALUE")
    pairs = dict(pair.split("=", 1) for pair in variant.split("+") if "=" in pair)
    return DicomPipeline({**VARIANTS.get(variant, pairs), **(overrides or {})}, variant)


SYSTEMS: Final = ("dicom-pipeline", "pynetdicom", "storescp", "orthanc")


def found(program: str) -> str | None:
    """Where a program is; Debian puts Orthanc where only root's path leads."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
