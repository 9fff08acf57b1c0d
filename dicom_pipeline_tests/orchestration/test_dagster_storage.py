"""The examples of an instance whose runs and cursors are in a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import pytest
import yaml

from dicom_pipeline.cli.stack import prepare_dagster_home
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.services import mariadb, postgres

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "dicom_pipeline" / "examples"

Variables = dict[str, str]


@contextmanager
def on_postgres() -> Iterator[Variables]:
    with postgres.running_postgres() as server:
        yield {
            "DAGSTER_POSTGRES_HOST": postgres.HOST,
            "DAGSTER_POSTGRES_PORT": str(server.port),
            "DAGSTER_POSTGRES_USER": postgres.USER,
            "DAGSTER_POSTGRES_PASSWORD": postgres.PASSWORD,
            "DAGSTER_POSTGRES_DB": server.database,
        }


@contextmanager
def on_mariadb() -> Iterator[Variables]:
    with mariadb.running_mariadb() as server, server.fresh_database() as url:
        yield {
            "DAGSTER_MYSQL_HOST": mariadb.HOST,
            "DAGSTER_MYSQL_PORT": str(server.port),
            "DAGSTER_MYSQL_USER": mariadb.USER,
            "DAGSTER_MYSQL_PASSWORD": mariadb.PASSWORD,
            "DAGSTER_MYSQL_DB": url.rpartition("/")[2],
        }


STORAGES = {"postgres": on_postgres}
if find_spec("dagster_mysql"):  # no dependency of the product
    STORAGES["mysql"] = on_mariadb


@dg.asset
def answer():
    return dg.MaterializeResult(metadata={"answer": 42})


@pytest.mark.service
@pytest.mark.parametrize("storage", STORAGES)
def test_an_instance_of_the_example_keeps_its_runs_in_the_server(storage, tmp_path, monkeypatch):
    example = EXAMPLES / f"dagster-{storage}.yaml"
    settings = Settings(dicom_pipeline_home=tmp_path, dagster_yaml=example)
    prepare_dagster_home(settings, code_server_port=4000)
    home = str(settings.dagster_home)
    with STORAGES[storage]() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with dg.DagsterInstance.from_config(home) as instance:
            assert dg.materialize([answer], instance=instance).success
        with dg.DagsterInstance.from_config(home) as instance:
            (run,) = instance.get_runs()
            assert run.status is dg.DagsterRunStatus.SUCCESS
            event = instance.get_latest_materialization_event(answer.key)
            assert event is not None
            assert event.asset_materialization.metadata["answer"].value == 42
    assert not list(tmp_path.rglob("*.db")), "nothing is kept in files"
    secret = next(value for name, value in variables.items() if name.endswith("PASSWORD"))
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_text()
    ]


@pytest.mark.parametrize("storage", ["postgres", "mysql"])
def test_an_example_is_the_product_s_own_file_with_a_storage(storage):
    own = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    example = yaml.safe_load((EXAMPLES / f"dagster-{storage}.yaml").read_text())
    (kind,) = example.pop("storage")
    assert kind == storage
    assert example == own


def test_without_a_choice_the_instance_is_the_product_s_own(tmp_path):
    settings = Settings(dicom_pipeline_home=tmp_path)
    prepare_dagster_home(settings, code_server_port=4000)
    assert (settings.dagster_home / "dagster.yaml").read_text() == (
        ROOT / "dagster.yaml"
    ).read_text()


def test_a_choice_that_is_not_there_is_told(tmp_path):
    settings = Settings(dicom_pipeline_home=tmp_path, dagster_yaml=tmp_path / "typo.yaml")
    with pytest.raises(ConfigurationError, match=r"DAGSTER_YAML=.*typo\.yaml.*cannot be read"):
        prepare_dagster_home(settings, code_server_port=4000)
