"""What a running group says of itself, and the lock that keeps it alone on its home.

The group is described in ``<home>/stack.json`` while it runs, so that other commands and tests
find it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings


class StackInfo(msgspec.Struct, kw_only=True):
    """Where the running group is: the content of ``stack.json``."""

    pid: int
    """The supervisor: the process to send SIGTERM to."""
    keeper: int
    """The process that was started as `up`, the supervisor's parent."""
    home: str
    ui: str
    viewer: str
    """Base of the viewer's URLs."""
    receiver_host: str
    receiver_port: int
    """0: no receiver belongs to the group."""
    receiver_ae_title: str
    parts: dict[str, int]
    """Process id of each part."""
    prepared: bool
    """Whether queues and tables are there."""
    ready: bool


def info_file(settings: Settings) -> Path:
    """Where the running group is described."""
    return settings.home / "stack.json"


def read_info(settings: Settings) -> StackInfo | None:
    """What the running group says of itself; None when there is none."""
    try:
        return msgspec.json.decode(info_file(settings).read_bytes(), type=StackInfo)
    except FileNotFoundError:
        return None


@contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """Hold the home's lock: one group at a time.

    Raises:
        ConfigurationError: another group runs on this home.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ConfigurationError(
                f"home {home} is in use by process {lock.read().strip() or 'unknown'}: stop that "
                "`up` or `demo`, or choose another folder with DICOM_PIPELINE_HOME"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def addresses(info: StackInfo, seconds: float) -> str:
    """What a person needs to use the running group."""
    dicom = f"{info.receiver_ae_title} at {info.receiver_host}:{info.receiver_port}"
    return (
        f"[bold green]ready[/] after {seconds:.1f} s\n"
        f"  DICOM   {dicom if info.receiver_port else 'no receiver here'}\n"
        f"  UI      {info.ui}\n"
        f"  viewer  {info.viewer}/viewer/\n"
        f"  home    {info.home}   (logs in logs/)\n"
        "  Ctrl-C stops everything"
    )
