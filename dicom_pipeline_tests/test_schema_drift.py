import pytest

from dicom_pipeline.catalog.sql import SqlCatalog


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.service)])
def catalog(request, tmp_path):
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    if request.param == "mariadb":
        url = request.getfixturevalue("mariadb_url")
    with SqlCatalog(url) as catalog:
        catalog.migrate()
        yield catalog


@pytest.fixture
def on_mariadb(mariadb_url):
    with SqlCatalog(mariadb_url) as catalog:
        catalog.migrate()
        yield catalog


def change(catalog, sql):
    with catalog._database.write() as connection:
        connection.exec_driver_sql(sql)


def test_what_the_migrations_have_made_does_not_deviate(catalog):
    assert catalog.drift() == []


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("DROP TABLE abandoned_range", "table abandoned_range is missing"),
        ("DROP VIEW current_storage_record", "view current_storage_record is missing"),
        (
            "ALTER TABLE study DROP COLUMN study_id",
            "column study_id of table study is missing",
        ),
        (
            "ALTER TABLE study ADD COLUMN colour INTEGER",
            "column colour of table study is none of ours",
        ),
        (
            "CREATE UNIQUE INDEX one_name ON patient (patient_name_phonetic)",
            "the unique index one_name of table patient is none of ours",
        ),
    ],
)
def test_a_deviation_is_told(catalog, sql, told):
    change(catalog, sql)
    assert catalog.drift() == [told]


def test_an_index_that_somebody_has_added_is_their_business(catalog):
    change(catalog, "CREATE INDEX by_station ON series (device_serial_number)")
    assert catalog.drift() == []


@pytest.mark.service
@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (
            "ALTER TABLE study MODIFY study_id VARCHAR(16) COLLATE utf8mb4_bin",
            "column study_id of table study is VARCHAR(16) COLLATE utf8mb4_bin, not VARCHAR(64) ",
        ),
        (
            "ALTER TABLE study MODIFY study_id VARCHAR(64) COLLATE utf8mb4_general_ci",
            "column study_id of table study is VARCHAR(64) COLLATE utf8mb4_general_ci, not ",
        ),
        (
            "ALTER TABLE study MODIFY number_of_series INT NULL",
            "column number_of_series of table study is INTEGER, not BIGINT",
        ),
        (
            "ALTER TABLE study DROP PRIMARY KEY, ADD PRIMARY KEY (study_uid)",
            "the key of table study is (study_uid), not (tenant_id, study_uid)",
        ),
        ("DROP INDEX study_by_date ON study", "index study_by_date of table study is missing"),
        (
            "ALTER TABLE study DROP INDEX study_by_date, ADD INDEX study_by_date (study_date)",
            "index study_by_date of table study is on (study_date), not (tenant_id, study_date)",
        ),
        (
            "ALTER TABLE study ENGINE = Aria",
            "table study is in the storage engine Aria, not InnoDB",
        ),
    ],
)
def test_a_deviation_in_mysql_is_told(on_mariadb, sql, told):
    change(on_mariadb, sql)
    assert any(one.startswith(told) for one in on_mariadb.drift())


@pytest.mark.service
def test_an_interrupted_migration_is_told(on_mariadb):
    change(on_mariadb, "INSERT INTO schema_migration_progress VALUES (9, 'abc', 2, 0)")
    (told,) = on_mariadb.drift()
    assert told.startswith("migration 0009 was interrupted after 2 of its statements: run ")
