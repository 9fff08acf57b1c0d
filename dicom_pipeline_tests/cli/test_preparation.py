"""Queues and tables are made ready, however long a system is away."""

import threading

import pytest

from dicom_pipeline.cli import preparation as module
from dicom_pipeline.cli.migration import Applied
from dicom_pipeline.cli.preparation import Preparation
from dicom_pipeline.errors import ConfigurationError, TransientError
from dicom_pipeline.settings import Settings


@pytest.fixture
def prepare(monkeypatch):
    """Prepares systems that answer as scripted; gives the preparation and what it has said."""
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    started = []

    def prepare(*answers):
        script = iter(answers)
        ended = threading.Event()

        def migrate(_):
            answer = next(script)
            if not isinstance(answer, TransientError):
                ended.set()
            if isinstance(answer, Exception):
                raise answer
            return [answer]

        monkeypatch.setattr(module, "migrate", migrate)
        said = []
        preparation = Preparation(Settings(), said.append)
        started.append(preparation)
        preparation.start()
        assert ended.wait(10)
        preparation.stop()
        return preparation, said

    return prepare


def test_a_system_that_is_away_is_waited_for_and_named_once(prepare):
    away = [TransientError("catalog is away") for _ in range(5)]
    preparation, said = prepare(*away, Applied("catalog", ["0001"]))
    assert preparation.done()
    assert said == ["waiting: catalog is away", "catalog: 0001"]


def test_what_waiting_cannot_mend_is_raised_to_who_asks(prepare):
    preparation, _ = prepare(TransientError("away"), ConfigurationError("newer schema"))
    with pytest.raises(ConfigurationError, match="newer schema"):
        preparation.done()
