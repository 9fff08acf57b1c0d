"""The pages on command line and configuration say what the code does."""

import re
from pathlib import Path

import pytest
import typer

from dicom_pipeline.cli.app import app
from dicom_pipeline.cli.exits import EXIT_CODES
from dicom_pipeline.peers import Peer
from dicom_pipeline.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
CLI = (DOCS / "cli.md").read_text(encoding="utf-8")
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")

COMMANDS = typer.main.get_command(app).commands


def rows(page: str) -> dict[str, tuple[str, ...]]:
    """The tables' rows, by the name in the first column."""
    found = re.findall(r"^\| `([^`]+)` \|(.*)\|$", page, flags=re.MULTILINE)
    return {name: tuple(cell.strip() for cell in rest.split("|")) for name, rest in found}


def section(command: str) -> str:
    return re.split(r"^## ", CLI.split(f"## dicom-pipeline {command}")[1], flags=re.MULTILINE)[0]


def test_every_command_has_a_section_and_no_section_is_about_another():
    assert set(re.findall(r"^## dicom-pipeline ([\w-]+)", CLI, flags=re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_is_documented_and_no_other(command):
    options = {
        name
        for parameter in COMMANDS[command].params
        for name in parameter.opts
        if name.startswith("--") and name != "--help"
    }
    assert {name.split()[0] for name in rows(section(command)) if name.startswith("--")} == options


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_documented_default_is_the_one_of_the_code(command):
    documented = rows(section(command))
    for parameter in COMMANDS[command].params:
        for name, cells in documented.items():
            if name.split()[0] in parameter.opts and parameter.default not in {None, "", False}:
                assert cells[-1].strip("`") == str(parameter.default)


def test_every_exit_code_is_documented_with_its_meaning():
    table = dict(re.findall(r"^\| (\d+) \| (.*) \|$", CLI, flags=re.MULTILINE))
    assert {int(code): meaning for code, meaning in table.items()} == EXIT_CODES


def test_every_setting_is_documented_and_no_other():
    settings = {name.upper() for name in Settings.model_fields}
    documented = {name for name, cells in rows(CONFIGURATION).items() if len(cells) == 2}
    assert documented == settings


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_the_documented_default_of_a_setting_is_the_one_of_the_code(name):
    field = Settings.model_fields[name]
    default, meaning = rows(CONFIGURATION)[name.upper()]
    if field.default_factory is None and field.default not in (None, "", ()):
        assert default == f"`{field.default}`"
    else:
        assert default == ""
        assert field.default in ("", ()) or "Default:" in meaning


def test_every_key_of_a_peer_is_documented():
    documented = {name for name in rows(CONFIGURATION) if name in Peer.model_fields}
    assert documented == set(Peer.model_fields)


def test_the_example_of_the_env_file_names_every_setting_with_its_default():
    example = (DOCS.parent / ".env.example").read_text(encoding="utf-8")
    named = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", example, flags=re.MULTILINE))
    assert list(named) == [name.upper() for name in Settings.model_fields]
    for name, field in Settings.model_fields.items():
        computed = field.default_factory is not None or field.default is None
        default = "" if computed else "[]" if field.default == () else str(field.default)
        assert named[name.upper()] == default
