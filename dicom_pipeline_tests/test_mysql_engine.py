"""MySQL behind the engine that all SQL stores share; MariaDB stands for it."""

import threading
import time
from contextlib import ExitStack, closing, suppress

import pymysql
import pytest
import trustme
from sqlalchemy import text

from dicom_pipeline.errors import ConfigurationError, PermanentError, TransientError
from dicom_pipeline.mysql_errors import InterruptedTransactionError
from dicom_pipeline.sql_engine import SqlDatabase
from dicom_pipeline_tests.services.mariadb import HOST, PASSWORD, USER, running_mariadb

pytestmark = pytest.mark.service


@pytest.fixture
def database(mariadb_url):
    database = SqlDatabase(mariadb_url, "catalog")
    yield database
    database.close()


@pytest.fixture
def table(database):
    """A table of two rows in the database."""
    with database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE a (b VARCHAR(8) PRIMARY KEY, n INT NOT NULL DEFAULT 0) ENGINE = InnoDB "
            "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )
        connection.exec_driver_sql("INSERT INTO a (b) VALUES ('x'), ('y')")
    return database


def name_of(url):
    return url.rpartition("/")[2]


def count_up(connection, row):
    connection.execute(text("UPDATE a SET n = n + 1 WHERE b = :row"), {"row": row})


def counted(database):
    return {row["b"]: row["n"] for row in database.query("SELECT b, n FROM a", {})}


def everything_told(refusal):
    """The error and all that a log would print behind it."""
    told, error = "", refusal.value
    while error is not None:
        told += f"{error}{error!r}"
        error = error.__cause__ or error.__context__
    return told


def test_a_session_is_strict_and_reads_what_is_committed(database):
    with database.write() as connection:
        mode, level = connection.exec_driver_sql("SELECT @@sql_mode, @@tx_isolation").one()
    assert "STRICT_ALL_TABLES" in mode
    assert level == "READ-COMMITTED"


def test_a_read_sees_one_state(table):
    with table.read() as connection:
        before = connection.execute(text("SELECT n FROM a WHERE b = 'x'")).scalar()
        table.transact(lambda other: count_up(other, "x"))
        assert connection.execute(text("SELECT n FROM a WHERE b = 'x'")).scalar() == before
    assert counted(table) == {"x": before + 1, "y": 0}


@pytest.mark.parametrize("sql", ["DELETE FROM a", "DROP TABLE a", "CREATE TABLE c (d INT)"])
def test_a_query_that_writes_is_refused_for_good(table, sql):
    with pytest.raises(PermanentError, match="a query may only read"):
        table.query(sql, {})
    assert len(counted(table)) == 2


def test_values_come_as_from_sqlite(table):
    (row,) = table.query(
        "SELECT SUM(n) AS total, SUM(n) / 4 AS share, _binary'A1 ' AS id, '5%' AS percent, "
        "NULL AS nothing FROM a",
        {},
    )
    assert row == {"total": 0, "share": 0, "id": "A1 ", "percent": "5%", "nothing": None}
    assert [type(row[name]) for name in ("total", "share", "id")] == [int, int, str]


