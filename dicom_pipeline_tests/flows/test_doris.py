"""The stages with the warehouse in Doris (its double): the same rows, whatever is replayed."""

import json
import random

import pytest
from pydicom.data import get_testdata_file

from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.flow import WAREHOUSE_TABLES, open_flow
from dicom_pipeline_tests.services.doris import DorisDouble
from receiver.statuses import Status

pytestmark = pytest.mark.service

BUNDLED = ["MR_small_RLE.dcm", "JPEG-lossy.dcm", "reportsi.dcm", "MR_truncated.dcm"]

JSON_COLUMNS = {"tags", "procedure_codes"}
CHINESE = {
    "PatientID": "病人一",
    "StudyDescription": "胸部CT平扫",
    "StudyInstanceUID": "1.2.3.9",
    "SeriesInstanceUID": "1.2.3.9.1",
}


@pytest.fixture(scope="module")
def cluster():
    with DorisDouble() as double:
        yield double


def rows(warehouse, table):
    """Rows in an order of their own; JSON as what it says."""
    found = [
        {name: json.loads(str(v)) if name in JSON_COLUMNS and v else v for name, v in row.items()}
        for row in warehouse.query(f"SELECT * FROM {table}")
    ]
    return sorted(found, key=lambda row: repr([row[name] for name in sorted(row)]))


def send_everything(flow, folder):
    for name in BUNDLED:
        assert flow.receive_file(get_testdata_file(name, download=False)) is Status.SUCCESS
    for ds in (
        an_image(5, **CHINESE),
        an_image(5, **CHINESE),  # a duplicate
        an_image(1, InstanceNumber=7),  # the same UID with other bytes
        an_image(2, AccessionNumber="号" * 16),
    ):
        ds.SpecificCharacterSet = "ISO_IR 192"
        assert flow.receive_dataset(ds, folder) is Status.SUCCESS


def test_ranges_replayed_in_random_order_leave_every_table_as_it_was(cluster, tmp_path):
    url = cluster.url(cluster.new_database())
    with open_flow(tmp_path / "home", warehouse_url=url) as flow:
        send_everything(flow, tmp_path)
        ranges = flow.run_all(size=3)
        before = flow.dump()
        assert len(before["dicom_object_meta"]) == len(BUNDLED) + 4
        assert before["dicom_conversion_record"]
        for seed in range(2):
            random.Random(seed).shuffle(ranges)
            for stage, offsets in ranges:
                flow.run(stage, offsets)
            flow.run_all()
            assert flow.dump() == before
        assert flow.warehouse.query(
            "SELECT study_description FROM dicom_study WHERE patient_id = :id", id="病人一"
        ) == [{"study_description": "胸部CT平扫"}]


def test_what_doris_holds_is_what_the_embedded_warehouse_holds(cluster, tmp_path):
    """The same ranges, worked on once with each."""
    url = cluster.url(cluster.new_database())
    home = tmp_path / "home"
    with open_flow(home) as embedded:
        send_everything(embedded, tmp_path)
        ranges = embedded.run_all()
        with open_flow(home, warehouse_url=url) as doris:
            for stage, offsets in ranges:
                doris.run(stage, offsets)
            doris.run_all()
            for table in WAREHOUSE_TABLES:
                assert rows(doris.warehouse, table) == rows(embedded.warehouse, table), table
