"""The page has words, in both languages, for all that the pipeline can say of an object."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_pipeline.imaging import rendering
from dicom_pipeline.imaging.outcomes import Action, ErrorCode
from dicom_pipeline.imaging.rules import IMAGE_RULES

VIEWER = Path(__file__).parents[2] / "viewer"
HAN = re.compile(r"[\u4e00-\u9fff]")


def texts(name):
    return json.loads((VIEWER / "src" / "texts" / f"{name}.json").read_text(encoding="utf-8"))


def leaves(tree, path=()):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def rules_of_the_pipeline():
    """The rules of the table, and those that the code names where it decides."""
    folder = Path(rendering.__file__).parent
    sources = [path.read_text(encoding="utf-8") for path in folder.glob("*.py")]
    decisions = r'(?:Decision\(\s*Action\.\w+,|\b_failure\()\s*"([a-z0-9-]+)"'
    named = {name for source in sources for name in re.findall(decisions, source)}
    assert {"shown-right", "cut", "not-decodable"} <= named
    loaders = rendering.LEFT_TO_THEIR_LOADERS.values()
    return named | {rule.name for rule in IMAGE_RULES} | set(loaders)


def test_both_languages_have_the_same_texts_with_the_same_places():
    english, chinese = dict(leaves(texts("en"))), dict(leaves(texts("zh")))
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", chinese[key])), key


def test_chinese_texts_are_chinese():
    chinese = texts("zh")
    sections = (chinese[name] for name in ("page", "actions", "done", "errors", "load"))
    assert [
        key for section in sections for key, text in leaves(section) if not HAN.search(text)
    ] == []


def test_every_action_and_error_code_is_explained():
    english = texts("en")
    assert set(Action) | {"pending"} == english["actions"].keys() == english["done"].keys()
    assert set(ErrorCode) | {"unknown"} == english["errors"].keys()


def test_every_rule_is_explained_in_both_languages():
    explained = texts("rules")
    assert rules_of_the_pipeline() - explained.keys() == set()
    for rule, (english, chinese) in explained.items():
        assert not HAN.search(english), rule
        assert HAN.search(chinese), rule


def test_names_of_syntaxes_and_classes_are_those_of_the_product():
    command = [sys.executable, "scripts/viewer_tables.py", "--check", "viewer/src/tables"]
    done = subprocess.run(command, cwd=VIEWER.parent, capture_output=True, text=True, check=False)
    remedy = "run python scripts/viewer_tables.py viewer/src/tables"
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{remedy}"


@pytest.mark.service
def test_the_scripts_of_the_page_are_sound(built_page):
    """Types, and what needs no browser."""
    npm = shutil.which("npm")
    assert npm is not None
    for task in ("check", "test"):
        done = subprocess.run(
            [npm, "run", "--silent", task], cwd=VIEWER, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
