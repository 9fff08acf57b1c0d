"""Who gets what: the page for everybody, each tenant's data for its own users, nothing else."""

import socket
import ssl

import psutil
import pytest

from dicom_pipeline_tests.nginx.asking import by
from dicom_pipeline_tests.nginx.conftest import ALLOWED_ORIGIN, OBJECT
from dicom_pipeline_tests.services.nginx import PASSWORD, running_nginx

pytestmark = pytest.mark.service

DATA = [
    f"/objects/north/{OBJECT}.dcm",
    f"/objects/north/{OBJECT}~17.dcm",
    f"/renditions/north/{OBJECT}.dcm",
    f"/renditions/north/{OBJECT}.mp4",
    "/manifests/north/studies.json",
    "/manifests/north/1.2.json",
]


@pytest.mark.parametrize("path", DATA)
@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        (None, "", 401),
        ("alice", PASSWORD, 200),
        ("bob", PASSWORD, 403),
        ("olga", PASSWORD, 403),
        ("alice", "guessed", 401),
        ("bob", "guessed", 401),
        ("nobody", PASSWORD, 401),
        ("ALICE", PASSWORD, 401),
    ],
)
def test_a_tenants_data_are_for_its_own_users(nginx, path, user, password, status):
    assert nginx.ask(path, **by(user, password)).status == status


@pytest.mark.parametrize("area", ["objects", "renditions", "manifests"])
def test_only_its_own_users_learn_what_a_tenant_does_not_have(nginx, area):
    for path in (f"/{area}/north/", f"/{area}/north/1.2.9.json", f"/{area}/north/a/.b"):
        assert nginx.ask(path).status == 401
        assert nginx.ask(path, **by("bob")).status == 403
        assert nginx.ask(path, **by("alice")).status == 404


def test_the_prompt_names_the_tenant(nginx):
    answer = nginx.ask("/manifests/north/studies.json")
    assert answer.headers["www-authenticate"] == 'Basic realm="north"'


def test_everybody_may_have_the_page(nginx):
    for path, target in [
        ("/", "/viewer/"),
        ("/viewer", "/viewer/"),
        ("/?tenant=north", "/viewer/?tenant=north"),
    ]:
        answer = nginx.ask(path)
        assert (answer.status, answer.headers["location"]) == (302, target)
    assert nginx.ask("/viewer/").body == b"<!doctype html>"


@pytest.mark.parametrize(
    "path",
    [
        f"/objects/incoming/{OBJECT}.dcm",
        "/objects/incoming/node/trace.dcm",
        f"/objects/north/../incoming/{OBJECT}.dcm",
        f"/objects/north/%2e%2e/incoming/{OBJECT}.dcm",
        f"/objects/north%2f..%2fincoming/{OBJECT}.dcm",
        f"/objects//incoming/{OBJECT}.dcm",
        f"/OBJECTS/north/{OBJECT}.dcm",
        f"/objects/NORTH/{OBJECT}.dcm",
        f"/renditions/north/{OBJECT}.dcm%00.mp4",
        "/renditions/north/20240101/1.2/1.3/.1.4.dcm.partial",
        "/viewer/.built",
        "/viewer../users/passwords",
        "/viewer/../users/passwords",
        "/viewer/%2e%2e/users/passwords",
        "/viewer/..%2fusers/passwords",
        "/manifests/north/../../users/passwords",
        "/../users/passwords",
        "//etc/passwd",
        "/objects/north/%2fetc%2fpasswd",
        "/-/granted",
        "/metrics",
        "/nginx_status",
        "/graphql",
        "/objects",
        "/objects/",
    ],
)
def test_nobody_gets_anything_else(nginx, path):
    for user in (None, "alice"):
        answer = nginx.ask(path, **by(user))
        assert answer.status in {400, 401, 404}
        assert b"acknowledged" not in answer.body


def test_detours_end_at_the_tenant_that_they_lead_to(nginx):
    for detour in ("..", "%2e%2e"):
        path = f"/objects/north/{detour}/south/{OBJECT}.dcm"
        assert nginx.ask(path, **by("alice")).status == 403
        assert nginx.ask(path, **by("bob")).body == b"object of south"


