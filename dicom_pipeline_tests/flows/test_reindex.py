"""Catalog and warehouse rebuilt from the storage root alone hold what they held before."""

import os
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack

import pytest

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.cli.progress import unfinished_receipts
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import open_warehouse
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.flow import dump_tables, open_flow
from dicom_pipeline_tests.hostile import REFUSED, all_cases
from dicom_pipeline_tests.modality import Modality
from dicom_pipeline_tests.receiver.objects import CT, EXPLICIT, encode_dataset
from dicom_pipeline_tests.receiver.scu import associated, send
from dicom_pipeline_tests.reindexing.rebuilding import (
    forget_tables,
    reindex,
    without_what_is_lost,
)
from dicom_pipeline_tests.services.doris import DorisDouble
from dicom_pipeline_tests.stack import RunningStack
from receiver.server import Receiver
from receiver.statuses import Status

pytestmark = [
    pytest.mark.service,
    pytest.mark.filterwarnings("ignore:Invalid value for VR DA:UserWarning"),
]

CHINESE = {"PatientID": "病人一", "PatientName": "张^三", "SpecificCharacterSet": "GB18030"}
HOSTILE = [case for case in all_cases() if case.expected != REFUSED and len(case.data_set) < 4096][
    ::2
]
GIGABYTE = 1 << 30
CATCH_UP_SECONDS = 240


def images():
    """Good ones, the same once more, the same UID with other bytes, and an impossible date."""
    first = an_image(1)
    yield from (first, an_image(2, **CHINESE), first, an_image(1, InstanceNumber=7))
    yield an_image(2, StudyInstanceUID="1.2.3.4", PatientID="P2", StudyDate="20261399")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home that a receiver has filled over the wire."""
    home = tmp_path_factory.mktemp("reindex")
    settings = Settings(
        dicom_pipeline_home=home,
        worker_node_id="node-1",
        receiver_port=0,
        receiver_min_free_bytes=0,
    )
    receiver = Receiver(settings)
    receiver.start()
    try:
        for ds in images():
            with associated(receiver, [(CT, [EXPLICIT])]) as association:
                status, _ = send(association, encode_dataset(ds), str(ds.SOPInstanceUID), CT)
                assert status == Status.SUCCESS.code
            wait_until_finished(settings)
        for case in HOSTILE:
            with associated(receiver, [(case.sop_class_uid, [case.syntax])]) as association:
                send(association, case.data_set, case.sop_instance_uid, case.sop_class_uid)
    finally:
        receiver.stop()
    return home


def wait_until_finished(settings):
    """The same bytes are a duplicate only once the first receipt has ended."""
    deadline = time.monotonic() + 10
    while unfinished_receipts(settings):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_tables_are_row_by_row_what_the_original_flow_has_made(home):
    with open_flow(home, worker_memory_bytes=2 * GIGABYTE) as flow:
        flow.run_all()
        before = flow.dump()
        receipts = flow.warehouse.query("SELECT * FROM dicom_object_meta")
        renditions = rendition_files(flow)
    assert len(before["storage_record"]) == len(HOSTILE) + len(list(images())) - 1
    assert before["dicom_conversion_record"]
    forget_tables(home)
    for path in renditions:
        path.unlink()
    with open_flow(home, worker_memory_bytes=2 * GIGABYTE) as flow:
        counts = reindex(flow.settings, flow.log)
        assert counts.good
        assert counts.events == len(before["storage_record"])
        flow.run_all()
        after = flow.dump()
        assert rendition_files(flow) == renditions
        assert flow.dead_letters() == []
        expected = without_what_is_lost(before, {"dicom_object_meta": receipts})
        assert len(expected["dicom_object_meta"]) == len(before["dicom_object_meta"]) - 1
        for table, rows in expected.items():
            assert after[table] == rows, table

        reindex(flow.settings, flow.log)  # onto tables that have everything
        flow.run_all()
        assert flow.dump() == after


def rendition_files(flow):
    return sorted(path for path in flow.settings.renditions.rglob("*") if path.is_file())


def test_kafka_mariadb_and_doris_are_rebuilt_alike(kafka_broker, mariadb, tmp_path):
    if not kafka_broker.running():
        kafka_broker.start()
    with DorisDouble() as doris, ExitStack() as undo:

        def new_servers():
            return {
                "event_log_url": kafka_broker.url(f"reindex-{uuid.uuid4().hex[:8]}."),
                "catalog_url": undo.enter_context(mariadb.fresh_database()),
                "warehouse_url": doris.url(doris.new_database()),
            }

        with open_flow(tmp_path / "home", **new_servers()) as flow:
            for ds in images():
                flow.receive_dataset(ds, tmp_path)
            for case in HOSTILE:
                uids = map(str, (case.sop_class_uid, case.sop_instance_uid, case.syntax))
                assert flow.receive(case.data_set, *uids) is Status.SUCCESS
            flow.run_all()
            before = flow.dump()
            receipts = flow.warehouse.query("SELECT * FROM dicom_object_meta")
        with open_flow(tmp_path / "home", **new_servers()) as flow:
            assert reindex(flow.settings, flow.log).good
            flow.run_all()
            after = flow.dump()
    expected = without_what_is_lost(before, {"dicom_object_meta": receipts})
    assert len(expected["dicom_object_meta"]) == len(before["dicom_object_meta"]) - 1
    for table, rows in expected.items():
        assert after[table] == rows, table


def tables_of(settings):
    with open_catalog(settings) as catalog, open_warehouse(settings) as warehouse:
        return dump_tables(catalog, warehouse)


@pytest.mark.timeout(600)
def test_the_command_rebuilds_what_a_running_group_has_lost(tmp_path):
    home = tmp_path / "home"
    with RunningStack(home) as stack:
        modality = Modality(lambda: stack.receiver_port, [an_image(n) for n in range(8)], 50)
        modality.start()
        modality.join(60)
        stack.wait_until_caught_up(CATCH_UP_SECONDS)
        before = tables_of(stack.settings)
    assert len(before["rendition"]) == 8
    forget_tables(home)  # the cursors of the sensors stay, and are of queues that are gone
    with RunningStack(home) as stack:
        done = subprocess.run(
            [sys.executable, "-c", "from dicom_pipeline.cli import main; main()", "reindex"],
            env={**os.environ, "DICOM_PIPELINE_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=CATCH_UP_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "8 of 8 files were published again" in done.stdout
        assert not any(stack.left().values())
        assert tables_of(stack.settings) == before
