"""What can be held of docker/ without a Docker Engine."""

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.utils import parse_env_var

PROJECT = Path(__file__).resolve().parents[2]
DOCKER = PROJECT / "docker"
COMPOSE = DOCKER / "compose.yaml"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile")) + sorted(
    Path(__file__).parent.glob("*.Dockerfile")
)
PINNED = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)
NOT_OURS = {"kafka", "mysql", "postgres", "redis", "doris-fe", "doris-be"}


def pins(name):
    """Package and version pairs of a lock file."""
    return set(PINNED.findall((PROJECT / name).read_text(encoding="utf-8")))


@pytest.fixture
def environment(tmp_path):
    """The variables that make-env writes for the profile `full`."""
    done = make_env(tmp_path, "full")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def make_env(folder, profile, *, engine=True):
    socket_file = folder / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        if engine and not socket_file.exists():
            listening.bind(str(socket_file))
    return subprocess.run(
        [DOCKER / "make-env", profile, folder],
        env={"PATH": os.environ["PATH"], "DOCKER_SOCKET": str(socket_file)},
        capture_output=True,
        text=True,
        check=False,
    )


def services(environment):
    """The services of the compose file, with anchors, merges and variables resolved."""
    text = re.sub(
        r"(?<!\$)\$\{(\w+)(?::[-?]([^}]*))?\}",
        lambda found: environment.get(found[1]) or found[2] or "",
        COMPOSE.read_text(encoding="utf-8"),
    )
    return yaml.safe_load(text)["services"]


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing_in_a_dockerfile(file):
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, file], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.service
@pytest.mark.parametrize("profile", ["core", "full"])
def test_docker_compose_takes_the_file(tmp_path, profile):
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    make_env(tmp_path, profile)
    command = [program, f"--env-file={tmp_path}/.env", f"--file={COMPOSE}", "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "variable is not set" not in done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) >= {"receiver-1", "receiver-2", "nginx"}


@pytest.mark.parametrize("name", ["docker/receiver.lock", "docker/dagster.lock"])
def test_an_images_packages_are_those_that_were_tested(name):
    assert pins(name) <= pins("requirements.lock")


def test_the_receiver_runs_with_its_own_packages_alone():
    """Whatever else the environment has cannot be imported."""
    allowed = sorted(name for name, _ in pins("docker/receiver.lock"))
    code = f"""
import importlib.metadata as metadata, re, sys
plain = lambda name: re.sub("[-_.]+", "-", name).lower()
allowed = set({allowed!r}) | {{"dicom-pipeline"}}
others = {{
    module
    for module, owners in metadata.packages_distributions().items()
    if not allowed & set(map(plain, owners))
}}
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in others:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refusing())
import pkgutil, receiver
import dicom_pipeline.event_log.kafka
import dicom_pipeline.backups.sqlite_copies  # docs/docker.md: the copy of an outbox
for module in pkgutil.walk_packages(receiver.__path__, "receiver."):
    __import__(module.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_only_nginx_publishes_ports_and_only_it_is_in_front(environment):
    parts = services(environment)
    assert {name for name, part in parts.items() if "ports" in part} == {"nginx"}
    assert {name for name, part in parts.items() if "front" in part["networks"]} == {"nginx"}


def test_every_part_has_limits_and_no_rights_to_spare(environment):
    for name, part in services(environment).items():
        assert {"mem_limit", "cpus", "pids_limit", "logging"} <= part.keys(), name
        assert part["cap_drop"] == ["ALL"], name
        assert part["security_opt"] == ["no-new-privileges:true"], name
        assert part["profiles"], name
        assert name in NOT_OURS or part["read_only"] is True, name


def test_no_file_of_ours_names_a_registry_or_a_password():
    for file in (COMPOSE, DOCKER / "dagster.yaml", *DOCKERFILES):
        text = file.read_text(encoding="utf-8")
        images = re.findall(r"(?:image:|_IMAGE=|:-)\s*\$?\{?(?:\w+:-)?([\w./-]+:[\w.-]+)\}?", text)
        assert not [image for image in images if "." in image.split("/")[0].split(":")[0]]
    parts = services({})
    secrets = [
        f"{name}.{variable}={value}"
        for name, part in parts.items()
        for variable, value in (part.get("environment") or {}).items()
        if variable.endswith("PASSWORD") and value and not str(value).startswith("run ")
    ]
    assert secrets == []


def test_a_run_gets_the_environment_of_the_daemon_by_name_and_the_volumes_of_the_stack(environment):
    instance = yaml.safe_load((DOCKER / "dagster.yaml").read_text(encoding="utf-8"))
    given = instance["run_launcher"]["config"]
    parts = services(environment)
    assert not [name for name in given["env_vars"] if "=" in name]
    assert set(given["env_vars"]) == parts["daemon"]["environment"].keys()
    compose = yaml.safe_load(re.sub(r"\$\{[^}]*\}", "x", COMPOSE.read_text(encoding="utf-8")))
    names = {key: volume["name"] for key, volume in compose["volumes"].items()}
    named = [v.split(":", 1) for v in parts["code-server"]["volumes"] if v.split(":")[0] in names]
    assert given["container_kwargs"]["volumes"] == [f"{names[k]}:{rest}" for k, rest in named]
    assert given["network"] == compose["networks"]["back"]["name"]


def test_dagster_takes_the_instances_file(environment, tmp_path, monkeypatch):
    """All but the storage, which would want a PostgreSQL."""
    instance = yaml.safe_load((DOCKER / "dagster.yaml").read_text(encoding="utf-8"))
    del instance["storage"]
    for part in ("local_artifact_storage", "compute_logs"):
        instance[part]["config"]["base_dir"] = str(tmp_path / part)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(instance))
    for name, value in services(environment)["daemon"]["environment"].items():
        monkeypatch.setenv(name, str(value if value is not None else ""))
    with DagsterInstance.from_config(str(tmp_path)) as loaded:
        launcher = loaded.run_launcher
        assert type(launcher).__name__ == "DockerRunLauncher"
        assert launcher.supports_check_run_worker_health
        assert launcher.image == "dicom-pipeline-dagster"
        assert loaded.run_monitoring_enabled
        for name in launcher.env_vars:
            parse_env_var(name)


def test_make_env_writes_other_passwords_each_time_for_its_owner_alone(tmp_path, environment):
    file = tmp_path / ".env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secrets = {name: value for name, value in environment.items() if name.endswith("PASSWORD")}
    assert len(secrets) == len(set(secrets.values())) == 6
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in secrets.values())
    other = tmp_path / "other"
    other.mkdir()
    make_env(other, "core")
    assert not [value for value in secrets.values() if value in (other / ".env").read_text()]


def test_make_env_never_writes_over_passwords(tmp_path, environment):
    before = (tmp_path / ".env").read_text()
    done = make_env(tmp_path, "core")
    assert done.returncode == 1
    assert "is there" in done.stderr
    assert (tmp_path / ".env").read_text() == before


def test_make_env_says_so_when_it_must_guess_the_group_of_the_socket(tmp_path):
    done = make_env(tmp_path, "core", engine=False)
    assert done.returncode == 0
    (group,) = re.findall(r"^DOCKER_GROUP=([0-9]+)$", (tmp_path / ".env").read_text(), re.MULTILINE)
    assert f"DOCKER_GROUP={group} is a guess" in done.stderr


def test_the_profile_core_keeps_warehouse_and_cache_embedded(tmp_path):
    make_env(tmp_path, "core")
    text = (tmp_path / ".env").read_text()
    assert "COMPOSE_PROFILES=core\n" in text
    assert "\nWAREHOUSE_URL=\n" in text
    assert "\nCACHE_URL=\n" in text


def test_a_build_sees_no_secret():
    ignored = (PROJECT / ".dockerignore").read_text().split()
    assert ignored.index("docker/.env") > ignored.index("!docker")
    assert ignored.index("docker/tls") > ignored.index("!docker")
    assert "docker" not in {line.strip("/") for line in ignored if not line.startswith("!")}


class Answering(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/well" else 503)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_the_probe_tells_a_well_server_from_an_ill_one_and_from_none():
    def probe(target):
        return subprocess.run([sys.executable, DOCKER / "probe", target], check=False).returncode

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        assert probe(f"http://{address}/well") == 0
        assert probe(f"http://{address}/ill") == 1
        assert probe(address) == 0
        server.shutdown()
    assert probe(address) == 1
    assert probe(f"http://{address}/well") == 1
