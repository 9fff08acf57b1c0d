"""The catalog's schemas in SQLite and in MySQL are one schema."""

import pytest
from sqlalchemy import create_engine, inspect

from dicom_pipeline.catalog import tables
from dicom_pipeline.catalog.sql import SqlCatalog
from dicom_pipeline.imaging import tag_columns

pytestmark = pytest.mark.service

TAGS = {
    "patient": tag_columns.PATIENT,
    "study": tag_columns.STUDY,
    "series": tag_columns.SERIES,
    "instance": tag_columns.IMAGE,
}
SQLITE_TYPES = {
    "VARCHAR": "TEXT",
    "TEXT": "TEXT",
    "MEDIUMTEXT": "TEXT",
    "VARBINARY": "TEXT",
    "BIGINT": "INTEGER",
    "DOUBLE": "REAL",
}


@pytest.fixture(scope="module")
def schemas(mariadb, tmp_path_factory):
    """What SQLAlchemy sees in both, migrated: SQLite first."""
    file = tmp_path_factory.mktemp("schemas") / "catalog.db"
    with mariadb.fresh_database() as url:
        engines = [create_engine(one) for one in (f"sqlite:///{file}", url)]
        for engine in engines:
            with SqlCatalog(engine.url.render_as_string(hide_password=False)) as catalog:
                catalog.migrate()
        yield [inspect(engine) for engine in engines]
        for engine in engines:
            engine.dispose()


def test_both_have_the_same_tables_and_views(schemas):
    sqlite, mysql = schemas
    assert {*mysql.get_table_names()} == {*sqlite.get_table_names(), "schema_migration_progress"}
    assert mysql.get_view_names() == sqlite.get_view_names() == list(tables.VIEWS)


@pytest.mark.parametrize("name", [*tables.METADATA.tables, *tables.VIEWS])
def test_both_have_the_same_columns_in_the_same_order(schemas, name):
    sqlite, mysql = schemas

    def plain(column):
        kind = str(column["type"]).partition("(")[0].partition(" ")[0]
        return column["name"], SQLITE_TYPES[kind]

    expected = [(column["name"], str(column["type"])) for column in sqlite.get_columns(name)]
    assert [plain(column) for column in mysql.get_columns(name)] == expected
    if name in tables.METADATA.tables:
        declared = [(column.name, column.nullable) for column in tables.METADATA.tables[name].c]
        for schema in schemas:
            found = [(column["name"], column["nullable"]) for column in schema.get_columns(name)]
            assert found == declared


@pytest.mark.parametrize("name", tables.METADATA.tables)
def test_both_have_the_same_keys_and_indexes(schemas, name):
    sqlite, mysql = (
        (
            schema.get_pk_constraint(name)["constrained_columns"],
            {one["name"]: (one["column_names"], bool(one["unique"])) for one in found},
        )
        for schema in schemas
        for found in [schema.get_indexes(name)]
    )
    assert sqlite == mysql


@pytest.mark.parametrize("name", tables.METADATA.tables)
def test_every_table_and_column_in_mysql_has_a_comment(schemas, name):
    _, mysql = schemas
    assert mysql.get_table_comment(name)["text"]
    assert [column["name"] for column in mysql.get_columns(name) if not column["comment"]] == []


@pytest.mark.parametrize("name", TAGS)
def test_a_column_takes_the_longest_text_that_the_tag_reader_keeps(name):
    for tag in TAGS[name]:
        if tag.length:
            assert tables.LENGTHS[name][tag.name] == tag.length
