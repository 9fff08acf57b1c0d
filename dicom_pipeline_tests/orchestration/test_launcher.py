"""The run launcher notices runs whose process is gone."""

import os
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus

from dicom_pipeline.orchestration.launcher import SupervisedRunLauncher


@pytest.fixture
def launcher(instance):
    launcher = SupervisedRunLauncher()
    launcher.register_instance(instance)
    return launcher


@pytest.fixture
def run(instance):
    @dg.job
    def empty(): ...

    return instance.create_run_for_job(empty)


def report_process(instance, run, pid):
    instance.report_engine_event("Started process for run", run, EngineEventData.in_process(pid))


def finished_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_run_whose_process_lives_is_healthy(instance, launcher, run):
    report_process(instance, run, os.getpid())
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


def test_a_run_whose_process_is_gone_has_failed(instance, launcher, run):
    report_process(instance, run, finished_process())
    assert launcher.check_run_worker_health(run).status is WorkerStatus.FAILED


def test_another_process_under_the_same_id_is_not_the_run(instance, launcher, run, monkeypatch):
    report_process(instance, run, os.getppid())
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    monkeypatch.setattr("psutil.Process.create_time", lambda _: float("inf"))
    assert launcher.check_run_worker_health(run).status is WorkerStatus.FAILED


def test_the_asking_process_is_no_exception(instance, launcher, run, monkeypatch):
    report_process(instance, run, os.getpid())
    monkeypatch.setattr("psutil.Process.create_time", lambda _: float("inf"))
    assert launcher.check_run_worker_health(run).status is WorkerStatus.FAILED


def test_dagster_is_told_that_health_can_be_checked(launcher):
    assert launcher.supports_check_run_worker_health
