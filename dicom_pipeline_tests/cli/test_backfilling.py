"""The command `backfill`, over real tables; the stages run whenever it waits."""

import pytest
import typer
from typer.testing import CliRunner

from dicom_pipeline.backfill.selection import LIMIT, MAX_ATTEMPTS, Selection
from dicom_pipeline.cli import backfilling
from dicom_pipeline.cli.app import app
from dicom_pipeline.cli.backfilling import run_backfill
from dicom_pipeline.cli.inspection import inspect
from dicom_pipeline.imaging.outcomes import Action, ConversionError, ErrorCode, Outcome
from dicom_pipeline.stages import STAGES
from dicom_pipeline.stages.conversions import convert
from dicom_pipeline_tests.backfill.failures import published
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.flow import open_flow


class Pool:
    """Converts in this process; objects of broken series fail for as long as they are listed."""

    def __init__(self):
        self.broken = set()

    def map(self, items):
        for item in items:
            yield self.failure() if item.source.stem in self.broken else convert(item)

    @staticmethod
    def failure():
        error = ConversionError(code=ErrorCode.DECODER_ERROR, reason="refused")
        return Outcome(action=Action.FAIL, rule="not-decodable", reason="refused", error=error)


@pytest.fixture
def flow(tmp_path):
    with open_flow(tmp_path / "home") as flow:
        flow.renderer._pool = Pool()
        yield flow


@pytest.fixture
def pool(flow):
    return flow.renderer._pool


@pytest.fixture
def uids(flow, pool, tmp_path):
    """Three objects that could not be decoded."""
    images = [an_image(number) for number in range(3)]
    pool.broken = {str(ds.SOPInstanceUID) for ds in images}
    for ds in images:
        flow.receive_dataset(ds, tmp_path)
    work(flow)
    return [str(ds.SOPInstanceUID) for ds in images]


@pytest.fixture
def waits(flow, monkeypatch):
    """What happens at each wait: the stages run. The list grows with each."""
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        assert len(waits) < 10, "it waits for ever"
        work(flow)

    monkeypatch.setattr(backfilling, "sleep", sleep)
    return waits


def work(flow):
    """The stages, and what their sensors do afterwards."""
    flow.run_all()
    for stage in STAGES:
        flow.log.commit(stage.consumer_group, stage.queue, 0, flow.done[stage])


def backfill(flow, *, dry_run=False, wait=True, **selection):
    return run_backfill(flow.settings, Selection(**selection), dry_run=dry_run, wait=wait)


def test_it_waits_until_all_have_recovered(flow, pool, uids, waits, capsys):
    pool.broken.clear()
    assert backfill(flow) == 0
    assert waits
    said = capsys.readouterr().out
    assert "3 of 3 recovered" in said
    assert "decoder_error" in said


def test_inspect_tells_what_the_earlier_attempts_failed_with(flow, pool, uids, waits):
    for _ in range(2):
        backfill(flow)
    pool.broken.clear()
    backfill(flow)
    (found,) = inspect(flow.settings, uids[0], patient=False)
    (latest,) = found.sections["Failed conversions"]
    assert (latest["state"], latest["attempt"]) == ("recovered", 3)
    earlier = found.sections["Attempts sent again"]
    assert [(row["attempt"], row["error_code"]) for row in earlier] == [
        (attempt, "decoder_error") for attempt in range(3)
    ]


def test_who_fails_again_is_told_by_code(flow, pool, uids, waits, capsys):
    pool.broken = set(uids[:1])
    assert backfill(flow) == 3
    said = capsys.readouterr().out
    assert "2 of 3 recovered" in said
    assert "1 failed again: decoder_error" in said


def test_who_gets_no_word_is_not_waited_for(flow, pool, uids, waits, capsys):
    pool.broken.clear()
    (lost,) = flow.settings.storage.rglob(f"{uids[0]}.dcm")
    lost.unlink()
    assert backfill(flow) == 3
    said = capsys.readouterr().out
    assert "2 of 3 recovered" in said
    assert "1 without a word" in said


def test_nothing_to_send_is_no_failure(flow, uids, waits, capsys):
    assert backfill(flow, codes=("timeout",)) == 0
    assert "no failed conversion" in capsys.readouterr().out
    assert waits == []


def test_without_waiting_they_are_queued(flow, uids, waits, capsys):
    before = len(published(flow.log))
    assert backfill(flow, wait=False) == 0
    assert waits == []
    assert len(published(flow.log)) == before + 3
    assert backfill(flow) == 0
    assert "sent before, not decided" in capsys.readouterr().out


def test_a_dry_run_has_a_line_for_each_object_and_sends_nothing(flow, uids, waits, capsys):
    before = len(published(flow.log))
    assert backfill(flow, dry_run=True) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    listed = [line for line in lines if line[0] == "default"]
    assert [line[1] for line in listed] == uids
    assert listed[0][2:] == ["decoder_error", "1.2.840.10008.1.2.1", "attempt=1"]
    assert len(published(flow.log)) == before


def test_the_command_does_what_a_selection_does_by_default():
    command = typer.main.get_command(app).commands["backfill"]
    defaults = {parameter.name: parameter.default for parameter in command.params}
    assert (defaults["limit"], defaults["max_attempts"]) == (LIMIT, MAX_ATTEMPTS)


@pytest.mark.parametrize("wrong", [["--code", "time-out"], ["--since", "x"], ["--limit", "0"]])
def test_a_wrong_filter_is_a_wrong_command_line(tmp_path, monkeypatch, wrong):
    monkeypatch.setenv("DICOM_PIPELINE_HOME", str(tmp_path / "home"))
    ended = CliRunner().invoke(app, ["backfill", *wrong])
    assert ended.exit_code == 2
    assert not (tmp_path / "home").exists()
