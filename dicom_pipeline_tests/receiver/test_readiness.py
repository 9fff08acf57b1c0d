"""The receiver says whether it takes objects, and what to do when it does not."""

import pytest

from dicom_pipeline.errors import TransientError
from receiver import readiness


def raises(error):
    def function():
        raise error

    return function


def test_when_all_is_well_nothing_is_said(tmp_path):
    checks = {
        "listening": readiness.listening(lambda: True),
        "stopping": readiness.not_stopping(lambda: False),
        "disk": readiness.disk_has_space(lambda: readiness.free_bytes(tmp_path), 1),
        "storage": readiness.storage_is_writable(tmp_path),
        "outbox": readiness.outbox_takes_events(lambda: None),
    }
    assert readiness.failed(checks) == {}


@pytest.mark.parametrize(
    ("check", "reason", "remedy"),
    [
        (readiness.listening(lambda: False), "does not listen", "log"),
        (readiness.not_stopping(lambda: True), "is stopping", "start it again"),
        (readiness.disk_has_space(lambda: 9, 10), "9 bytes are free", "RECEIVER_MIN_FREE_BYTES"),
        (
            readiness.disk_has_space(raises(OSError(5, "Input/output error")), 10),
            "Input/output error",
            "STORAGE_ROOT",
        ),
        (
            readiness.outbox_takes_events(raises(TransientError("no commit in 2 s"))),
            "no commit in 2 s",
            "DICOM_PIPELINE_HOME",
        ),
        (raises(OSError(5, "Input/output error")), "Input/output error", "log"),
    ],
)
def test_what_fails_is_named_with_its_remedy(check, reason, remedy):
    problems = readiness.failed({"well": lambda: None, "it": check})
    assert set(problems) == {"it"}
    assert reason in problems["it"].reason
    assert remedy in problems["it"].remedy


def test_a_storage_that_has_gone_is_not_writable(tmp_path):
    problems = readiness.failed({"storage": readiness.storage_is_writable(tmp_path / "gone")})
    assert "No such file" in problems["storage"].reason


def test_a_full_disk_is_one_below_the_mark_not_at_it():
    assert readiness.disk_has_space(lambda: 10, 10)() is None


def test_an_error_of_unknown_text_is_told_by_its_type_only():
    problems = readiness.failed({"it": raises(ValueError("Doe^Jane"))})
    assert problems["it"].reason == "ValueError"


def test_free_space_is_what_an_ordinary_user_has(tmp_path):
    assert readiness.free_bytes(tmp_path) > 0
    with pytest.raises(FileNotFoundError):
        readiness.free_bytes(tmp_path / "missing")
