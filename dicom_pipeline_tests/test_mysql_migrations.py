"""Migrations where every DDL statement commits by itself; MariaDB stands for MySQL."""

import multiprocessing
import threading

import pytest
from sqlalchemy import text

from dicom_pipeline import mysql_migrations, sql_engine
from dicom_pipeline.catalog.sql import SqlCatalog
from dicom_pipeline.errors import ConfigurationError, PermanentError, TransientError
from dicom_pipeline.migrations import Migration
from dicom_pipeline.sql_engine import SqlDatabase

pytestmark = pytest.mark.service

TABLES = Migration(
    1, "0001_a.sql", "CREATE TABLE a (b INT, c INT);\nCREATE TABLE d (e INT COMMENT '5%');\n"
)
CHANGES = Migration(
    2,
    "0002_b.sql",
    "ALTER TABLE a ADD COLUMN f INT;\nALTER TABLE a ADD INDEX a_by_f (f);\n"
    "ALTER TABLE a DROP COLUMN c;\nDROP TABLE d;\n",
)


@pytest.fixture
def database(mariadb_url):
    database = SqlDatabase(mariadb_url, "catalog")
    yield database
    database.close()


@pytest.fixture
def migrations(monkeypatch):
    found = [TABLES, CHANGES]
    monkeypatch.setattr(sql_engine, "load_migrations", lambda *_: found)
    return found


def progress(database):
    return database.query("SELECT number, statements FROM schema_migration_progress", {})


def columns(database):
    rows = database.query(
        "SELECT table_name AS t, column_name AS c FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND table_name IN ('a', 'd')",
        {},
    )
    return {f"{row['t']}.{row['c']}" for row in rows}


def test_migrations_are_applied_once_each_and_in_order(database, migrations):
    assert database.migrate() == ["0001_a.sql", "0002_b.sql"]
    assert database.migrate() == []
    assert columns(database) == {"a.b", "a.f"}
    assert progress(database) == []
    assert database.query("SELECT number, name, checksum FROM schema_migration", {}) == [
        {"number": one.number, "name": one.name, "checksum": one.checksum} for one in migrations
    ]


def test_the_database_s_own_character_set_and_mode_make_no_difference(database, mariadb):
    with mariadb.admin() as cursor:
        cursor.execute("SET GLOBAL sql_mode = ''")
        try:
            with SqlCatalog(database_url(database)) as catalog:
                catalog.migrate()
                assert catalog.drift() == []
        finally:
            cursor.execute("SET GLOBAL sql_mode = DEFAULT")


def database_url(database):
    return database._engine.url.render_as_string(hide_password=False)


class PlugPulledError(Exception):
    """The process is gone."""


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "done but not recorded"])
@pytest.mark.parametrize("statement", range(6))
def test_an_interrupted_migration_goes_on_where_it_was_interrupted(
    database, migrations, monkeypatch, statement, recorded
):
    """Killed around each statement: after it is done, before or after that was written down."""
    done = iter(range(100))
    execute = mysql_migrations._execute

    def until_killed(connection, sql, *, perhaps_done):
        if next(done) == statement:
            if not recorded:
                execute(connection, sql, perhaps_done=perhaps_done)
            raise PlugPulledError
        execute(connection, sql, perhaps_done=perhaps_done)

    with monkeypatch.context() as patch:
        patch.setattr(mysql_migrations, "_execute", until_killed)
        with pytest.raises(PlugPulledError):
            database.migrate()
    assert len(progress(database)) == 1
    database.migrate()
    assert columns(database) == {"a.b", "a.f"}
    assert progress(database) == []
    assert database.migrate() == []


def test_a_statement_that_fails_is_told_and_those_before_it_are_not_done_again(
    database, migrations
):
    migrations[:] = [Migration(1, "0001_a.sql", "CREATE TABLE a (b INT);\nNONSENSE;\n")]
    for _ in range(2):
        with pytest.raises(PermanentError, match="error 1064 PARSE_ERROR"):
            database.migrate()
    assert progress(database) == [{"number": 1, "statements": 1}]


def test_a_table_that_somebody_else_has_made_is_not_taken_for_ours(database, migrations):
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE a (unlike INT)")
    for _ in range(2):
        with pytest.raises(PermanentError, match="there is something of this name already"):
            database.migrate()


def test_an_interrupted_migration_whose_file_was_changed_is_refused(database, migrations):
    migrations[:] = [Migration(1, "0001_a.sql", "CREATE TABLE a (b INT);\nNONSENSE;\n")]
    with pytest.raises(PermanentError):
        database.migrate()
    migrations[:] = [TABLES]
    with pytest.raises(ConfigurationError, match=r"interrupted after 1 of .*was changed"):
        database.migrate()


def test_a_migration_that_was_changed_later_is_refused(database, migrations):
    database.migrate()
    migrations[1] = CHANGES._replace(sql="DROP TABLE a;\n")
    with pytest.raises(ConfigurationError, match=r"0002_b\.sql was changed"):
        database.migrate()


def test_who_finds_another_process_migrating_waits_for_it(database, migrations, monkeypatch):
    monkeypatch.setattr(mysql_migrations, "_LOCK_SECONDS", 0)
    with database.write() as connection:
        lock = mysql_migrations._lock_name(connection)
        connection.execute(text("SELECT GET_LOCK(:lock, 0)"), {"lock": lock})
        with pytest.raises(TransientError, match="another process is applying migrations"):
            database.migrate()
        monkeypatch.setattr(mysql_migrations, "_LOCK_SECONDS", 30)
        waiting = threading.Thread(target=database.migrate)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        connection.execute(text("DO RELEASE_LOCK(:lock)"), {"lock": lock})
    waiting.join(30)
    assert database.migrate() == []


def migrate_catalog(url, start):
    """Run in another process."""
    with SqlCatalog(url) as catalog:
        start.wait(60)
        catalog.migrate()


def test_two_processes_may_migrate_at_once(mariadb_url):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    both = [context.Process(target=migrate_catalog, args=(mariadb_url, start)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert [one.exitcode for one in both] == [0, 0]
    with SqlCatalog(mariadb_url) as catalog:
        assert catalog.migrate() == []
        assert catalog.drift() == []


def test_two_databases_of_one_server_do_not_wait_for_each_other(database, mariadb, migrations):
    with mariadb.fresh_database() as url:
        other = SqlDatabase(url, "catalog")
        with database.write() as one, other.write() as two:
            assert mysql_migrations._lock_name(one) != mysql_migrations._lock_name(two)
            assert len(mysql_migrations._lock_name(one)) <= 64
        other.close()
