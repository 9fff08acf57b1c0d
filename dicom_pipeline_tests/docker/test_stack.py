"""The product as docker/compose.yaml starts it, from a modality outside to a browser outside.

What cannot be pulled is replaced: Debian's Kafka, MariaDB, PostgreSQL and Redis, Doris' double.
"""

import json
import re
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.docker.engine import HOST_ADDRESS, OUTSIDE_ADDRESS, running_engine
from dicom_pipeline_tests.docker.images import OURS, PROJECT, build_all
from dicom_pipeline_tests.docker.site import TENANTS, USER_ID, Site
from dicom_pipeline_tests.viewer.page import FLAGS, ViewerPage

PUBLISHED = {443, 8444, 11112}
FLOW_SECONDS = 900
STRAY_BITS = 0xF000
"""Bits above HighBit, which the viewer would show: such an object gets a display copy."""

pytestmark = [pytest.mark.docker, pytest.mark.service, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The running stack."""
    with running_engine() as engine:
        build_all(engine, tmp_path_factory.mktemp("build"))
    with running_engine(outside=True) as engine:
        site = Site(tmp_path_factory.mktemp("site"), engine)
        site.up()
        yield site


@pytest.fixture(scope="module")
def sent(site, tmp_path_factory):
    """What a modality of each tenant has sent through nginx: SOP instance UIDs by tenant."""
    folder = tmp_path_factory.mktemp("objects")
    sent = {}
    for number, (tenant, title) in enumerate(TENANTS.items()):
        path = folder / f"{tenant}.dcm"
        ds = an_image(
            number, StudyInstanceUID=f"1.2.3.{number}", SeriesInstanceUID=f"1.2.4.{number}"
        )
        pixels = np.frombuffer(ds.PixelData, np.uint16) | STRAY_BITS
        ds.PixelData = pixels.tobytes()
        ds.save_as(path, enforce_file_format=True)
        command = ["storescu", "-aet", title, "-aec", "DICOM_PIPELINE", HOST_ADDRESS, "11112", path]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        sent[tenant] = ds
    return sent


@pytest.fixture(scope="module")
def done(site, sent):
    """The same, once the page can show them."""

    def written():
        try:
            return (
                len(
                    site.execute(
                        "code-server", "find", "/data/manifests", "-name", "1.2.3.*"
                    ).split()
                )
                == 2
            )
        except RuntimeError:
            return False

    site.wait_for(written, FLOW_SECONDS, "manifests")
    return sent


@pytest.fixture(scope="module")
def passwords(site):
    return {tenant: site.add_user(tenant, f"doctor-{tenant}") for tenant in TENANTS}


def ask(site, path, user=None, password="", port=443, body=None):
    """Status and body of what nginx answers the outside."""
    request = urllib.request.Request(f"https://{HOST_ADDRESS}:{port}{path}", body)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    if user is not None:
        token = b64encode(f"{user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    context = ssl.create_default_context(cafile=site.ca_file)
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def rendition_path(site, tenant):
    ((path,),) = site.query(f"SELECT file_path FROM rendition WHERE tenant_id = '{tenant}'")
    return f"/renditions/{path}"


def test_nothing_of_ours_runs_as_root_or_may_gain_rights_or_change_its_image(site):
    for container in site.engine.containers():
        image = container["Config"]["Image"]
        if image not in {f"dicom-pipeline-{name}" for name in OURS}:
            continue
        host = container["HostConfig"]
        assert container["Config"]["User"] == f"{USER_ID}:{USER_ID}"
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert not host["Privileged"]
        assert host["ReadonlyRootfs"] or container["Name"].startswith("/dicom-pipeline_doris")
        assert host["Memory"]
        assert host["PidsLimit"]


def test_the_receivers_image_has_no_dagster_and_no_package_but_those_of_its_lock(site):
    listed = site.execute(
        *("receiver-1", "python3", "-c"),
        "import importlib.metadata as m, json;"
        "print(json.dumps([d.metadata['Name'].lower() for d in m.distributions()]))",
    )
    names = {re.sub("[-_.]+", "-", name) for name in json.loads(listed)}
    locked = re.findall(
        r"^([a-z0-9.-]+)==", (PROJECT / "docker/receiver.lock").read_text(), re.MULTILINE
    )
    assert names == {*locked, "dicom-pipeline"}
    assert "dagster" not in names


def test_only_nginx_and_the_dicom_port_are_open_to_the_outside(site):
    def is_open(port):
        with socket.socket() as probe:
            probe.settimeout(5)
            return probe.connect_ex((HOST_ADDRESS, port)) == 0

    with ThreadPoolExecutor(64) as pool:
        ports = range(1, 65536)
        found = {port for port, there in zip(ports, pool.map(is_open, ports), strict=True) if there}
    assert found == PUBLISHED


def test_the_event_names_the_true_address_of_the_modality(site, done):
    rows = site.query("SELECT tenant_id, source_ip FROM storage_record ORDER BY tenant_id")
    assert rows == [["north", OUTSIDE_ADDRESS], ["south", OUTSIDE_ADDRESS]]


def test_every_run_was_a_container_of_its_own_that_is_gone(site, done):
    password = site.add_user("--operator", "operator")
    query = "{ runsOrError { ... on Runs { results { status pipelineName tags { key value } } } } }"
    body = json.dumps({"query": query}).encode()

    def ended():
        status, answer = ask(site, "/graphql", "operator", password, 8444, body)
        assert status == 200
        runs = json.loads(answer)["data"]["runsOrError"]["results"]
        return runs if {run["status"] for run in runs} == {"SUCCESS"} else None

    runs = site.wait_for(ended, FLOW_SECONDS, "end of all runs")
    assert {"storage_job", "index_job", "renditions_job"} <= {run["pipelineName"] for run in runs}
    used = [t["value"] for run in runs for t in run["tags"] if t["key"] == "docker/container_id"]
    assert len(used) == len(set(used)) == len(runs)
    site.wait_for(
        lambda: not {c["Id"] for c in site.engine.containers()} & set(used), 60, "end of containers"
    )


def test_the_commands_work_beside_the_code_server_and_find_nothing_left(site, done):
    def caught_up():
        status = json.loads(site.execute("code-server", "dicom-pipeline", "status", "--json"))
        return not sum(queue["lag_messages"] for queue in status["queues"])

    site.wait_for(caught_up, FLOW_SECONDS, "end of the lag")


def test_the_ui_is_for_operators_only(site, passwords):
    assert ask(site, "/server_info", port=8444)[0] == 401
    assert ask(site, "/server_info", "doctor-north", passwords["north"], 8444)[0] == 403


@pytest.mark.parametrize("tenant", TENANTS)
def test_a_rendition_is_for_users_of_its_tenant_only(site, done, passwords, tenant):
    (other,) = TENANTS.keys() - {tenant}
    path = rendition_path(site, tenant)
    assert path.startswith(f"/renditions/{tenant}/")
    status, body = ask(site, path, f"doctor-{tenant}", passwords[tenant])
    assert (status, body[128:132]) == (200, b"DICM")
    assert ask(site, path)[0] == 401
    assert ask(site, path, f"doctor-{tenant}", "wrong")[0] == 401
    assert ask(site, path, f"doctor-{other}", passwords[other])[0] == 403


def test_a_browser_shows_the_rendition(site, done, passwords):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        context = browser.new_context(
            ignore_https_errors=True,
            http_credentials={"username": "doctor-north", "password": passwords["north"]},
        )
        page = ViewerPage(context.new_page(), f"https://{HOST_ADDRESS}")
        answers = {}
        page.page.on("response", lambda answer: answers.update({answer.url: answer.status}))
        page.open(tenant="north", study=done["north"].StudyInstanceUID)
        page.wait_for("shown", done["north"].SOPInstanceUID)
        assert np.ptp(page.pixels()) > 0
        browser.close()
    assert answers[f"https://{HOST_ADDRESS}{rendition_path(site, 'north')}"] in {200, 206}
    assert page.faults == []


def test_a_receiver_ends_in_order_when_it_is_told_to(site):
    site.compose("stop", "receiver-2")
    (container,) = site.engine.containers("--filter=name=receiver-2")
    assert container["State"]["ExitCode"] == 0
    assert '"receiver stopped"' in site.compose("logs", "receiver-2")
