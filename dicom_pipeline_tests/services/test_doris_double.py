"""The double of Doris refuses what Doris refuses: else tests against it would prove nothing."""

import base64
import http.client
import json
import re

import pymysql
import pytest

from dicom_pipeline_tests.services.doris import DorisDouble
from dicom_pipeline_tests.services.doris.cluster import PASSWORD, USER
from dicom_pipeline_tests.services.doris.errors import DorisError
from dicom_pipeline_tests.services.doris.loading import Loader, Mapping
from dicom_pipeline_tests.services.doris.store import Database
from dicom_pipeline_tests.services.doris.tables import Column, create_table
from dicom_pipeline_tests.services.doris.values import RowRefusedError, loaded

pytestmark = pytest.mark.service

GOOD = """CREATE TABLE t (
    k VARCHAR(36) NOT NULL COMMENT "the key, with a (bracket)",
    d DATETIME(6) NOT NULL,
    v BIGINT NULL DEFAULT "7",
    s VARCHAR(64) NULL,
    j JSON NULL,
    INDEX by_s (s) USING INVERTED PROPERTIES("parser" = "chinese")
)
ENGINE = OLAP
UNIQUE KEY(k, d)
COMMENT "a table"
PARTITION BY RANGE (d) ()
DISTRIBUTED BY HASH(k) BUCKETS 10
PROPERTIES ("replication_num" = "1", "function_column.sequence_col" = "v",
    "dynamic_partition.enable" = "true", "dynamic_partition.end" = "3")"""


@pytest.fixture(scope="module")
def cluster():
    with DorisDouble() as double:
        double.catalog.create("imaging", if_not_exists=False)
        yield double


@pytest.fixture
def client(cluster):
    frontend = cluster.frontends[0]
    connection = pymysql.connect(
        host=frontend.host,
        port=frontend.mysql_port,
        user=USER,
        password=PASSWORD,
        database="imaging",
        autocommit=True,
    )
    yield connection
    connection.close()


def test_a_good_table_is_taken():
    table, if_not_exists = create_table(GOOD, backends=1)
    assert [column.name for column in table.columns] == ["k", "d", "v", "s", "j"]
    assert (table.keys, table.unique, if_not_exists) == (["k", "d"], True, False)
    assert (table.sequence, table.partition) == ("v", "d")


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("UNIQUE KEY(k, d)", "UNIQUE KEY(d, k)", "ordered prefix"),
        ("UNIQUE KEY(k, d)", "UNIQUE KEY(k, v)", "ordered prefix"),
        ("UNIQUE KEY(k, d)", "UNIQUE KEY(k)", "partition column"),
        ("HASH(k)", "HASH(s)", "not key column"),
        ("HASH(k) BUCKETS 10", "HASH(k)", "mismatched input"),
        ("k VARCHAR(36)", "k STRING", "key column"),
        ("VARCHAR(64)", "VARCHAR(65534)", "max length of varchar"),
        ("VARCHAR(64)", "TEXT64", "no viable alternative"),
        ("s VARCHAR(64)", "v VARCHAR(64)", "Duplicate column"),
        ('sequence_col" = "v"', 'sequence_col" = "x"', "not exists"),
        ('sequence_col" = "v"', 'sequence_col" = "s"', "integer types and date types"),
        ('sequence_col" = "v"', 'sequence_type" = "double"', "integer types and date types"),
        ("UNIQUE KEY", "DUPLICATE KEY", "UNIQUE_KEYS"),
        ('"replication_num" = "1"', '"replication_num" = "2"', "available backend"),
        ('"replication_num"', '"replicas"', "Unknown properties"),
        ("PARTITION BY RANGE (d) ()\n", "", "range partition table"),
        ("PARTITION BY RANGE (d)", "AUTO PARTITION BY RANGE (d)", "date_trunc"),
        ("PARTITION BY RANGE (d)", "PARTITION BY RANGE (x)", "not exists"),
        ("by_s (s)", "by_s (x)", "does not exist"),
        ("by_s (s)", "by_s (j)", "not supported in INVERTED"),
        ("by_s (s)", "by_s (v)", "parser is not supported"),
        ('"chinese"', '"klingon"', "inverted index property"),
    ],
)
def test_a_table_that_breaks_a_rule_is_refused(good, bad, said):
    assert good in GOOD
    with pytest.raises(DorisError, match=re.escape(said)):
        create_table(GOOD.replace(good, bad), backends=1)


