"""What an operator says in variables becomes a configuration that nginx takes, or is refused."""

import os
import subprocess

import pytest

from dicom_pipeline_tests.nginx.conftest import write
from dicom_pipeline_tests.services.nginx import SCRIPTS, Nginx, require_nginx

pytestmark = pytest.mark.service


@pytest.fixture
def nginx(tmp_path):
    require_nginx()
    return Nginx(tmp_path)


def configured(nginx, **variables):
    """The configuration that nginx has taken, all files of it."""
    nginx.variables |= variables
    done = nginx.run("configure")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return "".join(path.read_text() for path in (nginx.folder / "home").glob("*.conf"))


def test_nginx_takes_the_defaults_without_a_warning(nginx):
    text = configured(nginx)
    assert "@" not in text.replace("@-]", "")
    assert "hash $remote_addr consistent;" in text


def test_nginx_takes_everything_that_may_be_said(nginx):
    text = configured(
        nginx,
        NGINX_HTTPS_LISTEN="8443 [::1]:8443",
        NGINX_UI_UPSTREAM="webserver:3000",
        NGINX_RESOLVER="127.0.0.11",
        NGINX_DICOM_TLS_LISTEN="2762",
        NGINX_DICOM_BALANCE="least_conn",
        NGINX_DICOM_CONNECTIONS_PER_ADDRESS="8",
        NGINX_DICOM_CONNECTIONS="99",
        NGINX_REQUESTS_PER_SECOND="50",
        NGINX_WORKERS="3",
        NGINX_DICOM_BYTES_PER_SECOND="10000000",
        NGINX_CORS_ORIGINS="https://a.example http://b.example:3000",
        NGINX_HSTS_SECONDS="31536000",
        NGINX_RECEIVERS="[::1]:11112 10.0.0.9:11112",
    )
    for line in (
        "listen [::1]:8443 ssl",
        "least_conn;",
        "limit_conn senders 8;",
        "limit_conn dicom 99;",
        "rate=50r/s",
        "worker_processes 3;",
        "proxy_upload_rate 10000000;",
        '"http://b.example:3000" "http://b.example:3000";',
        'default "max-age=31536000";',
        "server [::1]:11112 max_fails",
    ):
        assert line in text


def test_the_users_that_there_are_are_kept(nginx):
    write(nginx.users / "grants", b'"north/alice" 1;\n')
    configured(nginx)
    assert (nginx.users / "grants").read_bytes() == b'"north/alice" 1;\n'


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NGINX_RECEIVERS", ""),
        ("NGINX_RECEIVERS", "receiver:11112"),
        ("NGINX_RECEIVERS", "10.0.0.1:1;} http {"),
        ("NGINX_HTTPS_LISTEN", "https"),
        ("NGINX_UI_UPSTREAM", "webserver"),
        ("NGINX_UI_UPSTREAM", "webserver:3000/$uri"),
        ("NGINX_DICOM_BALANCE", "random"),
        ("NGINX_CORS_ORIGINS", "*"),
        ("NGINX_CORS_ORIGINS", "https://a.example/path"),
        ("NGINX_HSTS_SECONDS", "a year"),
        ("NGINX_REQUESTS_PER_SECOND", "-1"),
        ("STORAGE_ROOT", ""),
        ("STORAGE_ROOT", "storage"),
        ("STORAGE_ROOT", "/data; autoindex on"),
        ("STORAGE_ROOT", "/data\n/other"),
        ("NGINX_TLS_CERTIFICATE", "/nowhere/server.pem"),
        ("NGINX_USERS", "/nowhere"),
    ],
)
def test_what_cannot_be_is_refused_by_name(nginx, variable, value):
    nginx.variables[variable] = value
    done = nginx.run("configure")
    assert done.returncode == 2
    assert variable in done.stderr
    assert not (nginx.folder / "home").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can let nginx's workers be somebody else")
def test_root_must_say_who_serves(nginx):
    nginx.variables["NGINX_WORKER_USER"] = ""
    done = nginx.run("configure")
    assert (done.returncode, "NGINX_WORKER_USER" in done.stderr) == (2, True)


def test_every_variable_is_documented():
    text = (SCRIPTS.parents[1] / "docs" / "nginx.md").read_text()
    chinese = (SCRIPTS.parents[1] / "docs" / "nginx.zh-CN.md").read_text()
    done = subprocess.run(
        ["grep", "-ohE", r"\$\{[A-Z_]+:-", *sorted(SCRIPTS.glob("[a-z]*[a-z]"))],
        capture_output=True,
        text=True,
        check=False,
    )
    names = {line[2:-2] for line in done.stdout.split()}
    assert len(names) > 15
    for name in names:
        assert f"`{name}`" in text
        assert f"`{name}`" in chinese
