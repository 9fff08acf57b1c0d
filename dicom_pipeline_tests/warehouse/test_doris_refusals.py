"""Loads that are refused: told by cause, without values; and credentials, sent to friends only."""

import json

import pytest

from dicom_pipeline.errors import ConfigurationError, PermanentError, TransientError
from dicom_pipeline.warehouse import IMAGE
from dicom_pipeline.warehouse.doris.adapter import DorisWarehouse
from dicom_pipeline_tests.services.doris import faults
from dicom_pipeline_tests.services.doris.cluster import PASSWORD, USER
from dicom_pipeline_tests.services.doris.loading import Loaded
from dicom_pipeline_tests.warehouse.clusters import fresh_warehouse, held, images
from dicom_pipeline_tests.warehouse.samples import trace

pytestmark = pytest.mark.service


@pytest.fixture
def warehouse(doris):
    return doris


# What is refused


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("[INTERNAL_ERROR]tablet error: -235, too many versions", TransientError),
        ("[MEM_LIMIT_EXCEEDED]PreCatch error", TransientError),
        ("[E-3113]disk hang", TransientError),
        ("errCode = 2, detailMessage = transaction timeout", TransientError),
        ("[ANALYSIS_ERROR]unknown table, tableName=dicom_image", TransientError),
        ("[ACCESS_DENIED]Access denied; you need LOAD privilege", ConfigurationError),
        ("[ANALYSIS_ERROR]Duplicate column in COLUMNS", PermanentError),
    ],
)
def test_a_failed_load_is_tried_again_only_when_that_may_help(warehouse, cluster, message, error):
    cluster.faults.add(faults.FAIL, message)
    with pytest.raises(error) as refusal:
        warehouse.load(IMAGE, images(1), "range")
    assert type(refusal.value) is error
    assert message.partition("]")[0].lstrip("[") in str(refusal.value)
    warehouse.load(IMAGE, images(1), "range")
    assert held(warehouse) == 1


def test_what_a_failure_quotes_of_the_rows_is_not_repeated(warehouse, cluster):
    cluster.faults.add(
        faults.FAIL, '[DATA_QUALITY_ERROR]Encountered unqualified data, src line [{"a": "Zhang"}]'
    )
    with pytest.raises(PermanentError, match="Encountered unqualified data") as refusal:
        warehouse.load(IMAGE, images(1), "range")
    assert "Zhang" not in str(refusal.value)


def test_refused_rows_are_told_with_column_cause_and_receipt_but_without_values(
    warehouse, cluster, monkeypatch
):
    """As if the table were older than the program: what we think fits does not."""
    table = cluster.catalog[warehouse.options.database].table(IMAGE)
    narrow = [
        column
        if column.name != "image_comments"
        else type(column)("image_comments", "VARCHAR", 4, True)
        for column in table.columns
    ]
    monkeypatch.setattr(table, "columns", narrow)
    rows = images(3, image_comments="ok")
    rows[1]["image_comments"] = "张伟^三"
    with pytest.raises(PermanentError) as refusal:
        warehouse.load(IMAGE, rows, "range")
    said = str(refusal.value)
    assert "1 of 3 rows were refused: column image_comments: too long: 10 bytes" in said
    assert trace(1) in said
    assert "张伟" not in said
    assert held(warehouse) == 0


def test_a_load_that_leaves_rows_out_without_saying_so_does_not_pass(warehouse, monkeypatch):
    monkeypatch.setattr("dicom_pipeline_tests.services.doris.loading.Loader.read", _every_other_row)
    with pytest.raises(PermanentError, match="2 of 3 rows were loaded"):
        warehouse.load(IMAGE, images(3), "range")


def _every_other_row(self, lines):
    return Loaded([self._row(json.loads(line)) for n, line in enumerate(lines) if n != 1])


@pytest.mark.parametrize("status", [500, 503])
def test_a_frontend_out_of_order_is_a_matter_for_later(warehouse, cluster, status):
    cluster.faults.add(faults.STATUS, status)
    with pytest.raises(TransientError, match=f"HTTP status {status}"):
        warehouse.load(IMAGE, images(1), "range")


# Credentials


def test_the_password_goes_to_frontends_and_to_backends_that_the_cluster_names(warehouse, cluster):
    warehouse.load(IMAGE, images(1), "range")
    assert [host.rsplit(".", 1)[0] for host, _ in cluster.asked] == ["127.0.0", "127.0.1"]
    assert all(headers["Authorization"].startswith("Basic ") for _, headers in cluster.asked)
    assert all(headers["Expect"] == "100-continue" for _, headers in cluster.asked)


def test_a_backend_that_joins_later_is_trusted(warehouse, cluster, monkeypatch):
    monkeypatch.setattr(warehouse, "_backends", frozenset({"127.0.9.9"}))
    warehouse.load(IMAGE, images(1), "range")
    assert held(warehouse) == 1


def test_a_redirect_to_a_stranger_is_not_followed(warehouse, cluster):
    cluster.faults.add(faults.REFUSED_QUERY, "Access denied; you need NODE privilege")
    with pytest.raises(ConfigurationError, match=r"127\.0\.1\.\d.*trusted_hosts") as refusal:
        warehouse.load(IMAGE, images(1), "range")
    assert len(cluster.asked) == 1
    assert PASSWORD not in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_a_host_of_the_allow_list_is_trusted(cluster):
    hosts = ",".join(backend.host for backend in cluster.backends)
    with fresh_warehouse(cluster, trusted_hosts=hosts) as warehouse:
        cluster.statements.clear()
        warehouse.load(IMAGE, images(1), "range")
        assert "SHOW BACKENDS" not in cluster.statements


def test_a_wrong_password_is_told_without_it(cluster):
    url = cluster.url(cluster.new_database()).replace(USER, "nobody")
    with DorisWarehouse(url) as warehouse:
        for call in (
            lambda: warehouse.query("SELECT 1"),
            lambda: warehouse.load(IMAGE, images(1), "range"),
        ):
            with pytest.raises(ConfigurationError, match="nobody") as refusal:
                call()
            assert "s3cret" not in str(refusal.value)
