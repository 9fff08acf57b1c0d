"""The asset `manifests` and its sensor, on a real instance and an embedded home."""

import json
import time

import dagster as dg
import pytest

from dicom_pipeline.catalog import DueManifest, Study
from dicom_pipeline.clock import trace_id_for
from dicom_pipeline.definitions import definitions
from dicom_pipeline.defs.manifests import manifests, manifests_sensor
from dicom_pipeline.orchestration import manifest_runs
from dicom_pipeline.orchestration.manifest_runs import JOB, SETTLE_SECONDS, mark_time, run_request
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.orchestration.stage_assets import Seen
from dicom_pipeline.orchestration.viewer_links import LINKS, viewer_links
from dicom_pipeline.ranges import Received, StageResult
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.catalog.samples import indexed, rendition
from dicom_pipeline_tests.events import an_event

NOW = 1_800_000_000.0


def marked(seconds_ago):
    return DueManifest(Study("hospital", "1.2"), trace_id_for(int((NOW - seconds_ago) * 1e6)))


@pytest.fixture
def ended(instance):
    """Leaves a run of the job behind; returns the job's last runs."""

    def ended(*statuses):
        job = definitions().get_repository_def().get_job(JOB)
        for status in statuses:
            run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
            if status is dg.DagsterRunStatus.SUCCESS:
                event = dg.DagsterEvent("PIPELINE_SUCCESS", job_name=JOB)
                instance.report_dagster_event(event, run_id=run.run_id)
            elif status is dg.DagsterRunStatus.FAILURE:
                instance.report_run_failed(run)
        return manifest_runs.last_runs(instance)

    return ended


@pytest.fixture
def tick(settings, instance, monkeypatch):
    monkeypatch.setattr(manifest_runs, "SETTLE_SECONDS", 0)
    repository = definitions().get_repository_def()

    def tick():
        context = dg.build_sensor_context(
            instance=instance, repository_def=repository, resources={"pipeline": Pipeline()}
        )
        return manifests_sensor.evaluate_tick(context)

    return tick


@pytest.fixture
def write(settings, instance):
    def write(**config):
        return dg.materialize(
            [manifests],
            instance=instance,
            resources={"pipeline": Pipeline()},
            run_config={"ops": {"viewer__manifests": {"config": config}}},
            raise_on_error=False,
        )

    return write


def metadata(result):
    (event,) = result.get_asset_materialization_events()
    return {name: one.value for name, one in event.materialization.metadata.items()}


def test_nothing_marked_starts_nothing():
    assert "every manifest" in run_request([], [], NOW).skip_message


def test_a_mark_rests_before_a_run_is_asked_for():
    assert "rest" in run_request([marked(SETTLE_SECONDS - 1)], [], NOW).skip_message
    assert run_request([marked(SETTLE_SECONDS + 1)], [], NOW).job_name == JOB


def test_a_mark_of_a_clock_that_goes_ahead_does_not_wait():
    assert run_request([marked(-3600)], [], NOW).job_name == JOB


def test_the_mark_of_a_migration_is_due_at_once():
    assert mark_time("00000000-0000-7000-8000-000000000000") == 0


def test_one_run_at_a_time(ended):
    records = ended(dg.DagsterRunStatus.STARTED)
    assert "under way" in run_request([marked(60)], records, NOW).skip_message


def test_the_same_tick_asks_for_the_same_run_and_the_next_one_for_another(ended):
    due = [marked(60)]
    first = run_request(due, [], NOW)
    assert run_request(due, [], NOW + 1).run_key == first.run_key
    records = ended(dg.DagsterRunStatus.SUCCESS)
    assert run_request(due, records, time.time() + 60).run_key != first.run_key


def test_after_failures_the_pause_grows_and_a_success_ends_it(ended):
    def pause(*statuses):
        records = ended(*statuses)
        seconds = 0
        while isinstance(run_request([marked(60)], records, time.time() + seconds), dg.SkipReason):
            seconds += 5
        return seconds

    failure, success = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
    assert pause(failure) in {10, 15}
    assert pause(failure, failure) in {40, 45}
    assert pause(*[failure] * 9) in {300, 305}
    assert pause(success) == 0


def test_a_tick_asks_for_a_run_which_writes_what_is_due(tick, write, catalog, settings):
    assert "every manifest" in tick().skip_message
    catalog.index([indexed(tenant="default")])
    catalog.record_renditions([rendition(tenant_id="default")])
    (request,) = tick().run_requests
    assert request.job_name == JOB
    result = write()
    assert result.success
    told = metadata(result)
    assert (told["studies"], told["shown"], told["not_shown"], told["waiting"]) == (1, 1, 0, 0)
    assert told["viewer"] == "http://127.0.0.1:3001/viewer/?tenant=default&study=1.2"
    (listed,) = json.loads((settings.manifests / "default" / "studies.json").read_bytes())[
        "studies"
    ]
    assert listed["StudyInstanceUID"] == "1.2"
    assert "every manifest" in tick().skip_message


def test_a_run_without_work_is_no_failure(write):
    assert metadata(write())["studies"] == 0


def test_every_study_can_be_written_anew(write, catalog, settings):
    catalog.index([indexed()])
    assert write().success
    written = settings.manifests / "hospital" / "1.2.json"
    written.unlink()
    assert metadata(write())["studies"] == 0
    assert metadata(write(every_study=True))["studies"] == 1
    assert written.exists()


def test_a_study_that_cannot_be_written_fails_the_run_and_no_other_study(
    write, catalog, settings, tick
):
    catalog.index([indexed(study="1.2.1"), indexed("1.4.2", study="1.2.2")])
    (settings.manifests / "hospital" / "1.2.1.json").mkdir(parents=True)
    result = write()
    assert not result.success
    assert metadata(result)["studies"] == 1
    assert metadata(result)["waiting"] == 1
    assert (settings.manifests / "hospital" / "1.2.2.json").exists()
    assert [one.study.study_uid for one in catalog.manifests_due(9)] == ["1.2.1"]


def test_the_metadata_holds_no_patient_data(write, catalog):
    item = indexed(patient="SECRET-ID")
    patient = {**item.patient, "patient_name_alphabetic": "SECRET^NAME"}
    catalog.index([item._replace(patient=patient)])
    assert "SECRET" not in repr(metadata(write()))


def test_links_are_bounded_and_name_uids_only():
    settings = Settings(_env_file=None, public_url="https://pacs.example/")
    studies = [Study("north", f"1.2.{n}") for n in range(LINKS + 5)]
    links = viewer_links(settings, studies)
    assert links["viewer"].value == "https://pacs.example/viewer/?tenant=north"
    assert links["viewer_studies"].value.count("https://pacs.example/viewer/?") == LINKS
    one = viewer_links(settings, studies[:1])
    assert one["viewer"].value == "https://pacs.example/viewer/?tenant=north&study=1.2.0"
    assert viewer_links(settings, []) == {}


def test_a_run_of_renditions_remembers_few_of_its_studies():
    seen = Seen(lambda batch, label: StageResult({"objects": len(batch)}))
    events = [an_event(study_uid=f"1.2.{n % 50}") for n in range(200)]
    result = seen.handle([Received(event, 0, 0, b"") for event in events], "label")
    assert result.counts == {"objects": 200}
    assert list(seen.studies)[:2] == [Study("default", "1.2.0"), Study("default", "1.2.1")]
    assert len(seen.studies) == LINKS + 1
