"""Monitoring and balancers are answered on 127.0.0.1, whatever strangers do meanwhile."""

import http.client
import json
import logging
import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from socketserver import ThreadingMixIn

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from dicom_pipeline.errors import ConfigurationError
from receiver import http as server_module
from receiver import recent
from receiver.http import HttpServer
from receiver.metrics import Metrics
from receiver.readiness import Problem

pytestmark = pytest.mark.service

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(autouse=True)
def _servers_stop_soon(monkeypatch):
    monkeypatch.setattr(server_module, "_POLL_SECONDS", 0.01)


@contextmanager
def serving(*, metrics=None, alive=None, ready=None, host="127.0.0.1"):
    server = HttpServer(host, 0, metrics=metrics or Metrics(), alive=alive or {}, ready=ready or {})
    port = server.start()
    try:
        yield port
    finally:
        server.stop()


def ask(port, path, method="GET", headers=None, body=None):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, headers=headers or {}, body=body)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def raw(port, request):
    """What comes back for these bytes, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError:
            return b""


def test_metrics_come_as_plain_text_unless_asked_otherwise():
    with serving() as port:
        status, headers, body = ask(port, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"# TYPE dicom_receiver_objects_total counter" in body


def test_metrics_come_as_openmetrics_when_asked_for():
    with serving() as port:
        status, headers, body = ask(port, "/metrics", headers={"Accept": OPENMETRICS})
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name for family in text_string_to_metric_families(body.decode())}
    assert "dicom_receiver_objects" in families


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/openmetrics-text; version=x", "text/plain; version=", ";=,"]
)
def test_an_odd_wish_for_a_format_gets_plain_text(accept):
    with serving() as port:
        status, headers, _ = ask(port, "/metrics", headers={"Accept": accept})
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")


def test_a_wish_cannot_write_headers_of_the_answer():
    with serving() as port:
        answer = raw(
            port,
            b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=2.0.0\r\n"
            b" Set-Cookie: forged=1\r\n\r\n",
        )
    head = answer.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.0 200")
    assert all(not line.lstrip().startswith(b"Set-Cookie") for line in head.split(b"\r\n"))


def test_health_is_good_while_all_threads_live():
    with serving(alive={"outbox": lambda: True}) as port:
        status, headers, body = ask(port, "/healthz")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"status": "alive"}


def test_health_names_the_threads_that_are_dead():
    def fails():
        raise RuntimeError

    threads = {"outbox": lambda: False, "forwarder": lambda: True, "finisher": fails}
    with serving(alive=threads) as port:
        status, _, body = ask(port, "/healthz")
    assert status == 503
    assert json.loads(body) == {
        "status": "dead",
        "dead": ["finisher", "outbox"],
        "remedy": "restart the receiver",
    }


def test_ready_is_when_every_check_passes():
    with serving(ready={"disk": lambda: None}) as port:
        status, _, body = ask(port, "/readyz")
    assert (status, json.loads(body)) == (200, {"status": "ready"})


def test_not_ready_lists_the_failed_checks_and_what_to_do():
    checks = {"listening": lambda: None, "disk": lambda: Problem("it is full", "free some space")}
    with serving(ready=checks) as port:
        status, _, body = ask(port, "/readyz")
    assert status == 503
    assert json.loads(body) == {
        "status": "not ready",
        "failed": {"disk": {"reason": "it is full", "remedy": "free some space"}},
    }


def test_the_checks_are_not_made_for_every_question():
    calls = []
    with serving(ready={"disk": lambda: calls.append(1)}) as port:
        for _ in range(10):
            ask(port, "/readyz")
    assert 1 <= len(calls) < 10


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz/x", "/../metrics", "/Metrics"])
def test_there_is_nothing_else(path):
    with serving() as port:
        assert ask(port, path)[0] == 404


def test_a_query_is_ignored():
    with serving() as port:
        assert ask(port, "/healthz?verbose=1")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "ODD"])
def test_other_methods_are_refused(method):
    with serving() as port:
        status, headers, _ = ask(port, "/metrics", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_head_is_get_without_the_body():
    with serving() as port:
        status, headers, body = ask(port, "/metrics", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 1000


def test_the_answer_does_not_say_which_python_this_is():
    with serving() as port:
        assert ask(port, "/healthz")[1]["Server"] == "dicom-receiver"


def test_a_large_request_is_dropped_at_once(monkeypatch):
    monkeypatch.setattr(server_module, "_REQUEST_SECONDS", 60)
    with serving() as port:
        assert raw(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000) == b""
        assert ask(port, "/healthz")[0] == 200


def test_a_slow_request_is_dropped_though_it_trickles(monkeypatch):
    monkeypatch.setattr(server_module, "_REQUEST_SECONDS", 0.3)
    with serving() as port, socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
        slow.settimeout(0.05)
        started = time.monotonic()
        ended = False
        while not ended and time.monotonic() - started < 5:
            try:
                slow.sendall(b"G")
                ended = slow.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
        assert ended
        assert time.monotonic() - started < 3


@pytest.mark.parametrize("request_bytes", [b"\x16\x03\x01\x02\x00\r\n\r\n", b"\r\n\r\n", b"GET"])
def test_what_is_no_request_does_no_harm(request_bytes):
    with serving() as port:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(request_bytes)
            connection.shutdown(socket.SHUT_WR)
        assert ask(port, "/healthz")[0] == 200


def test_only_so_many_connections_are_held(monkeypatch):
    monkeypatch.setattr(server_module, "_CONNECTIONS", 2)
    with serving() as port, ExitStack() as idle:
        for _ in range(2):
            idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert raw(port, b"GET /healthz HTTP/1.0\r\n\r\n") == b""
        idle.close()
        deadline = time.monotonic() + 10
        while not raw(port, b"GET /healthz HTTP/1.0\r\n\r\n"):
            assert time.monotonic() < deadline


def test_a_connection_that_gets_no_thread_leaves_no_trace(monkeypatch):
    monkeypatch.setattr(server_module, "_CONNECTIONS", 1)
    with serving() as port:
        with monkeypatch.context() as patch:
            patch.setattr(ThreadingMixIn, "process_request", no_thread)
            assert raw(port, b"GET /healthz HTTP/1.0\r\n\r\n") == b""
        assert ask(port, "/healthz")[0] == 200


def no_thread(*_):
    raise RuntimeError("can't start new thread")


def test_a_disk_that_hangs_leaves_health_to_answer(monkeypatch):
    monkeypatch.setattr(recent, "_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(server_module, "_SLOW_REQUESTS", 2)
    hanging, go_on = threading.Event(), threading.Event()

    def hangs():
        hanging.set()
        go_on.wait(10)

    with serving(ready={"disk": hangs}) as port:
        first = threading.Thread(target=ask, args=(port, "/readyz"))
        first.start()
        try:
            assert hanging.wait(10)
            status, _, body = ask(port, "/readyz")
            assert status == 503
            assert b"take too long" in body
            assert ask(port, "/healthz")[0] == 200
        finally:
            go_on.set()
            first.join()


def test_too_many_scrapes_at_a_time_are_told_to_come_again(monkeypatch):
    monkeypatch.setattr(server_module, "_SLOW_REQUESTS", 1)
    hanging, go_on = threading.Event(), threading.Event()

    def hangs():
        hanging.set()
        go_on.wait(10)

    with serving(ready={"disk": hangs}) as port:
        first = threading.Thread(target=ask, args=(port, "/readyz"))
        first.start()
        try:
            assert hanging.wait(10)
            assert ask(port, "/metrics")[0] == 503
        finally:
            go_on.set()
            first.join()
        assert ask(port, "/metrics")[0] == 200


def test_requests_are_logged_at_debug_only(caplog):
    caplog.set_level(logging.DEBUG)
    with serving() as port:
        ask(port, "/healthz")
        raw(port, b"GET / HTTP/1.0\r\nX: " + b"x" * 100_000)
    assert caplog.records
    assert {record.levelname for record in caplog.records} == {"DEBUG"}


def test_a_port_in_use_is_told_with_the_setting_that_chooses_it():
    with serving() as port:
        second = HttpServer("127.0.0.1", port, metrics=Metrics(), alive={}, ready={})
        with pytest.raises(ConfigurationError, match="or set RECEIVER_HTTP_PORT"):
            second.start()
        second.stop()


@pytest.mark.parametrize("host", ["203.0.113.1", "x" * 64])
def test_an_address_that_is_not_ours_is_told(host):
    server = HttpServer(host, 0, metrics=Metrics(), alive={}, ready={})
    with pytest.raises(ConfigurationError, match="correct RECEIVER_HTTP_HOST"):
        server.start()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_ipv6_address_will_do():
    with (
        serving(host="::1") as port,
        closing(http.client.HTTPConnection("::1", port, timeout=10)) as connection,
    ):
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200


def test_nobody_is_answered_after_the_end():
    with serving() as port:
        assert ask(port, "/healthz")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
