"""Ports: which are free, and whether a server answers."""

import http.client
import socket
from typing import Final

_PROBE_SECONDS: Final = 1.0


def free_port(host: str) -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.create_server((host, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there."""
    try:
        with socket.create_server((host, port)):
            return True
    except OSError:
        return False


def answers(host: str, port: int) -> bool:
    """Whether somebody accepts TCP connections there."""
    try:
        with socket.create_connection((reachable(host), port), _PROBE_SECONDS):
            return True
    except OSError:
        return False


def ui_answers(host: str, port: int) -> bool:
    """Whether the Dagster UI serves requests."""
    connection = http.client.HTTPConnection(reachable(host), port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/server_info")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def reachable(host: str) -> str:
    """The address under which this machine reaches a server that listens on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
