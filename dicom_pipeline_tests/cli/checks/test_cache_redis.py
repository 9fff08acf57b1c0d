"""The cache in Redis, as the doctor sees it."""

import pytest

from dicom_pipeline.cli.checks.check import Verdict
from dicom_pipeline.cli.network import free_port
from dicom_pipeline_tests.cli.checks.looking import found, settings_in
from dicom_pipeline_tests.services.redis import PASSWORD, running_redis

SYSTEM = "cache"


@pytest.mark.service
def test_a_redis_that_serves_is_all_right_and_its_password_is_not_shown(tmp_path):
    with running_redis() as server:
        done = found(settings_in(tmp_path, cache_url=server.fresh_url()), SYSTEM)
        assert {"reachable", "rights", "version", "clock"} == set(done)
        assert {one.verdict for one in done.values()} == {Verdict.OK}
        assert PASSWORD not in str(done)
        foreign = server.fresh_url(prefix="not-ours")
        assert found(settings_in(tmp_path, cache_url=foreign), SYSTEM)["usable"].remedy


def test_one_that_is_away_is_a_warning_as_nothing_depends_on_it(tmp_path):
    away = settings_in(tmp_path, cache_url=f"redis://127.0.0.1:{free_port('127.0.0.1')}")
    assert found(away, SYSTEM)["usable"].verdict is Verdict.WARN


def test_in_process_it_is_always_there(tmp_path):
    assert found(settings_in(tmp_path), SYSTEM)["reachable"].verdict is Verdict.OK


def test_a_wrong_url_fails(tmp_path):
    done = found(settings_in(tmp_path, cache_url="teapot://u:s3cret@host"), SYSTEM)
    assert done["configuration"].verdict is Verdict.FAIL
    assert "s3cret" not in str(done)
