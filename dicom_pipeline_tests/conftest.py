"""Where every service must be there, a test that was skipped has failed."""

import os

import pytest

pytest_plugins = [
    "dicom_pipeline_tests.services.kafka",
    "dicom_pipeline_tests.services.mariadb",
    "dicom_pipeline_tests.services.redis",
]

REQUIRED = os.environ.get("REQUIRE_SERVICES") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if REQUIRED and report.skipped:
        _, _, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: {reason}, and REQUIRE_SERVICES=1 allows no skip"
    return report
