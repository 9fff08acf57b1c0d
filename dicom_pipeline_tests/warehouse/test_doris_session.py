"""Statements: parameters, reading only, errors in our own terms and without values."""

import pytest

from dicom_pipeline.errors import ConfigurationError, PermanentError, TransientError
from dicom_pipeline.warehouse import IMAGE, OBJECT_META
from dicom_pipeline.warehouse.doris.adapter import DorisWarehouse
from dicom_pipeline.warehouse.doris.binding import client_format, rendered, require_reading
from dicom_pipeline.warehouse.doris.reasons import refused_rows, without_values
from dicom_pipeline_tests.services.doris import DorisDouble, faults
from dicom_pipeline_tests.services.doris.cluster import USER
from dicom_pipeline_tests.warehouse.clusters import fresh_warehouse
from dicom_pipeline_tests.warehouse.samples import row_of

ERROR_LOG = """\
Reason: column_name[patient_name], the length of input is too long than schema. \
first 32 bytes of input str: [Zhang^San] schema length: 64; actual length: 90; . \
src line [{"trace_id":"019a0000-0000-7000-8000-000000000001","x":"Zhang^San"}];
Reason: column(file_size) value is incorrect while strict mode is true, src value is Zhang. \
src line [Zhang];
Reason: column_name[study_uid], null value for not null column, type=VARCHAR. src line [Zhang];
Reason: no partition for this tuple. tuple=Zhang. src line [Zhang];
Reason: something new about Zhang. src line [Zhang];
"""


@pytest.fixture(scope="module")
def cluster():
    with DorisDouble(frontends=2) as double:
        yield double


@pytest.fixture
def warehouse(cluster):
    with fresh_warehouse(cluster) as warehouse:
        yield warehouse
    cluster.faults.clear()


def test_parameters_are_told_from_times_texts_casts_and_comments():
    texts = "SELECT '10:30', \"a:b\", `c:d`, x::INT, '{percent}' FROM t -- :c 50{percent}\n"
    assert client_format(texts.format(percent="%") + "WHERE a = :a AND b = :b") == (
        texts.format(percent="%%") + "WHERE a = %(a)s AND b = %(b)s"
    )


@pytest.mark.parametrize(
    "value", ["O'Neill", 'a"b', "back\\slash", "new\nline", "per%cent :x", "影像 \U00020000", ""]
)
def test_any_text_reaches_the_tables_and_comes_back(warehouse, value):
    warehouse.load(IMAGE, [row_of(IMAGE, image_comments=value)], "label")
    sql = f"SELECT image_comments AS c FROM {IMAGE} WHERE image_comments = :value"
    assert warehouse.query(sql, value=value) == [{"c": value}]


def test_a_statement_is_shown_as_it_is_sent():
    sql = "SELECT 1 FROM t WHERE a = :a AND n = :n AND x IS NULL = :x AND created_time >= :t"
    values = {"a": "it's", "n": 7, "x": None, "t": "2026-01-31T12:00:00.000001Z"}
    assert rendered(sql, values) == (
        "SELECT 1 FROM t WHERE a = 'it\\'s' AND n = 7 AND x IS NULL = NULL "
        "AND created_time >= '2026-01-31 12:00:00.000001'"
    )


def test_times_are_compared_and_returned_as_everywhere(warehouse):
    time = "2026-01-31T12:00:00.000001Z"
    warehouse.load(OBJECT_META, [row_of(OBJECT_META, created_time=time)], "label")
    sql = f"SELECT created_time, MAX(created_time) AS last, study_date FROM {OBJECT_META} "
    where = "WHERE created_time {} :time GROUP BY created_time, study_date"
    assert warehouse.query(sql + where.format(">="), time=time) == [
        {"created_time": time, "last": time, "study_date": "2026-01-31"}
    ]
    assert warehouse.query(sql + where.format(">"), time=time) == []


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM dicom_image",
        "  /* SELECT */ INSERT INTO t VALUES (1)",
        "-- SELECT\nDROP TABLE t",
        "SELECT 1; DROP TABLE t",
        "SELECT * FROM t INTO OUTFILE 'hdfs://x'",
        "STOP ROUTINE LOAD FOR x",
        "",
    ],
)
def test_a_query_that_is_none_is_refused(sql):
    with pytest.raises(PermanentError, match="may only read"):
        require_reading(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'DROP; TABLE' FROM t -- ; DROP",
        "(SELECT 1) UNION (SELECT 2)",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "SHOW ALL ROUTINE LOAD",
        "desc dicom_image",
    ],
)
def test_a_query_that_reads_is_let_through(sql):
    require_reading(sql)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("no available backends", TransientError),
        ("query timeout, timeout: 300", TransientError),
        ("MEM_LIMIT_EXCEEDED", TransientError),
        ("Table [dicom_image] does not exist in database [x].", TransientError),
        ("Unknown column 'colour' in 'table list'", PermanentError),
    ],
)
def test_a_refused_statement_is_worth_another_try_only_when_that_may_help(
    warehouse, cluster, message, error
):
    cluster.faults.add(faults.REFUSED_QUERY, message)
    with pytest.raises(error) as refusal:
        warehouse.query("SELECT 1 AS one")
    assert type(refusal.value) is error
    assert warehouse.query("SELECT 1 AS one") == [{"one": 1}]


