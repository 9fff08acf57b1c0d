"""The doctor as a whole: what it says, its exit code, what it leaves alone."""

import json
import threading
import time

import pytest

from dicom_pipeline.cli.checks import bounds, machine
from dicom_pipeline.cli.checks.bounds import bounded
from dicom_pipeline.cli.checks.check import Verdict, ok
from dicom_pipeline.cli.checks.doctor import SYSTEMS, run_doctor
from dicom_pipeline.cli.migration import migrate
from dicom_pipeline.errors import TransientError
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.cli.checks.looking import bad, files_in, settings_in


@pytest.mark.service
def test_a_fresh_machine_has_nothing_to_mend(tmp_path):
    assert bad(settings_in(tmp_path)) == []
    assert not (tmp_path / "home").exists()


@pytest.mark.service
def test_a_migrated_home_has_nothing_to_mend_and_is_not_changed(tmp_path):
    chosen = settings_in(tmp_path)
    list(migrate(chosen))
    before = files_in(chosen.home)
    assert bad(chosen) == []
    assert files_in(chosen.home) == before


@pytest.mark.service
def test_a_failed_check_is_the_exit_code_and_warnings_are_not(tmp_path, capsys):
    assert run_doctor(settings_in(tmp_path), as_json=True) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {one["system"] for one in shown} == set(SYSTEMS)
    assert all({"system", "name", "verdict", "found", "remedy"} == set(one) for one in shown)
    starved = settings_in(tmp_path, receiver_min_free_bytes=1 << 60)
    assert run_doctor(starved, as_json=False) == 1
    assert "storage root" in capsys.readouterr().out


def test_a_missing_codec_fails_and_names_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CODECS", {"no_such_module": "no-such-package"})
    (missing,) = [
        one for one in machine.check_machine(settings_in(tmp_path)) if one.verdict is Verdict.FAIL
    ]
    assert missing.remedy == "pip install no-such-package"


def test_a_system_that_hangs_is_said_so_after_its_time_with_what_came_before(tmp_path):
    released = threading.Event()

    def hanging(_):
        yield ok("teapot", "reachable", "yes")
        released.wait(30)

    started = time.monotonic()
    done = list(bounded("teapot", hanging, settings_in(tmp_path), seconds=0.2))
    released.set()
    assert time.monotonic() - started < 5
    assert [(one.name, one.verdict) for one in done] == [
        ("reachable", Verdict.OK),
        ("answers", Verdict.FAIL),
    ]


def test_an_error_of_ours_is_shown_and_one_of_a_library_only_by_its_type(tmp_path):
    def ours(_):
        raise TransientError("the disk is away: mount it")
        yield

    def theirs(_):
        raise ValueError("patient Doe^Jane")
        yield

    (said,) = bounded("teapot", ours, settings_in(tmp_path))
    assert said.found == "the disk is away: mount it"
    (said,) = bounded("teapot", theirs, settings_in(tmp_path))
    assert "ValueError" in said.found
    assert "Doe" not in said.found + said.remedy


@pytest.mark.parametrize(
    "url",
    [
        "mysql+pymysql://user:p%40ss%2Fword@host/db",
        "kafka://host:9092?sasl.password=p%40ss%2Fword&sasl.username=user",
        "redis://:p%40ss%2Fword@host",
    ],
)
def test_no_password_is_shown_whoever_lets_it_slip(tmp_path, url):
    def careless(_):
        yield ok("teapot", url, "connected with p@ss/word", "or was it p%40ss%2Fword, p@ss/word?")

    settings = Settings(dicom_pipeline_home=tmp_path, catalog_url=url)
    (said,) = bounded("teapot", careless, settings)
    assert said.found == "connected with ***"
    assert said.remedy == "or was it ***, ***?"


def test_a_short_word_that_happens_to_be_a_password_does_not_garble_everything():
    assert bounds._secrets(Settings(catalog_url="mysql://u:a@host/db")) == []
