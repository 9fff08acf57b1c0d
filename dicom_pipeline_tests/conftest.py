"""Where every service must be there, a test that was skipped has failed. Long files begin first."""

import os
import signal
from pathlib import Path

import pytest

pytest_plugins = [
    "dicom_pipeline_tests.services.kafka",
    "dicom_pipeline_tests.services.mariadb",
    "dicom_pipeline_tests.services.redis",
]

LONGEST_FIRST = (
    "flows/test_outages.py",
    "flows/test_real_servers.py",
    "flows/test_main_job.py",
    "flows/test_kills.py",
    "demo/test_demo.py",
    "flows/test_reindex.py",
    "flows/test_queue_faults.py",
    "cli/test_up.py",
    "browser/test_cornerstone.py",
    "event_log/kafka/test_outages.py",
)
"""Files of minutes: what begins last should be short, as some worker has to wait for it."""
REQUIRED = os.environ.get("REQUIRE_SERVICES") == "1"


def pytest_configure():
    """Have SIGINT as in a terminal, though a shell started us in the background.

    Dagster gives SIGTERM the meaning of SIGINT. If that is to be ignored, every server that a test
    starts afterwards ignores SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Sort by file only: a file is always one worker's, and keeps the order of its tests."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if REQUIRED and report.skipped:
        _, _, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: {reason}, and REQUIRE_SERVICES=1 allows no skip"
    return report
