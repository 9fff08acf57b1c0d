"""The main job through the wire, the real Dagster daemon and the real run launcher."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.cli.sending import Destination, read_outgoing, send_files
from dicom_pipeline.demo.accounting import Acknowledged, missing
from dicom_pipeline.warehouse import open_warehouse
from dicom_pipeline_tests.dagster_ui import graphql, re_execute, runs, statuses_at_the_end
from dicom_pipeline_tests.flow import dump_tables
from dicom_pipeline_tests.stack import RunningStack

FILES = [
    "CT_small.dcm",
    "MR_small.dcm",
    "JPEG2000.dcm",
    "JPEG-lossy.dcm",
    "SC_rgb_rle.dcm",
    "reportsi.dcm",
    "waveform_ecg.dcm",
]
CATCH_UP_SECONDS = 240

LAUNCH = """
mutation ($config: RunConfigData!) {
  launchRun(executionParams: {
    selector: {
      repositoryLocationName: "dicom_pipeline"
      repositoryName: "__repository__"
      jobName: "backfill_job"
    }
    runConfigData: $config
  }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
  }
}
"""
LINKS = """
{ assetNodes(assetKeys: [{path: ["catalog", "rendition"]}]) { assetMaterializations(limit: 1) {
  metadataEntries { label ... on UrlMetadataEntry { url } }
} } }
"""
LINEAGE = "{ assetNodes { assetKey { path } dependencyKeys { path } } }"

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with RunningStack(tmp_path_factory.mktemp("main") / "home", worker_node_id="node-1") as stack:
        stack.acknowledged = send(stack)
        stack.wait_until_caught_up(CATCH_UP_SECONDS)
        yield stack


def send(stack, names=FILES):
    paths = [Path(get_testdata_file(name, download=False)) for name in names]
    outgoing = [read_outgoing(path) for path in paths]
    answers = []
    destination = Destination("127.0.0.1", stack.receiver_port, "DICOM_PIPELINE", "MODALITY")
    send_files([one for one in outgoing if one], destination, jobs=2, answered=answers.append)
    return [
        Acknowledged(answer.outgoing.sop_uid, "default") for answer in answers if answer.accepted
    ]


def tables(stack):
    with open_catalog(stack.settings) as catalog, open_warehouse(stack.settings) as warehouse:
        return dump_tables(catalog, warehouse)


def test_every_acknowledged_object_is_stored_indexed_and_decided(stack):
    assert len(stack.acknowledged) >= 5
    assert missing(stack.settings, stack.acknowledged) == []


def test_lag_is_zero_once_everything_is_done(stack):
    assert not any(stack.left().values())


def test_re_executing_every_run_changes_no_table(stack):
    before = tables(stack)
    done = runs(stack)
    assert {run["pipelineName"] for run in done} >= {
        "storage_job",
        "index_job",
        "renditions_job",
        "object_meta_job",
    }
    for run in done:
        re_execute(stack, run["runId"])
    assert statuses_at_the_end(stack, CATCH_UP_SECONDS) == {"SUCCESS"}
    stack.wait_until_caught_up(CATCH_UP_SECONDS)
    assert tables(stack) == before


def fetched(stack, path):
    with urllib.request.urlopen(f"{stack.info.viewer}{path}", timeout=30) as response:
        return response.headers["content-type"], response.read()


def test_the_file_server_has_every_study_with_the_files_that_its_manifest_names(stack):
    stack.wait_until_manifests_are_written(CATCH_UP_SECONDS)
    _, answer = fetched(stack, "/manifests/default/studies.json")
    listed = json.loads(answer)["studies"]
    opened, passed_over = {}, set()
    for one in listed:
        _, answer = fetched(stack, f"/manifests/default/{one['manifest']}")
        (study,) = json.loads(answer)["studies"]
        for entry in (entry for series in study["series"] for entry in series["instances"]):
            opened.setdefault(entry["metadata"]["SOPInstanceUID"], entry["url"])
        for entry in (entry for series in study["not_shown"] for entry in series["instances"]):
            passed_over.add(entry["metadata"]["SOPInstanceUID"])
    assert {*opened, *passed_over} == {one.sop_uid for one in stack.acknowledged}
    assert len(opened) >= 3
    roots = {"objects": stack.settings.storage, "renditions": stack.settings.renditions}
    for url in opened.values():
        path = url.removeprefix("dicomweb:")
        content_type, content = fetched(stack, path)
        _, root, relative = path.split("/", 2)
        assert content_type == "application/dicom"
        assert content == (roots[root] / relative).read_bytes()


def test_the_renditions_link_to_the_viewer(stack):
    (node,) = graphql(stack, LINKS)["assetNodes"]
    entries = node["assetMaterializations"][0]["metadataEntries"]
    (url,) = [entry["url"] for entry in entries if entry["label"] == "viewer"]
    assert url.startswith(f"{stack.info.viewer}/viewer/?tenant=default")


def test_the_ui_shows_the_lineage_from_the_receiver_to_the_tables(stack):
    parents = {
        "/".join(node["assetKey"]["path"]): {
            "/".join(key["path"]) for key in node["dependencyKeys"]
        }
        for node in graphql(stack, LINEAGE)["assetNodes"]
    }
    assert parents["queues/index_queue"] == {"receiver/received_objects"}
    assert parents["warehouse/dicom_image"] == {"queues/index_queue"}


def test_a_failed_conversion_comes_back_from_the_launchpad_and_the_command_line(stack):
    send(stack, ["MR_truncated.dcm"])
    stack.wait_until_caught_up(CATCH_UP_SECONDS)
    with open_warehouse(stack.settings) as warehouse:
        (failed,) = warehouse.query(
            "SELECT file_path FROM dicom_object_meta WHERE transfer_status = 'Failed'"
        )
    config = {"codes": ["truncated"], "dry_run": True}
    launched = {"ops": {"send_failed_conversions_again": {"config": config}}}
    answer = graphql(stack, LAUNCH, config=launched)["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    assert statuses_at_the_end(stack, CATCH_UP_SECONDS) == {"SUCCESS"}
    assert stack.left()["renditions"] == 0, "a dry run sends nothing"
    with (stack.settings.storage / failed["file_path"]).open("ab") as file:
        file.write(bytes(62))  # what was missing
    assert "1 of 1 recovered" in backfill(stack, "--code", "truncated")
    assert "no failed conversion" in backfill(stack, "--code", "truncated")


def backfill(stack, *options):
    """What the command says when it has succeeded."""
    program = [sys.executable, "-c", "from dicom_pipeline.cli import main; main()", "backfill"]
    home = {"DICOM_PIPELINE_HOME": str(stack.settings.home)}
    done = subprocess.run(
        [*program, *options],
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        timeout=CATCH_UP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
