"""A warehouse in Doris, as the doctor sees it."""

import pytest

from dicom_pipeline.cli.checks.check import Verdict
from dicom_pipeline.cli.network import free_port
from dicom_pipeline.warehouse import open_warehouse
from dicom_pipeline_tests.cli.checks.looking import found, settings_in
from dicom_pipeline_tests.warehouse.adapters import shared_double

SYSTEM = "warehouse"


@pytest.fixture
def chosen(tmp_path):
    double = shared_double()
    database = double.new_database()
    yield settings_in(tmp_path, warehouse_url=double.url(database))
    double.catalog.drop(database)


def test_a_warehouse_that_is_not_migrated_says_so_and_a_migrated_one_is_all_right(chosen):
    before = found(chosen, SYSTEM)["schema"]
    assert before.verdict is Verdict.FAIL
    with open_warehouse(chosen) as warehouse:
        warehouse.migrate()
    assert {one.verdict for one in found(chosen, SYSTEM).values()} == {Verdict.OK}


def test_frontends_that_are_away_fail(tmp_path):
    away = f"doris://user:s3cret@127.0.0.1:{free_port('127.0.0.1')}/images"
    done = found(settings_in(tmp_path, warehouse_url=away), SYSTEM)
    assert [one.verdict for one in done.values()] == [Verdict.FAIL]


def test_a_wrong_url_fails_without_being_repeated(tmp_path):
    done = found(settings_in(tmp_path, warehouse_url="teapot://u:s3cret@host/x"), SYSTEM)
    assert done["configuration"].verdict is Verdict.FAIL
    assert "s3cret" not in str(done)
