"""Reaching servers, and comparing clocks."""

import socket
import time
from datetime import UTC, datetime, timedelta

import pytest

from dicom_pipeline.cli.checks.check import Verdict
from dicom_pipeline.cli.checks.clocks import clock_check, verdict
from dicom_pipeline.cli.checks.reach import Address, reachable
from dicom_pipeline.cli.network import free_port


@pytest.fixture
def there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Address("127.0.0.1", server.getsockname()[1])


def silent() -> Address:
    return Address("127.0.0.1", free_port("127.0.0.1"))


def test_an_address_that_answers_is_ok(there):
    (check,) = reachable("teapot", [there], "TEAPOT_URL")
    assert check.verdict is Verdict.OK


def test_one_of_several_that_is_away_is_a_warning_that_names_it(there):
    away = silent()
    (check,) = reachable("teapot", [there, away], "TEAPOT_URL")
    assert check.verdict is Verdict.WARN
    assert str(away) in check.found
    assert str(there) not in check.found


def test_nobody_there_fails_at_once_and_names_the_setting():
    started = time.monotonic()
    (check,) = reachable("teapot", [silent(), silent()], "TEAPOT_URL")
    assert check.verdict is Verdict.FAIL
    assert "TEAPOT_URL" in check.remedy
    assert time.monotonic() - started < 3


def test_a_name_that_nobody_knows_fails():
    (check,) = reachable("teapot", [Address("no-such-host.invalid", 1)], "TEAPOT_URL")
    assert check.verdict is Verdict.FAIL


def test_the_same_clock_is_ok():
    assert clock_check("teapot", lambda: datetime.now(UTC)).verdict is Verdict.OK


@pytest.mark.parametrize(("seconds", "expected"), [(5, Verdict.WARN), (-400, Verdict.FAIL)])
def test_another_clock_is_named_by_how_far_it_is_off(seconds, expected):
    check = clock_check("teapot", lambda: datetime.now(UTC) + timedelta(seconds=seconds))
    assert check.verdict is expected
    assert ("ahead" if seconds > 0 else "behind") in check.found
    assert "NTP" in check.remedy


def test_a_time_without_a_zone_is_utc():
    assert clock_check("teapot", lambda: datetime.now(UTC).replace(tzinfo=None)).found


def test_a_slow_answer_is_no_skew():
    assert verdict("teapot", skew=1.5, uncertain=1.0).verdict is Verdict.OK
