"""One nginx per file of tests, with a little of everything to serve."""

import pytest

from dicom_pipeline_tests.nginx.upstream import Upstream
from dicom_pipeline_tests.services.nginx import running_nginx

OBJECT = "20240101/1.2/1.3/1.4"
ALLOWED_ORIGIN = "https://viewer.example.org"


@pytest.fixture(scope="module")
def upstream():
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def nginx(upstream):
    with running_nginx(
        NGINX_UI_UPSTREAM=f"127.0.0.1:{upstream.port}",
        NGINX_CORS_ORIGINS=ALLOWED_ORIGIN,
        NGINX_HSTS_SECONDS="600",
    ) as server:
        for tenant in ("north", "south"):
            write(server.storage / tenant / f"{OBJECT}.dcm", b"object of %s" % tenant.encode())
            write(server.storage / tenant / f"{OBJECT}~17.dcm", b"its version")
            write(server.renditions / tenant / f"{OBJECT}.dcm", b"display copy")
            write(server.renditions / tenant / f"{OBJECT}.mp4", bytes(range(256)))
            write(server.renditions / tenant / "20240101/1.2/1.3/.1.4.dcm.partial", b"half")
            write(server.manifests / tenant / "studies.json", b'{"tenant": "%s"}' % tenant.encode())
            write(server.manifests / tenant / "1.2.json", b"{}")
        write(server.storage / "incoming/node/trace.dcm", b"not acknowledged")
        write(server.storage / f"incoming/{OBJECT}.dcm", b"not acknowledged")
        write(server.viewer / "index.html", b"<!doctype html>")
        write(server.viewer / "main.js", b"1;")
        write(server.viewer / "codecs/openjpegwasm_decode.wasm", b"\0asm")
        write(server.viewer / ".built", b"")
        yield server


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
