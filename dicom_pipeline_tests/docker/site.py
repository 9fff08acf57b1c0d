"""The stack of docker/compose.yaml on an engine, as an operator starts it."""

import os
import subprocess
import time
from pathlib import Path

import trustme

from dicom_pipeline_tests.docker.engine import HOST_ADDRESS, SEARCH_PATH, Engine
from dicom_pipeline_tests.docker.images import HERE, PROJECT

COMPOSE = PROJECT / "docker" / "compose.yaml"
OVERRIDE = HERE / "compose.override.yaml"
USER_ID = 10001
PARTS = ("nginx", "webserver", "daemon", "redis", "doris-fe")
"""All the others follow from what these depend on."""
TENANTS = {"north": "NORTH", "south": "SOUTH"}
"""Each tenant, and the AE title of its only modality."""


class Site:
    """Files of an installation, and the commands of its operator.

    Args:
        folder: for .env, peers and certificate.
        engine: where it runs.
    """

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder, self.engine = folder, engine
        self.authority = trustme.CA()
        self._write_files()

    def up(self) -> None:
        """Start everything, in the order of its health."""
        self.compose("up", "--detach", "--no-build", *PARTS)

    def compose(self, *arguments: str) -> str:
        return self.engine.compose(
            f"--env-file={self.folder / '.env'}",
            f"--file={COMPOSE}",
            f"--file={OVERRIDE}",
            *arguments,
        )

    def execute(self, service: str, *command: str) -> str:
        """What a command prints in a part's container."""
        return self.compose("exec", "-T", service, *command)

    def add_user(self, *who: str) -> str:
        """Give nginx a user; returns the password."""
        said = self.execute("nginx", "/opt/dicom-pipeline/nginx/users", "add", *who)
        return said.strip().rpartition(" ")[2]

    def query(self, sql: str) -> list[list[str]]:
        """Rows of the catalog."""
        client = 'MYSQL_PWD="$MYSQL_PASSWORD" exec mysql --host=127.0.0.1 --user=dicom --batch'
        said = self.execute(
            "mysql", "sh", "-c", f'{client} --skip-column-names "$MYSQL_DATABASE" -e "$0"', sql
        )
        return [line.split("\t") for line in said.splitlines()]

    def wait_for(self, reached, seconds: float, what: str):
        """What ``reached`` returns once it is true."""
        deadline = time.monotonic() + seconds
        while not (value := reached()):
            if time.monotonic() > deadline:
                logs = self.compose("logs", "--tail=30", "daemon", "code-server")
                raise AssertionError(f"no {what} after {seconds} s: {logs[-4000:]}")
            time.sleep(5)
        return value

    def _write_files(self) -> None:
        subprocess.run(
            [PROJECT / "docker" / "make-env", "full", self.folder],
            check=True,
            capture_output=True,
            env={"PATH": SEARCH_PATH, "DOCKER_SOCKET": str(self.engine.socket)},
        )
        certificate = self.authority.issue_cert(HOST_ADDRESS)
        tls = self.folder / "tls"
        tls.mkdir()
        certificate.private_key_pem.write_to_path(tls / "server.key")
        certificate.cert_chain_pems[0].write_to_path(tls / "server.crt")
        for path in (tls, *tls.iterdir()):
            os.chown(path, USER_ID, USER_ID)
        self.ca_file = self.folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca_file)
        peers = self.folder / "peers.toml"
        peers.write_text(
            "".join(
                f'[[peer]]\ntenant = "{tenant}"\nnetworks = ["0.0.0.0/0"]\ncalling_ae = "{title}"\n'
                for tenant, title in TENANTS.items()
            )
        )
        peers.chmod(0o644)
        for parent in (self.folder, *self.folder.parents[:2]):
            parent.chmod(parent.stat().st_mode | 0o011)  # the containers' user passes through
        choices = {
            "TLS_FOLDER": tls,
            "PEERS_FILE": peers,
            "TESTS": PROJECT / "dicom_pipeline_tests",
            "WORKER_PROCESSES": 1,
            "STREAM_RANGES_IN_FLIGHT": 1,
        }
        with (self.folder / ".env").open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in choices.items())
