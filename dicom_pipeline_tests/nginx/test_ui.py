"""The Dagster UI behind nginx: for operators only, with websockets, and not for other sites."""

import socket

import pytest

from dicom_pipeline_tests.nginx.asking import by
from dicom_pipeline_tests.services.nginx import PASSWORD, running_nginx

pytestmark = pytest.mark.service


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        (None, "", 401),
        ("olga", PASSWORD, 200),
        ("olga", "guessed", 401),
        ("alice", PASSWORD, 403),
    ],
)
def test_it_is_for_operators_only(nginx, user, password, status):
    for method in ("GET", "POST"):
        for path in ("/", "/graphql", "/runs/1"):
            answer = nginx.ask(path, ui=True, method=method, **by(user, password))
            assert answer.status == status


def test_it_is_told_who_asks_and_not_the_password(nginx, upstream):
    nginx.ask("/runs?q=1", ui=True, X_Forwarded_For="10.9.9.9", **by("olga"))
    line, headers = upstream.requests[-1]
    assert line == "GET /runs?q=1 HTTP/1.1"
    assert "Authorization" not in headers
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "https"
    assert headers["Host"] == f"127.0.0.1:{nginx.ui_port}"


def upgrade(nginx, connection, **headers):
    """Ask for a websocket; returns the status line."""
    lines = [
        "GET /graphql HTTP/1.1",
        f"Host: 127.0.0.1:{nginx.ui_port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n") and (data := connection.recv(1)):
        answer += data
    return answer.partition(b"\r\n")[0]


@pytest.fixture
def connection(nginx):
    with (
        socket.create_connection(("127.0.0.1", nginx.ui_port), 10) as plain,
        nginx.trusting().wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        yield secure


def test_websockets_pass(nginx, connection):
    own = f"https://127.0.0.1:{nginx.ui_port}"
    assert b" 101 " in upgrade(nginx, connection, Origin=own, **by("olga"))
    for message in (b"hello", b"again"):
        connection.sendall(message)
        assert connection.recv(100) == message


def test_websockets_need_an_operator(nginx, connection):
    assert b" 401 " in upgrade(nginx, connection)


def test_websockets_of_other_sites_are_refused(nginx, connection):
    assert b" 403 " in upgrade(nginx, connection, Origin="https://evil.example", **by("olga"))


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/graphql", {"Origin": "https://evil.example"}, 403),
        ("/graphql", {"Origin": "null"}, 403),
        ("/graphql?query=mutation", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("/graphql?query=mutation", {"Sec_Fetch_Site": "same-site"}, 403),
        (
            "/graphql?query=mutation",
            {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
            403,
        ),
        ("/runs/1", {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 200),
        ("/graphql", {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}, 200),
    ],
)
def test_other_sites_cannot_use_an_operators_password(nginx, path, headers, status):
    """GraphQL takes mutations from the query of a GET, and a browser adds the password to it."""
    assert nginx.ask(path, ui=True, **headers, **by("olga")).status == status


def test_the_ui_itself_may_ask(nginx):
    own = f"https://127.0.0.1:{nginx.ui_port}"
    answer = nginx.ask("/graphql", ui=True, method="POST", Origin=own, **by("olga"))
    assert answer.status == 200


def test_tenants_data_are_not_on_its_port(nginx, upstream):
    nginx.ask("/manifests/north/studies.json", ui=True, **by("olga"))
    assert upstream.requests[-1][0] == "GET /manifests/north/studies.json HTTP/1.1"


def test_without_a_ui_its_port_is_closed():
    with running_nginx() as nginx, pytest.raises(ConnectionRefusedError):
        nginx.ask("/", ui=True)
