"""A Docker Engine of the tests' own: data and socket in folders of theirs, no trace on the machine.

Images are kept from one run to the next, in a cache of the user; everything else goes at the end.
Builds run in the machine's network, because they fetch packages. What is started runs in a network
namespace, which holds Docker's bridges and firewall rules; the machine itself is "outside".
"""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dicom_pipeline_tests.services.server import ServerProcess

SEARCH_PATH = f"/usr/bin:/usr/sbin:/sbin:{os.environ.get('PATH', '')}"
PROGRAMS = ("dockerd", "docker", "docker-compose", "debootstrap", "ip", "nsenter", "iptables")
NAMESPACE = f"dicom-{os.getpid()}"
HOST_ADDRESS = "10.79.143.1"
"""Where the outside finds the published ports."""
OUTSIDE_ADDRESS = "10.79.143.2"
"""The outside's own address."""
COMMAND_SECONDS = 900


def cache_folder() -> Path:
    """What is kept from one run of the tests to the next."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "dicom-pipeline-tests" / "docker"


class Engine(ServerProcess):
    """A Docker daemon.

    Args:
        folder: for its socket and log; a short path.
        namespace: the network namespace it works in; None: the machine's, which it leaves alone.
    """

    name = "Docker Engine"
    start_seconds = 60

    def __init__(self, folder: Path, namespace: str | None) -> None:
        super().__init__(folder)
        self.socket = folder / "docker.sock"
        self._namespace = namespace

    def command(self) -> list[str]:
        alone = ["--iptables=false", "--ip-forward=false", "--ip-masq=false"]
        inside = ["nsenter", f"--net=/var/run/netns/{self._namespace}"]
        return [
            *(inside if self._namespace else []),
            "dockerd",
            f"--data-root={cache_folder() / 'engine'}",
            f"--exec-root={self.folder / 'exec'}",
            f"--pidfile={self.folder / 'pid'}",
            f"--host=unix://{self.socket}",
            "--bridge=none",
            "--userland-proxy=false",
            *([] if self._namespace else alone),
        ]

    def answers(self) -> bool:
        return self._run("docker", "info", check=False).returncode == 0

    def stop(self) -> None:
        """Shut it down, and take away the mount that it leaves in its folder."""
        super().stop()
        self._run("umount", str(self.folder / "exec" / "netns" / "default"), check=False)

    def docker(self, *arguments: str, **more: object) -> str:
        """What the command `docker` prints."""
        return self._run("docker", *arguments, **more).stdout

    def compose(self, *arguments: str, **more: object) -> str:
        """What `docker-compose` prints."""
        return self._run("docker-compose", *arguments, **more).stdout

    def build(self, context: Path, file: str, tag: str, *options: str, **arguments: str) -> None:
        """Build an image as on a machine without BuildKit."""
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        self.docker(
            *("build", "--quiet", "--network=host", f"--file={context / file}", f"--tag={tag}"),
            *(*options, *given),
            str(context),
        )

    def containers(self, *options: str) -> list[dict]:
        """Every container, running or not, as `docker inspect` describes it."""
        names = self.docker("ps", "--all", "--quiet", *options).split()
        return json.loads(self.docker("inspect", *names)) if names else []

    def clear(self) -> None:
        """Leave nothing but images."""
        if names := self.docker("ps", "--all", "--quiet").split():
            self.docker("rm", "--force", "--volumes", *names)
        if names := self.docker("volume", "ls", "--quiet").split():
            self.docker("volume", "rm", "--force", *names)
        self.docker("network", "prune", "--force")

    def _run(
        self, *command: str, check: bool = True, **more: object
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            env={
                **os.environ,
                "PATH": SEARCH_PATH,
                "DOCKER_HOST": f"unix://{self.socket}",
                "DOCKER_BUILDKIT": "0",
                "COMPOSE_DOCKER_CLI_BUILD": "0",
            },
            **more,
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done


@contextmanager
def running_engine(*, outside: bool = False) -> Iterator[Engine]:
    """An engine; with ``outside`` in a namespace that the machine reaches at `HOST_ADDRESS`."""
    if os.geteuid() != 0:
        pytest.skip("a Docker Engine of one's own needs root")
    if missing := [name for name in PROGRAMS if not shutil.which(name, path=SEARCH_PATH)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    cache_folder().mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo:
        lock = undo.enter_context((cache_folder() / "lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = undo.enter_context(
            tempfile.TemporaryDirectory(prefix="docker-", ignore_cleanup_errors=True)
        )
        if outside:
            undo.enter_context(_namespace())
        engine = Engine(Path(folder), NAMESPACE if outside else None)
        undo.callback(engine.stop)
        engine.start()
        engine.clear()
        undo.callback(engine.clear)
        yield engine


@contextmanager
def _namespace() -> Iterator[None]:
    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    inner, outer = f"in{os.getpid()}"[:15], f"out{os.getpid()}"[:15]
    ip("netns", "add", NAMESPACE)
    try:
        ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", NAMESPACE)
        ip("address", "add", f"{OUTSIDE_ADDRESS}/30", "dev", outer)
        ip("link", "set", outer, "up")
        ip("-netns", NAMESPACE, "address", "add", f"{HOST_ADDRESS}/30", "dev", inner)
        ip("-netns", NAMESPACE, "link", "set", inner, "up")
        ip("-netns", NAMESPACE, "link", "set", "lo", "up")
        ip("-netns", NAMESPACE, "route", "add", "default", "via", OUTSIDE_ADDRESS)
        yield
    finally:
        ip("netns", "delete", NAMESPACE)
