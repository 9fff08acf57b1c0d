"""Dumps of MariaDB and PostgreSQL go back into an empty database, whatever the password holds."""

import pytest
from sqlalchemy import create_engine, make_url, text

from dicom_pipeline.backups import servers
from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.errors import ConfigurationError, TransientError
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.catalog.samples import indexed
from dicom_pipeline_tests.flow import CATALOG_TABLES
from dicom_pipeline_tests.services.postgres import PASSWORD, USER, running_postgres

pytestmark = pytest.mark.service


def rows(url, tmp_path):
    with open_catalog(Settings(dicom_pipeline_home=tmp_path, catalog_url=url)) as catalog:
        return {name: catalog.query(f"SELECT * FROM {name}") for name in CATALOG_TABLES}


def test_a_catalog_in_mariadb_goes_back_into_an_empty_database(mariadb, tmp_path):
    with mariadb.fresh_database() as old, mariadb.fresh_database() as new:
        settings = Settings(dicom_pipeline_home=tmp_path, catalog_url=old)
        with open_catalog(settings) as catalog:
            catalog.migrate()
            catalog.index([indexed(f"1.4.{n}", version=n, patient="病人\\'\"") for n in range(9)])
        dump = tmp_path / "mysql/catalog.sql"
        servers.dump_mysql(make_url(old), dump)
        servers.require_no_tables(make_url(new))
        servers.load_mysql(make_url(new), dump)
        assert rows(new, tmp_path) == rows(old, tmp_path)
        with open_catalog(Settings(dicom_pipeline_home=tmp_path, catalog_url=new)) as catalog:
            assert catalog.migrate() == []  # its migrations are noted in it
        with pytest.raises(ConfigurationError, match="has tables"):
            servers.require_no_tables(make_url(new))
        with pytest.raises(TransientError, match="already exists"):
            servers.load_mysql(make_url(new), dump)


def test_no_password_is_among_the_arguments(mariadb, tmp_path, monkeypatch):
    seen = []
    run = servers._run
    monkeypatch.setattr(servers, "_run", lambda command, **more: seen.append(command))
    with mariadb.fresh_database() as url:
        servers.dump_mysql(make_url(url), tmp_path / "x.sql")
        assert make_url(url).password not in " ".join(seen[0])
    assert run is not servers._run


def test_dagsters_storage_in_postgres_goes_back_into_an_empty_database(tmp_path):
    with running_postgres() as server:
        old = make_url(
            f"postgresql+psycopg2://{USER}:{PASSWORD}@127.0.0.1:{server.port}/{server.database}"
        )
        with create_engine(old).begin() as connection:
            connection.execute(text("CREATE TABLE cursors (name text, cursor text)"))
            connection.execute(text("INSERT INTO cursors VALUES ('storage_sensor', '病人')"))
        server._run("createdb", "-h", "127.0.0.1", "-p", str(server.port), "-U", USER, "new")
        dump = tmp_path / "postgres/dagster.dump"
        servers.dump_postgres(old, dump)
        new = old.set(database="new")
        servers.require_no_tables(new)
        servers.load_postgres(new, dump)
        with create_engine(new).connect() as connection:
            found = connection.execute(text("SELECT * FROM cursors")).fetchall()
        assert [tuple(row) for row in found] == [("storage_sensor", "病人")]
        with pytest.raises(ConfigurationError, match="has tables"):
            servers.require_no_tables(new)
