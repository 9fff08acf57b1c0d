import sqlite3

import pytest

from dicom_pipeline import sql_engine, sqlite_engine
from dicom_pipeline.errors import ConfigurationError, PermanentError, TransientError
from dicom_pipeline.migrations import Migration
from dicom_pipeline.sql_engine import SqlDatabase


@pytest.fixture
def database(tmp_path):
    database = SqlDatabase(f"sqlite:///{tmp_path / 'test.db'}", "catalog")
    yield database
    database.close()


@pytest.fixture
def migrations(monkeypatch):
    """The migrations to be applied, to be filled by the test."""
    found: list[Migration] = []
    monkeypatch.setattr(sql_engine, "load_migrations", lambda *_: found)
    return found


def test_a_commit_survives_a_loss_of_power(database):
    (journal,) = database.query("PRAGMA journal_mode", {})
    (synchronous,) = database.query("PRAGMA synchronous", {})
    assert journal == {"journal_mode": "wal"}
    assert synchronous == {"synchronous": 2}, "2 is FULL"


def test_migrations_are_applied_once_each_and_in_order(database, migrations):
    first = Migration(1, "0001_a.sql", "CREATE TABLE a (b INTEGER);")
    second = Migration(2, "0002_b.sql", "-- Why; because.\nALTER TABLE a\n    RENAME b TO c;\n")
    migrations.append(first)
    assert database.migrate() == ["0001_a.sql"]
    migrations.append(second)
    assert database.migrate() == ["0002_b.sql"]
    assert database.migrate() == []
    assert database.query("SELECT c FROM a", {}) == []
    assert database.query("SELECT number, name, checksum FROM schema_migration", {}) == [
        {"number": one.number, "name": one.name, "checksum": one.checksum} for one in migrations
    ]


def test_a_migration_that_was_changed_later_is_refused(database, migrations):
    migrations.append(Migration(1, "0001_a.sql", "CREATE TABLE a (b INTEGER);"))
    database.migrate()
    migrations[0] = migrations[0]._replace(sql="CREATE TABLE a (c INTEGER);")
    with pytest.raises(ConfigurationError, match=r"0001_a\.sql was changed"):
        database.migrate()


def test_a_schema_of_a_newer_program_is_refused(database, migrations):
    migrations.append(Migration(1, "0001_a.sql", "CREATE TABLE a (b INTEGER);"))
    database.migrate()
    migrations.clear()
    with pytest.raises(ConfigurationError, match="migration 1"):
        database.migrate()


def test_a_migration_that_fails_leaves_nothing_behind(database, migrations):
    migrations.append(Migration(1, "0001_a.sql", "CREATE TABLE a (b INTEGER);\nNONSENSE;"))
    with pytest.raises(PermanentError, match="NONSENSE"):
        database.migrate()
    assert database.query("SELECT name FROM sqlite_schema", {}) == []


def test_a_locked_database_is_worth_another_try_and_no_value_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(sqlite_engine, "_BUSY_TIMEOUT_MS", 50)
    path = tmp_path / "test.db"
    database = SqlDatabase(f"sqlite:///{path}", "catalog")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE a (b TEXT)")
    other.execute("BEGIN IMMEDIATE")
    with (
        pytest.raises(TransientError, match=r"catalog sqlite:.*test\.db: database is locked"),
        database.write(),
    ):
        pass
    other.close()
    database.close()


def test_an_error_tells_no_value(database):
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE a (b INTEGER PRIMARY KEY) STRICT")
    with pytest.raises(PermanentError) as refusal, database.write() as connection:
        connection.exec_driver_sql("INSERT INTO a VALUES (?)", ("Zhang^San",))
    everything = [refusal.value, refusal.value.__cause__, refusal.value.__context__]
    assert "Zhang" not in "".join(f"{error}{error!r}" for error in everything)


def test_a_writer_that_fails_halfway_writes_nothing(database):
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE a (b)")
    with pytest.raises(TransientError), database.write() as connection:  # noqa: PT012 - all of it
        connection.exec_driver_sql("INSERT INTO a VALUES (1)")
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")
    assert database.query("SELECT * FROM a", {}) == []


def test_a_missing_table_names_the_remedy(database):
    with pytest.raises(TransientError, match="no such table: study: run `dicom-pipeline migrate`"):
        database.query("SELECT * FROM study", {})


def test_a_missing_folder_names_the_remedy(tmp_path):
    database = SqlDatabase(f"sqlite:///{tmp_path / 'nowhere' / 'test.db'}", "catalog")
    with pytest.raises(TransientError, match="is its folder there"):
        database.query("SELECT 1", {})


def test_a_file_that_is_no_database_is_told(tmp_path):
    path = tmp_path / "test.db"
    path.write_bytes(b"not a database" * 100)
    database = SqlDatabase(f"sqlite:///{path}", "warehouse")
    with pytest.raises(TransientError, match=r"warehouse sqlite:.*: file is not a database"):
        database.query("SELECT 1", {})


def test_a_query_that_writes_is_refused_for_good(database):
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE a (b)")
    with pytest.raises(PermanentError, match="a query may only read"):
        database.query("INSERT INTO a VALUES (1)", {})


def test_a_missing_parameter_is_told(database):
    with pytest.raises(PermanentError, match="tenant"):
        database.query("SELECT :tenant", {})


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "not the URL of a SQLite file"),
        ("postgresql://me:s3cret@db/catalog", "none of the databases sqlite, mysql"),
        ("mysql+pymysql://me:s3cret@db:port/catalog", "none of the databases sqlite, mysql"),
        ("mysql+pymysql//me:s3cret@db/catalog", "none of the databases sqlite, mysql"),
        ("mysql://me:s3cret@db/catalog", r"write mysql\+pymysql://"),
        ("mysql+pymysql://me:s3cret@db", r"write mysql\+pymysql://"),
        ("mysql+pymysql://me:s3cret@db/catalog?sslca=x", "unknown option sslca"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_telling_its_password(url, said):
    with pytest.raises(ConfigurationError, match=said) as refusal:
        SqlDatabase(url, "catalog")
    assert "s3cret" not in str(refusal.value)