def test_a_statement_that_takes_too_long_is_not_asked_again(cluster):
    with fresh_warehouse(cluster, migrate=False, query_seconds=0.3) as warehouse:
        warehouse.session.ensure_database()
        warehouse.query("SELECT 1 AS one")  # connects
        cluster.faults.add(faults.SLOW_QUERY, 1.0)
        cluster.statements.clear()
        with pytest.raises(TransientError, match="timed out"):
            warehouse.query("SELECT 'slow' AS one")
        assert sum("slow" in statement for statement in cluster.statements) == 1


def test_what_a_refusal_quotes_of_the_parameters_is_not_repeated(warehouse, cluster):
    cluster.faults.add(faults.REFUSED_QUERY, "Invalid number 'Zhang^San' near 'Zhang^San'")
    with pytest.raises(PermanentError, match=":name") as refusal:
        warehouse.query("SELECT :name + 1 AS one", name="Zhang^San")
    assert "Zhang" not in str(refusal.value)


def test_before_the_migration_work_waits_and_names_the_command(cluster):
    with fresh_warehouse(cluster, migrate=False) as warehouse:
        with pytest.raises(TransientError, match="dicom-pipeline migrate"):
            warehouse.query(f"SELECT * FROM {IMAGE}")
        with pytest.raises(TransientError):
            warehouse.load(IMAGE, [row_of(IMAGE)], "label")
        assert warehouse.migrate()
        assert warehouse.query(f"SELECT COUNT(*) AS n FROM {IMAGE}") == [{"n": 0}]


def test_migrations_are_applied_once_and_a_changed_one_is_told(warehouse, monkeypatch):
    assert warehouse.migrate() == []
    session = warehouse.session
    session.execute(
        "INSERT INTO schema_migration (number, name, checksum, applied_at)"
        " VALUES (1, 'x', 'another', 'now')"
    )
    with pytest.raises(ConfigurationError, match=r"0001_object_meta\.sql was changed"):
        warehouse.migrate()


def test_a_migration_that_breaks_off_is_finished_by_the_next(cluster):
    with fresh_warehouse(cluster, migrate=False) as warehouse:
        # CREATE DATABASE, SET, the bookkeeping table, SELECT and three statements go well
        cluster.faults.add(faults.REFUSED_QUERY, "Syntax error", after=8)
        with pytest.raises(PermanentError, match="Syntax error"):
            warehouse.migrate()
        assert warehouse.query(f"SELECT COUNT(*) AS n FROM {OBJECT_META}") == [{"n": 0}]
        assert "0002_tag_tables.sql" in warehouse.migrate()
        assert warehouse.migrate() == []


def test_a_user_who_may_not_create_databases_can_migrate_one_that_is_there(cluster):
    with fresh_warehouse(cluster, migrate=False) as warehouse:
        cluster.catalog.create(warehouse.options.database, if_not_exists=False)
        cluster.statements.clear()
        assert warehouse.migrate()
        assert not any("DATABASE" in statement for statement in cluster.statements)


def test_too_few_backends_for_the_replicas_are_told(cluster):
    with (
        fresh_warehouse(cluster, migrate=False, replicas=3) as warehouse,
        pytest.raises(ConfigurationError, match=r"available backend num is 1.*option replicas"),
    ):
        warehouse.migrate()


def test_a_user_without_rights_is_told(cluster):
    with (
        DorisWarehouse(cluster.url("anything").replace(USER, "nobody")) as warehouse,
        pytest.raises(ConfigurationError, match="user nobody: Access denied"),
    ):
        warehouse.migrate()


def test_an_error_log_is_summed_up_without_its_values():
    told = refused_rows(ERROR_LOG)
    assert "Zhang" not in told
    assert "column patient_name: too long: 90 bytes, the column holds 64 (1 rows)" in told
    assert "column file_size: of another type (1 rows)" in told
    assert "column study_uid: NULL in a NOT NULL column (1 rows)" in told
    assert "no partition for its time (1 rows)" in told
    assert "refused (1 rows)" in told
    assert told.endswith("first of receipt 019a0000-0000-7000-8000-000000000001")


def test_a_message_ends_where_it_may_quote():
    assert without_values("[X]rpc failed, host: 10.0.0.1") == "[X]rpc failed, host: 10.0.0.1"
    assert "Zhang" not in without_values("bad row, src line [Zhang]")
    assert "Zhang" not in without_values("parse json data error: {Zhang}")