def test_videos_come_in_byte_ranges(nginx):
    path = f"/renditions/north/{OBJECT}.mp4"
    answer = nginx.ask(path, Range="bytes=16-19", **by("alice"))
    assert (answer.status, answer.body) == (206, bytes([16, 17, 18, 19]))
    assert answer.headers["content-range"] == "bytes 16-19/256"
    assert nginx.ask(path, Range="bytes=900-", **by("alice")).status == 416


@pytest.mark.parametrize(
    ("path", "media_type", "cache_control"),
    [
        (DATA[0], "application/dicom", "private, max-age=31536000, immutable"),
        (DATA[2], "application/dicom", "private, no-cache"),
        (DATA[3], "video/mp4", "private, no-cache"),
        (DATA[4], "application/json", "private, no-cache"),
        ("/viewer/", "text/html; charset=utf-8", "no-cache"),
        ("/viewer/main.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/viewer/codecs/openjpegwasm_decode.wasm", "application/wasm", "no-cache"),
    ],
)
def test_browsers_are_told_what_it_is_and_how_long_it_keeps(nginx, path, media_type, cache_control):
    headers = nginx.ask(path, **by("alice")).headers
    assert (headers["content-type"], headers["cache-control"]) == (media_type, cache_control)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["strict-transport-security"] == "max-age=600"
    assert "default-src 'none'" in headers["content-security-policy"]
    again = nginx.ask(path, If_None_Match=headers["etag"], **by("alice"))
    assert (again.status, again.body) == (304, b"")


def test_errors_are_not_kept(nginx):
    for user in (None, "bob"):
        assert "cache-control" not in nginx.ask(DATA[0], **by(user)).headers


def test_viewers_of_named_origins_may_read(nginx):
    headers = nginx.ask(DATA[0], Origin=ALLOWED_ORIGIN, **by("alice")).headers
    assert headers["access-control-allow-origin"] == ALLOWED_ORIGIN
    assert headers["access-control-allow-credentials"] == "true"
    assert "Content-Range" in headers["access-control-expose-headers"]
    preflight = nginx.ask(DATA[0], method="OPTIONS", Origin=ALLOWED_ORIGIN)
    assert preflight.status == 204
    assert "Range" in preflight.headers["access-control-allow-headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", f"{ALLOWED_ORIGIN}.evil", "null"])
def test_pages_of_other_origins_may_not(nginx, origin):
    for method in ("GET", "OPTIONS"):
        headers = nginx.ask(DATA[0], method=method, Origin=origin, **by("alice")).headers
        assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_nothing_can_be_changed(nginx, method):
    assert nginx.ask(DATA[0], method=method, **by("alice")).status == 405


def test_only_the_documented_ports_are_open(nginx):
    master = psutil.Process(nginx.pid)
    family = [master, *master.children(recursive=True)]
    listening = {
        (one.laddr.ip, one.laddr.port)
        for each in family
        for one in each.net_connections()
        if one.status == psutil.CONN_LISTEN
    }
    ports = {nginx.https_port, nginx.ui_port, nginx.dicom_port}
    assert listening == {("127.0.0.1", port) for port in ports}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_tls_is_refused(nginx):
    context = nginx.trusting()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", nginx.https_port), 10) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_the_log_names_users_and_paths_and_no_queries(nginx):
    nginx.ask("/viewer/?study=1.2.3.4&name=Wang", Referer="https://ris/?Li", **by("alice"))
    nginx.ask(DATA[0], **by("alice"))
    log = nginx.access_log.read_text()
    assert "127.0.0.1 alice [" in log
    assert DATA[0] in log
    for secret in ("1.2.3.4", "Wang", "Li", PASSWORD):
        assert secret not in log


def test_an_address_that_asks_too_often_is_told_so():
    with running_nginx(NGINX_REQUESTS_PER_SECOND="1") as nginx:
        answers = [nginx.ask("/viewer/").status for _ in range(12)]
    assert answers[0] != 429
    assert answers[-1] == 429
