"""docs/rendering.md tells the rules as they are, and the version that they were measured with."""

import json
import re
from pathlib import Path

from dicom_pipeline.imaging.rules import IMAGE_RULES, MEASURED_WITH
from dicom_pipeline_tests.corpus.catalogue import core_cases

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/rendering.md").read_text()
ROWS = re.findall(r"^\| `([a-z0-9-]+)` \| (\w+) \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)


def test_the_table_has_the_rules_in_the_order_in_which_they_are_asked():
    assert [row[0] for row in ROWS] == list(dict.fromkeys(rule.name for rule in IMAGE_RULES))


def test_the_table_tells_what_is_done_and_why():
    told = {name: (action, reasons) for name, action, reasons, _ in ROWS}

    for rule in IMAGE_RULES:
        action, reasons = told[rule.name]
        assert action == rule.action
        assert rule.reason in reasons


def test_the_evidence_is_in_the_corpus():
    names = {case.name for case in core_cases()}

    for name, _, _, evidence in ROWS:
        assert set(re.findall(r"`([^`]+)`", evidence)) <= names, name


def test_the_version_is_the_one_that_the_pages_are_built_with():
    packages = json.loads((ROOT / "viewer/package.json").read_text())["dependencies"]
    version = packages["@cornerstonejs/dicom-image-loader"]

    assert f"Cornerstone3D {version}" == MEASURED_WITH
    assert packages["@cornerstonejs/core"] == version
    assert MEASURED_WITH in TEXT
