"""The programs of the group on one machine, and the files that they need in the home folder."""

import shutil
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Final

from dicom_pipeline.cli.network import answers, free_port, port_is_free, ui_answers
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings
from dicom_pipeline.supervisor import Part

RECEIVER: Final = "receiver"
CODE_SERVER: Final = "code-server"
WEBSERVER: Final = "webserver"
DAEMON: Final = "daemon"
FILE_SERVER: Final = "file-server"

CODE_SERVER_THREADS: Final = 32
"""Each launch of a run holds one until the run's process works; sensors and the UI need others."""
CODE_SERVER_SECONDS: Final = 180
"""The code server's time for an answer."""


def receiver_file(settings: Settings) -> Path:
    """What a listening receiver writes about itself."""
    return settings.home / "receiver.json"


def fixed_ports(settings: Settings, *, receiver: bool) -> Settings:
    """The settings with free ports in the place of 0, so that a restarted part keeps its own.

    Without ``receiver`` its port is none of ours.

    Raises:
        ConfigurationError: a port is taken.
    """
    chosen = {}
    ours = {"ui_port": settings.ui_host, "viewer_port": settings.viewer_host}
    if receiver:
        ours["receiver_port"] = settings.receiver_host
    for name, host in ours.items():
        port = getattr(settings, name)
        if port and not port_is_free(host, port):
            raise ConfigurationError(
                f"{name.upper()}={port}: another program listens on {host}:{port}; "
                "stop it, choose another port, or 0 for a free one"
            )
        chosen[name] = port or free_port(host)
    return settings.model_copy(update=chosen)


def prepare_dagster_home(settings: Settings, code_server_port: int) -> None:
    """Write the Dagster instance's folder and the workspace that names the one code server.

    Raises:
        ConfigurationError: the file that ``DAGSTER_YAML`` names cannot be read.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    chosen = settings.dagster_yaml or _project_file("dagster.yaml")
    try:
        shutil.copyfile(chosen, home / "dagster.yaml")
    except OSError as error:
        raise ConfigurationError(
            f"DAGSTER_YAML={chosen}: the file cannot be read ({error.strerror}): correct the "
            "setting, or leave it empty for the product's own"
        ) from error
    workspace_file(settings).write_text(
        "# Written by `dicom-pipeline up`: webserver and daemon share one code server.\n"
        "load_from:\n"
        "  - grpc_server:\n"
        f"      host: 127.0.0.1\n      port: {code_server_port}\n"
        "      location_name: dicom_pipeline\n",
        encoding="utf-8",
    )


def workspace_file(settings: Settings) -> Path:
    """The workspace that webserver and daemon load."""
    return settings.home / "workspace.yaml"


def _project_file(name: str) -> Path:
    """A file of the project's root: inside the installed package, or beside it in a checkout."""
    package = Path(str(files("dicom_pipeline")))
    installed = package / name
    return installed if installed.is_file() else package.parent / name


def parts(
    settings: Settings, code_server_port: int, prepared: Callable[[], bool], *, receiver: bool
) -> list[Part]:
    """The programs of the group.

    Args:
        settings: with fixed ports.
        code_server_port: where the code server listens.
        prepared: whether queues and tables are there: Dagster's parts wait for them.
        receiver: whether it is one of the programs.
    """
    python = sys.executable
    environment = {
        "DICOM_PIPELINE_HOME": str(settings.home),
        "DAGSTER_HOME": str(settings.dagster_home),
        "RECEIVER_PORT": str(settings.receiver_port),
        "UI_PORT": str(settings.ui_port),
        "VIEWER_PORT": str(settings.viewer_port),
        "PYTHONUNBUFFERED": "1",
        # A busy machine may be slow to launch a run, and to look at a queue.
        "DAGSTER_GRPC_TIMEOUT_SECONDS": str(CODE_SERVER_SECONDS),
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": str(CODE_SERVER_SECONDS),
    }
    workspace = str(workspace_file(settings))
    code_server = ("api", "grpc", "--module-name", "dicom_pipeline.definitions")
    address = ("--host", "127.0.0.1", "--port", str(code_server_port))
    location = ("--location-name", "dicom_pipeline", "--max-workers", str(CODE_SERVER_THREADS))
    ui = ("--host", settings.ui_host, "--port", str(settings.ui_port))
    receiving = Part(
        RECEIVER,
        (python, "-m", "receiver"),
        environment,
        ready=lambda: (
            receiver_file(settings).exists()
            and answers(settings.receiver_host, settings.receiver_port)
        ),
    )
    return [
        *([receiving] if receiver else []),
        Part(
            FILE_SERVER,
            (python, "-c", "from dicom_pipeline.cli import main; main()", "serve"),
            environment,
            ready=lambda: answers(settings.viewer_host, settings.viewer_port),
        ),
        # It also creates the instance's tables: two processes on a fresh SQLite home would race.
        Part(
            CODE_SERVER,
            (python, "-m", "dagster", *code_server, *address, *location),
            environment,
            ready=lambda: answers("127.0.0.1", code_server_port),
            may_start=prepared,
        ),
        Part(
            DAEMON,
            (python, "-m", "dagster._daemon", "run", "--workspace", workspace),
            environment,
            after=(CODE_SERVER,),
        ),
        Part(
            WEBSERVER,
            (python, "-m", "dagster_webserver", "--workspace", workspace, *ui),
            environment,
            ready=lambda: ui_answers(settings.ui_host, settings.ui_port),
            after=(CODE_SERVER,),
        ),
    ]
