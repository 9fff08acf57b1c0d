"""Settings come from the environment; what is left empty keeps its default."""

import pytest
from pydantic import ValidationError

from dicom_pipeline.settings import Settings


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_an_empty_variable_means_the_default(name, monkeypatch):
    default = getattr(Settings(_env_file=None), name)
    monkeypatch.setenv(name.upper(), "")
    assert getattr(Settings(_env_file=None), name) == default


def test_the_home_folder_holds_everything_unless_said_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = Settings(_env_file=None, dicom_pipeline_home="home", worker_node_id="node")
    assert settings.storage == tmp_path / "home" / "storage"
    assert settings.renditions == tmp_path / "home" / "renditions"
    assert settings.outbox == tmp_path / "home" / "outbox" / "node.db"
    assert settings.dagster_home == tmp_path / "home" / "dagster"


@pytest.mark.parametrize("name", [".", "..", "a/b", "", "x" * 65, "-"])
def test_a_node_name_cannot_be_a_path(name):
    with pytest.raises(ValidationError):
        Settings(_env_file=None, worker_node_id=name)


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("RECEIVER_PORT=1\nUI_PORT=2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UI_PORT", "3")
    assert (Settings().receiver_port, Settings().ui_port) == (1, 3)
