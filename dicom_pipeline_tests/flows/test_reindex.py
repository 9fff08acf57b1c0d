"""Catalog and warehouse rebuilt from the storage root alone hold what they held before."""

import time

import pytest

from dicom_pipeline.cli.progress import unfinished_receipts
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.flow import open_flow
from dicom_pipeline_tests.hostile import REFUSED, all_cases
from dicom_pipeline_tests.receiver.objects import CT, EXPLICIT, encode_dataset
from dicom_pipeline_tests.receiver.scu import associated, send
from dicom_pipeline_tests.reindexing.rebuilding import (
    forget_tables,
    reindex,
    without_what_is_lost,
)
from receiver.server import Receiver
from receiver.statuses import Status

pytestmark = pytest.mark.service

CHINESE = {"PatientID": "病人一", "PatientName": "张^三", "SpecificCharacterSet": "GB18030"}
HOSTILE = [case for case in all_cases() if case.expected != REFUSED and len(case.data_set) < 4096][
    ::2
]
GIGABYTE = 1 << 30


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