def test_a_deadlock_is_tried_again_until_both_are_through(table):
    both_hold_one = threading.Barrier(2)
    attempts = []

    def work(first, second):
        def transaction(connection):
            attempts.append(first)
            count_up(connection, first)
            with suppress(threading.BrokenBarrierError):
                both_hold_one.wait(5 if attempts.count(first) == 1 else 0.01)
            count_up(connection, second)

        table.transact(transaction)

    threads = [threading.Thread(target=work, args=pair) for pair in (("x", "y"), ("y", "x"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(attempts) > 2, "there was no deadlock"
    assert counted(table) == {"x": 2, "y": 2}


def test_a_connection_that_is_cut_in_the_middle_costs_an_attempt_and_no_row(
    table, mariadb, mariadb_url
):
    attempts = []

    def work(connection):
        attempts.append(1)
        count_up(connection, "x")
        if len(attempts) == 1:
            assert mariadb.kill_connections(name_of(mariadb_url))
        count_up(connection, "y")

    table.transact(work)
    assert len(attempts) == 2
    assert counted(table) == {"x": 1, "y": 1}


def test_connections_that_were_cut_while_idle_are_not_noticed(table, mariadb, mariadb_url):
    counted(table)
    assert mariadb.kill_connections(name_of(mariadb_url))
    assert counted(table) == {"x": 0, "y": 0}


def test_what_is_always_interrupted_is_given_up_at_last(table, monkeypatch):
    monkeypatch.setattr("dicom_pipeline.sql_engine._LONGEST_PAUSE_SECONDS", 0.001)
    attempts = []

    def work(_):
        attempts.append(1)
        raise InterruptedTransactionError("deadlock")

    with pytest.raises(TransientError, match="deadlock"):
        table.transact(work)
    assert 2 < len(attempts) < 20


def test_a_server_that_was_killed_is_away_and_then_has_all_that_was_committed(table, mariadb):
    table.transact(lambda connection: count_up(connection, "x"))
    mariadb.kill()
    with pytest.raises(TransientError, match=r"is the server up") as refusal:
        table.transact(lambda connection: count_up(connection, "x"))
    assert PASSWORD not in everything_told(refusal)
    mariadb.start()
    assert counted(table) == {"x": 1, "y": 0}


def test_a_server_that_hangs_is_away_after_the_time_limit(mariadb, mariadb_url):
    url = f"{mariadb_url}?connect_timeout=1&read_timeout=1"
    database = SqlDatabase(url, "catalog")
    database.query("SELECT 1", {})
    started = time.monotonic()
    with (
        closing(database),
        mariadb.frozen(),
        pytest.raises(TransientError, match="the connection was lost"),
    ):
        database.query("SELECT 1", {})
    assert time.monotonic() - started < 25


def test_a_lock_that_is_held_for_long_is_worth_another_try(table):
    with table.write() as holder:
        count_up(holder, "x")

        def work(connection):
            connection.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 1")
            count_up(connection, "x")

        with pytest.raises(TransientError, match="another transaction holds a lock"):
            table.transact(work)


def test_a_server_that_takes_no_writes_is_worth_another_try(table, mariadb):
    with mariadb.admin() as cursor:
        cursor.execute("SET GLOBAL read_only = ON")
        try:
            with pytest.raises(TransientError, match="is it a replica"):
                table.transact(lambda connection: count_up(connection, "x"))
        finally:
            cursor.execute("SET GLOBAL read_only = OFF")
    table.transact(lambda connection: count_up(connection, "x"))


def test_too_many_connections_are_worth_another_try(mariadb, mariadb_url):
    database = SqlDatabase(mariadb_url, "catalog")
    with mariadb.admin() as cursor, ExitStack() as others:
        cursor.execute("SET GLOBAL max_connections = 10")
        try:
            with suppress(pymysql.OperationalError):
                while True:
                    others.enter_context(mariadb.connect())
            with pytest.raises(TransientError, match="raise max_connections"):
                database.query("SELECT 1", {})
        finally:
            cursor.execute("SET GLOBAL max_connections = 60")
    database.close()


@pytest.mark.parametrize(
    ("right", "wrong"), [("%40word", "%40wrong"), (f"//{USER}:", "//nobody:"), ("/test_", "/sys_")]
)
def test_who_is_not_let_in_reads_what_to_do_and_no_password(mariadb_url, right, wrong):
    database = SqlDatabase(mariadb_url.replace(right, wrong), "catalog")
    with pytest.raises(ConfigurationError, match="check user and password") as refusal:
        database.query("SELECT 1", {})
    database.close()
    assert "s3cret" not in everything_told(refusal)


def test_a_database_that_is_not_there_names_the_remedy(mariadb_url):
    database = SqlDatabase(f"{mariadb_url}_gone", "catalog")
    with pytest.raises(ConfigurationError, match=r"Unknown database.*create the database first"):
        database.query("SELECT 1", {})
    database.close()


def test_a_missing_table_names_the_remedy(database):
    with pytest.raises(TransientError, match=r"study.*run `dicom-pipeline migrate`"):
        database.query("SELECT * FROM study", {})


@pytest.mark.parametrize(
    ("sql", "value", "said"),
    [
        ("INSERT INTO a (b) VALUES (:value)", "Zhang^San^Feng", "does not fit its column b"),
        ("INSERT INTO a (b) VALUES (:value)", "Zhang\ud800", "does not fit its column"),
        ("INSERT INTO a (b, n) VALUES ('z', :value)", "Zhang^San", "does not fit its column n"),
        ("INSERT INTO a (b, n) VALUES ('z', :value)", 1 << 70, "does not fit its column n"),
        ("INSERT INTO a (b) VALUES (:value) NONSENSE", "Zhang", "error 1064 PARSE_ERROR"),
        ("INSERT INTO a (b) VALUES (:value), (:value)", "Zhang", "error 1062 DUP_ENTRY"),
    ],
)
def test_an_error_tells_no_value(table, sql, value, said):
    with pytest.raises(PermanentError, match=said) as refusal, table.write() as connection:
        connection.execute(text(sql), {"value": value})
    assert "Zhang" not in everything_told(refusal)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_tls_files_that_cannot_be_used_are_told_at_once(tmp_path, content):
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="files of the TLS options cannot be used"):
        SqlDatabase(f"mysql+pymysql://me:s3cret@db/catalog?ssl_ca={path}", "catalog")


def test_a_connection_with_tls_trusts_the_authority_that_the_url_names(tmp_path):
    for name in ("ours", "other"):
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / f"{name}.pem")
        certificate = authority.issue_cert(HOST)
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.crt")
    options = [
        f"--ssl-{kind}={tmp_path / f'ours.{end}'}"
        for kind, end in (("ca", "pem"), ("cert", "crt"), ("key", "key"))
    ]
    with running_mariadb(*options) as server, server.fresh_database() as url:
        trusting = SqlDatabase(f"{url}?ssl_ca={tmp_path / 'ours.pem'}", "catalog")
        (row,) = trusting.query("SHOW STATUS LIKE 'Ssl_cipher'", {})
        trusting.close()
        assert row["Value"]
        other = SqlDatabase(f"{url}?ssl_ca={tmp_path / 'other.pem'}", "catalog")
        with pytest.raises(ConfigurationError, match="check the TLS options"):
            other.query("SELECT 1", {})
        other.close()
