import json
import logging
import re

import pytest

from dicom_pipeline.logs import set_up_logging

logger = logging.getLogger("some.part")


@pytest.fixture(autouse=True)
def root_logger_as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_text_is_one_line_with_time_level_and_what_was_said(capsys):
    set_up_logging("text", "INFO")
    logger.info("object %s", "received", extra={"trace_id": "t-1", "bytes": 7})
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO some\.part: object received"
        r" trace_id='t-1' bytes=7\n",
        line,
    )


def test_json_is_one_object_a_line(capsys):
    set_up_logging("json", "INFO")
    logger.warning("object refused", extra={"status": "NO_STUDY", "bytes": 7})
    record = json.loads(capsys.readouterr().err)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*(Z|\+00:00)", record.pop("time"))
    assert record == {
        "level": "WARNING",
        "logger": "some.part",
        "message": "object refused",
        "status": "NO_STUDY",
        "bytes": 7,
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_told_with_its_traceback(capsys, form):
    set_up_logging(form, "INFO")
    try:
        int("why")
    except ValueError:
        logger.exception("failed")
    output = capsys.readouterr().err
    assert "Traceback" in output
    assert "ValueError: invalid literal" in output


def test_the_level_decides_what_is_written(capsys):
    set_up_logging("text", "WARNING")
    logger.info("unheard")
    assert capsys.readouterr().err == ""


def test_setting_up_again_does_not_double_the_lines(capsys):
    set_up_logging("text", "INFO")
    set_up_logging("text", "INFO")
    logger.info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_a_value_cannot_forge_a_line(capsys):
    set_up_logging("text", "INFO")
    logger.info("association", extra={"calling_ae": "A\nB ERROR forged"})
    assert capsys.readouterr().err.count("\n") == 1