def column(kind, size=None, *, nullable=True):
    return Column("c", kind, size, nullable)


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (column("VARCHAR", 6), "影像", "影像"),
        (column("BIGINT"), "7", 7),
        (column("BIGINT"), True, 1),
        (column("BIGINT"), -(2**63), -(2**63)),
        (column("LARGEINT"), str(2**100), 2**100),
        (column("DOUBLE"), 1, 1.0),
        (column("DATE"), "20251015", "2025-10-15"),
        (column("DATE"), "2025-10-15", "2025-10-15"),
        (column("DATETIME", 6), "2025-10-15T01:02:03.5", "2025-10-15 01:02:03.500000"),
        (column("DATETIME"), "2025-10-15 01:02:03.5", "2025-10-15 01:02:03"),
        (column("DATETIME", 6), "2025-10-15T16:00:00Z", "2025-10-16 00:00:00.000000"),
        (column("VARCHAR", 64), ["a"], '["a"]'),
        (column("JSON"), '{"a": 1.0}', '{"a":1.0}'),
        (column("BIGINT"), None, None),
    ],
)
def test_a_value_is_stored_as_its_type_has_it(kind, value, stored):
    assert loaded(kind, value, strict=True, zone="Asia/Shanghai") == stored


@pytest.mark.parametrize(
    ("kind", "value", "said", "loose"),
    [
        (column("VARCHAR", 5), "影像", "actual length: 6", None),
        (column("VARCHAR", 5), "abcdef", "actual length: 6", "abcde"),
        (column("BIGINT"), 2**63, "value is incorrect", None),
        (column("BIGINT"), "many", "value is incorrect", None),
        (column("DATE"), "2025-02-30", "value is incorrect", None),
        (column("DATETIME", 6), "soon", "value is incorrect", None),
        (column("JSON"), "{", "value is incorrect", None),
        (column("JSON"), json.dumps("x" * (1 << 20)), "value is incorrect", None),
        (column("BIGINT", nullable=False), None, "null value for not null column", None),
    ],
)
def test_a_value_that_does_not_fit_filters_its_row_or_is_lost_quietly(kind, value, said, loose):
    with pytest.raises(RowRefusedError, match=said):
        loaded(kind, value, strict=True, zone="UTC")
    too_long = kind.type == "VARCHAR" and not value.isascii()
    if too_long or not kind.nullable:
        with pytest.raises(RowRefusedError):
            loaded(kind, value, strict=False, zone="UTC")
    else:
        assert loaded(kind, value, strict=False, zone="UTC") == loose


def test_the_newest_sequence_of_a_key_stays_and_an_equal_one_replaces():
    database = Database("imaging")
    table, _ = create_table(GOOD, backends=1)
    database.create_table(table, if_not_exists=False)
    row = {"k": "1", "d": "2026-01-31 00:00:00.000000"}
    for version, text in [(2, "two"), (1, "one"), (2, "two again"), (-5, "before all")]:
        database.upsert(table, [{**row, "v": version, "s": text}])
    assert database.query("SELECT v, s FROM t").rows == [(2, "two again")]


def test_a_load_must_say_what_its_sequence_is():
    database = Database("imaging")
    ddl = GOOD.replace('sequence_col" = "v"', 'sequence_type" = "largeint"')
    database.create_table(create_table(ddl, backends=1)[0], if_not_exists=False)
    with pytest.raises(DorisError, match="need to specify the sequence column"):
        Loader(database, "t", Mapping("k,d,s"))
    Loader(database, "t", Mapping("k,d,s,o", sequence="o"))


