"""The demonstration from its command line: real objects, real processes, twice on one home."""

import json
import os
import subprocess
import sys

import pytest

from dicom_pipeline.cli.status import read_status
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import STAGES

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


def run_demo(home) -> tuple[subprocess.CompletedProcess[str], dict]:
    report = home / "report.json"
    arguments = ["demo", "--slices", "5", "--json", str(report)]
    done = subprocess.run(
        [sys.executable, "-c", "from dicom_pipeline.cli import main; main()", *arguments],
        env={**os.environ, "DICOM_PIPELINE_HOME": str(home), "DEMO_EXIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, json.loads(report.read_bytes()) if report.exists() else {}


def test_every_object_is_accounted_for_also_when_it_is_sent_again(tmp_path):
    settings = Settings(dicom_pipeline_home=tmp_path)
    for _ in range(2):
        done, report = run_demo(tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert report["complete"]
        assert report["missing"] == []
        totals = report["totals"]
        assert totals["sent"] - totals["refused"] == totals["stored"] == totals["indexed"] > 100
        assert totals["kept"] > 0
        assert totals["converted"] > 0
        assert totals["video"] == 1

    status = read_status(settings)
    assert [queue.lag_messages for queue in status.queues] == [0] * len(STAGES)
    assert not status.receiver.running
    assert not (tmp_path / "stack.json").exists()
