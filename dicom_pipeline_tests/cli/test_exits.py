"""Errors become one clear line and an exit code."""

import subprocess
import sys

import pytest

from dicom_pipeline.cli import exits
from dicom_pipeline.cli.exits import load_settings, run
from dicom_pipeline.errors import ConfigurationError, PermanentError, TransientError


def failing(error: BaseException):
    def body() -> int:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("PORT: wrong"), exits.USAGE),
        (TransientError("PORT: wrong"), exits.FAILED),
        (PermanentError("PORT: wrong"), exits.FAILED),
        (OSError("PORT: wrong"), exits.FAILED),
    ],
)
def test_an_error_is_one_line_and_its_code(error, code, capsys, monkeypatch):
    monkeypatch.setenv("LOG_LEVEL", "INFO")
    assert run(failing(error)) == code
    shown = capsys.readouterr().err
    assert "PORT: wrong" in shown
    assert len(shown.splitlines()) == 1


def test_a_defect_does_not_show_its_text_which_may_hold_patient_data(capsys, monkeypatch):
    monkeypatch.setenv("LOG_LEVEL", "INFO")
    assert run(failing(ValueError("Doe^Jane"))) == exits.FAILED
    shown = capsys.readouterr().err
    assert "ValueError" in shown
    assert "Doe" not in shown


def test_a_traceback_is_shown_on_request(capsys, monkeypatch):
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    run(failing(PermanentError("no")))
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_has_its_own_code():
    assert run(failing(KeyboardInterrupt())) == exits.INTERRUPTED


def test_a_wrong_setting_is_named_by_its_variable(monkeypatch):
    monkeypatch.setenv("UI_PORT", "seventy")
    with pytest.raises(ConfigurationError, match="UI_PORT"):
        load_settings()


@pytest.mark.service
def test_help_imports_nothing_heavy():
    code = (
        "import sys, dicom_pipeline.cli\n"
        "heavy = {'dagster', 'pydicom', 'pynetdicom', 'numpy', 'sqlalchemy', 'pydantic'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
