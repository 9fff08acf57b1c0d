"""The backfill as Dagster runs it: configuration, metadata, schedule."""

import dagster as dg
import pytest

from dicom_pipeline.backfill.selection import AUTOMATIC
from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.definitions import definitions
from dicom_pipeline.defs.backfill import backfill_schedule
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log import Message
from dicom_pipeline.imaging.outcomes import ErrorCode
from dicom_pipeline.messages import TRANSCODE_QUEUE, encode
from dicom_pipeline.orchestration import backfill_runs
from dicom_pipeline.orchestration.backfill_runs import BackfillConfig
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.stages import RENDITIONS
from dicom_pipeline.warehouse import open_warehouse
from dicom_pipeline_tests.backfill.failures import SECOND, failed, published, received, say

OP = "send_failed_conversions_again"


@pytest.fixture
def stores(settings, catalog):
    with open_warehouse(settings) as warehouse:
        yield catalog, warehouse


@pytest.fixture
def execute(settings):
    job = definitions().get_repository_def().get_job("backfill_job")

    def execute(**config):
        with dg.DagsterInstance.ephemeral() as instance:
            return job.execute_in_process(
                instance=instance,
                run_config={"ops": {OP: {"config": config}}},
                raise_on_error=False,
            )

    return execute


@pytest.fixture
def tick(settings):
    repository = definitions().get_repository_def()

    def tick():
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_schedule_context(
                instance=instance, repository_def=repository, resources={"pipeline": Pipeline()}
            )
            return backfill_schedule.evaluate_tick(context)

    return tick


def output(result):
    assert result.success
    (event,) = [e for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
    return {k: v.value for k, v in event.step_output_data.metadata.items()}


def recently(number, **changes):
    return received(number, version=wall_clock_us() - number * SECOND, **changes)


def test_a_run_tells_counts_by_outcome_code_and_syntax_and_no_patient(execute, stores, log):
    say(stores, failed(ErrorCode.TIMEOUT), received(1), received(2))
    say(stores, failed(ErrorCode.TRUNCATED), received(3))
    result = execute(codes=["timeout"], limit=1)
    told = output(result)
    assert (told["sent"], told["sent_timeout"], told["ready"]) == (1, 1, 1)
    assert "sent_truncated" not in told
    rows = [list(record.data.values()) for record in told["by_cause"].records]
    assert rows == [[one, "timeout", "1.2.840.10008.1.2.1", 1] for one in ("sent", "ready")]
    assert len(published(log)) == 1
    assert "P1" not in repr(told)


def test_what_was_sent_is_a_point_in_the_plots_of_its_table(execute, stores):
    say(stores, failed(), received(1))
    (event,) = execute().get_asset_materialization_events()
    assert event.asset_key == dg.AssetKey(["warehouse", "dicom_conversion_retry"])
    assert event.materialization.metadata["sent"].value == 1
    assert execute().get_asset_materialization_events() == []


def test_the_run_is_named_where_it_has_sent_an_object(execute, stores):
    say(stores, failed(), received(1))
    run_id = execute().run_id
    assert stores[1].query("SELECT backfill_id FROM dicom_conversion_retry") == [
        {"backfill_id": run_id}
    ]


def test_a_dry_run_names_the_objects_and_sends_nothing(execute, stores, log):
    say(stores, failed(), received(1), received(2))
    told = output(execute(dry_run=True))
    assert (told["dry_run"], told["ready"], told["sent"]) == (True, 2, 0)
    assert "1.2.3.1" in repr(told["objects"])
    assert published(log) == []


def test_a_wrong_configuration_fails_with_the_remedy_and_is_not_tried_again(execute, settings):
    result = execute(codes=["time-out"])
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "choose from" in failure.step_failure_data.error.message


def test_a_warehouse_that_is_away_is_tried_again(execute, settings, monkeypatch):
    monkeypatch.setattr(backfill_runs.RETRIES.__class__, "calculate_delay", lambda *_: 0)
    (settings.home / "warehouse.db").unlink()
    result = execute()
    assert not result.success
    retries = [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
    assert len(retries) == backfill_runs.RETRIES.max_retries


def test_the_launchpads_words_become_a_selection():
    config = BackfillConfig(codes=[" timeout", ""], since="2026-01-31", limit=7, max_attempts=2)
    selection = config.selection()
    assert selection.codes == ("timeout",)
    assert (selection.since, selection.until) == (1_769_817_600 * SECOND, None)
    assert (selection.limit, selection.max_attempts) == (7, 2)
    with pytest.raises(ConfigurationError, match="until 'x'"):
        BackfillConfig(until="x").selection()


def test_a_selection_survives_being_a_configuration():
    assert BackfillConfig.of(AUTOMATIC).selection() == AUTOMATIC


def test_the_schedule_runs_by_itself():
    assert backfill_schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_the_schedule_asks_for_a_run_only_when_a_retryable_failure_is_due(tick, stores, execute):
    assert not tick().run_requests
    pause = round(AUTOMATIC.backoff_seconds)
    say(stores, failed(ErrorCode.TRUNCATED), recently(pause + 1))
    say(stores, failed(ErrorCode.TIMEOUT), recently(pause - 60))
    assert not tick().run_requests
    say(stores, failed(ErrorCode.CRASHED), recently(pause + 2))
    (request,) = tick().run_requests
    told = output(execute(**request.run_config["ops"][OP]["config"]))
    assert (told["sent"], told["sent_crashed"], told["not_due"]) == (1, 1, 1)
    assert not tick().run_requests


def test_the_schedule_lets_new_objects_go_first(tick, stores, log):
    say(stores, failed(ErrorCode.TIMEOUT), recently(round(AUTOMATIC.backoff_seconds) + 1))
    event = received(1)
    message = Message(TRANSCODE_QUEUE, event.key, encode(event))
    log.publish([message] * (AUTOMATIC.limit + 1))
    assert f"{AUTOMATIC.limit + 1} messages wait" in tick().skip_message
    log.commit(RENDITIONS.consumer_group, TRANSCODE_QUEUE, 0, 1)
    assert len(tick().run_requests) == 1


def test_the_schedule_waits_while_the_warehouse_is_away(tick, settings):
    (settings.home / "warehouse.db").unlink()
    assert "dicom-pipeline migrate" in tick().skip_message