def test_a_time_without_a_partition_filters_its_row():
    database = Database("imaging")
    database.create_table(create_table(GOOD, backends=1)[0], if_not_exists=False)
    loader = Loader(database, "t", Mapping(strict=True, zone="UTC"))
    found = loader.read([b'{"k": "1", "d": "2999-01-31 00:00:00", "v": 1}'])
    assert "no partition for this tuple" in found.refused[0]


@pytest.mark.parametrize("line", [b"{", b"[1]", b'"text"', b"\xff"])
def test_a_line_that_is_no_object_filters_its_row(line):
    database = Database("imaging")
    database.create_table(create_table(GOOD, backends=1)[0], if_not_exists=False)
    assert "Parse json data" in Loader(database, "t", Mapping()).read([line]).refused[0]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELEC 1", "no viable alternative"),
        ("SELECT * FROM nowhere", "does not exist in database"),
        ("UPDATE t SET v = 1", "no viable alternative"),
        ("CREATE TABLE x (k INT)", "mismatched input"),
        ("INSERT INTO nowhere (k) VALUES (1)", "unknown table"),
        ("USE nowhere", "Unknown database"),
    ],
)
def test_a_statement_that_doris_would_not_take_is_refused(client, sql, said):
    with client.cursor() as cursor, pytest.raises(pymysql.MySQLError, match=said):
        cursor.execute(sql)


def test_an_insert_is_strict(client):
    with client.cursor() as cursor:
        cursor.execute(GOOD.replace("CREATE TABLE t", "CREATE TABLE strict"))
        insert = "INSERT INTO strict (k, d, v, s) VALUES (%s, now(), %s, %s)"
        cursor.execute(insert, ("1", 1, "it's \\ ok"))
        with pytest.raises(pymysql.MySQLError, match="filtered data in strict mode"):
            cursor.execute(insert, ("2", 1, "影" * 22))
        cursor.execute("SELECT k, s FROM strict")
        assert cursor.fetchall() == (("1", "it's \\ ok"),)


def test_a_wrong_password_is_refused(cluster):
    frontend = cluster.frontends[0]
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        pymysql.connect(host=frontend.host, port=frontend.mysql_port, user=USER, password="wrong")


def put(cluster, path, body=b"{}", *, to="fe", **headers):
    backend, frontend = cluster.backends[0], cluster.frontends[0]
    node = (backend.host, backend.port) if to == "be" else (frontend.host, frontend.http_port)
    connection = http.client.HTTPConnection(*node, timeout=10)
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    given = {"Authorization": f"Basic {secret}", "Expect": "100-continue", "format": "json"}
    given |= {"read_json_by_line": "true", **headers}
    connection.request("PUT", path, body, {k: v for k, v in given.items() if v is not None})
    response = connection.getresponse()
    content = response.read().decode()
    connection.close()
    return response, content


def test_a_frontend_redirects_to_a_backend_with_the_password_in_the_address(cluster):
    response, _ = put(cluster, "/api/imaging/t/_stream_load")
    location = response.getheader("Location")
    assert response.status == 307
    assert location.startswith(f"http://{USER}:s3cret%2F%40word@127.0.1.1:")


def test_a_frontend_refuses_a_load_without_expect_and_a_wrong_password(cluster):
    _, content = put(cluster, "/api/imaging/t/_stream_load", Expect=None)
    assert "There is no 100-continue header" in content
    response, _ = put(cluster, "/api/imaging/t/_stream_load", Authorization="Basic bm9ib2R5Og==")
    assert response.status == 401


@pytest.mark.parametrize(
    ("path", "headers", "said"),
    [
        ("/api/imaging/nowhere/_stream_load", {}, "unknown table"),
        ("/api/nowhere/t/_stream_load", {}, "Unknown database"),
        ("/api/imaging/t/_stream_load", {"label": "no label"}, "Label format error"),
        ("/api/imaging/t/_stream_load", {"format": "csv"}, "JSON by line"),
        ("/api/imaging/t/_stream_load", {"Authorization": None}, "Access denied"),
    ],
)
def test_a_backend_refuses_a_load_that_is_wrong(cluster, path, headers, said):
    _, content = put(cluster, path, to="be", **headers)
    assert json.loads(content)["Status"] == "Fail"
    assert said in json.loads(content)["Message"]
