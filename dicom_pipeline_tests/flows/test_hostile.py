"""Hostile objects, sent over the wire: each is refused with a status, or accounted for in full."""

import os
from pathlib import Path

import pytest

from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.flow import open_flow
from dicom_pipeline_tests.hostile import REFUSED, all_cases
from dicom_pipeline_tests.receiver.scu import associated, send
from receiver.server import Receiver
from receiver.statuses import Status

CASES = all_cases()
GIGABYTE = 1 << 30

pytestmark = pytest.mark.service


class Aftermath:
    """Every answer, and every row, once all stages have passed."""

    def __init__(self, answers, flow):
        self.answers = answers
        self.storage_root = flow.settings.storage
        self.rows = {
            table: flow.catalog.query(f"SELECT * FROM {table}")
            for table in ("storage_record", "instance", "rendition")
        } | {
            table: flow.warehouse.query(f"SELECT * FROM {table}")
            for table in ("dicom_object_meta", "dicom_image", "dicom_conversion_record")
        }
        self.dead_letters = flow.dead_letters()

    def row(self, table, case):
        (row,) = [row for row in self.rows[table] if row["sop_uid"] == case.sop_instance_uid]
        return row


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory):
    home = tmp_path_factory.mktemp("hostile")
    limits = {"worker_memory_bytes": 2 * GIGABYTE, "index_seconds_per_object": 30}
    settings = Settings(
        dicom_pipeline_home=home,
        worker_node_id="node-1",
        receiver_port=0,
        receiver_min_free_bytes=0,
    )
    receiver = Receiver(settings)
    receiver.start()
    try:
        answers = {case.name: answer_to(receiver, case) for case in CASES}
    finally:
        receiver.stop()
    with open_flow(home, **limits) as flow:
        flow.run_all(size=20)
        return Aftermath(answers, flow)


def answer_to(receiver, case):
    context = (case.abstract_syntax or case.sop_class_uid, [case.syntax])
    with associated(receiver, [context]) as association:
        status, comment = send(
            association, case.data_set, case.sop_instance_uid, case.sop_class_uid
        )
    assert len(comment) <= 64
    assert comment.isascii()
    return status


def test_there_are_at_least_thirty_hostile_inputs():
    assert len({case.name for case in CASES}) == len(CASES) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_hostile_input_is_answered_and_accounted_for(aftermath, case):
    status = aftermath.answers[case.name]
    if case.expected == REFUSED:
        assert case.status in {status, status >> 8}, hex(status)
        assert case.sop_instance_uid not in {
            row["sop_uid"] for row in aftermath.rows["storage_record"]
        } or case.name.startswith("command and data set")
        return
    assert status == Status.SUCCESS.code
    row = aftermath.row("instance", case)
    aftermath.row("dicom_image", case)
    rendition = aftermath.row("rendition", case)
    if case.error_code:
        assert rendition["error_code"] == case.error_code
    if case.finding:
        assert case.finding in row["findings"]
    meta = {
        row["transfer_status"]
        for row in aftermath.rows["dicom_object_meta"]
        if row["sop_uid"] == case.sop_instance_uid
    }
    assert meta
    assert "Pending" not in meta


def test_a_rendition_that_failed_has_a_conversion_record(aftermath):
    failed = {row["sop_uid"] for row in aftermath.rows["rendition"] if row["error_code"]}
    recorded = {row["sop_uid"] for row in aftermath.rows["dicom_conversion_record"]}
    assert failed
    assert failed <= recorded


def test_no_file_leaves_the_storage_root(aftermath):
    root = aftermath.storage_root
    outside = [
        path
        for path in root.parent.rglob("*.dcm")
        if not path.is_relative_to(root) and not path.is_relative_to(root.parent / "renditions")
    ]
    assert outside == []
    assert not Path("/etc/passwd.dcm").exists()
    stored = {row["file_path"] for row in aftermath.rows["storage_record"]}
    found = {os.path.relpath(path, root) for path in root.rglob("*.dcm")}
    assert found == stored


def test_nothing_became_a_dead_letter(aftermath):
    assert aftermath.dead_letters == []
