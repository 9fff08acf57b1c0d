"""The DDL, the column lists and the data dictionary say the same."""

import re
from pathlib import Path

import pytest
from pydicom.datadict import tag_for_keyword
from sqlalchemy import MetaData, create_engine, inspect

from dicom_pipeline.catalog import tables
from dicom_pipeline.catalog.sql import SqlCatalog
from dicom_pipeline.imaging import tag_columns
from dicom_pipeline.sql_tables import make_table
from dicom_pipeline.warehouse.columns import TABLES
from dicom_pipeline.warehouse.sqlite import SqliteWarehouse

DICTIONARY = Path(__file__).parent.parent / "docs" / "data-dictionary.md"
DDL_TYPES = {"TEXT": "TEXT", "BIGINT": "INTEGER", "SMALLINT": "INTEGER", "DOUBLE": "REAL"}
TAGS = {
    "patient": tag_columns.PATIENT,
    "study": tag_columns.STUDY,
    "series": tag_columns.SERIES,
    "instance": tag_columns.IMAGE,
    "dicom_patient": tag_columns.PATIENT,
    "dicom_study": tag_columns.STUDY,
    "dicom_series": tag_columns.SERIES,
    "dicom_image": tag_columns.IMAGE,
}
WAREHOUSE_METADATA = MetaData()
DECLARED = {
    **tables.METADATA.tables,
    **{name: make_table(columns, WAREHOUSE_METADATA) for name, columns in TABLES.items()},
}
VIEWS = {
    "current_storage_record",
    "study_summary",
    "study_modality_summary",
    "conversion_failure_summary",
    "conversion_history",
    "daily_receipts",
}


@pytest.fixture(scope="module")
def schemas(tmp_path_factory):
    """What SQLAlchemy sees in the migrated databases."""
    folder = tmp_path_factory.mktemp("schemas")
    with (
        SqlCatalog(f"sqlite:///{folder / 'catalog.db'}") as catalog,
        SqliteWarehouse(folder / "warehouse.db") as warehouse,
    ):
        catalog.migrate()
        warehouse.migrate()
    engines = [create_engine(f"sqlite:///{folder / name}.db") for name in ("catalog", "warehouse")]
    yield [inspect(engine) for engine in engines]
    for engine in engines:
        engine.dispose()


@pytest.fixture(scope="module")
def real(schemas):
    """Each table and view by its name: its key and its columns as (name, type, may be NULL)."""
    return {
        name: (
            schema.get_pk_constraint(name)["constrained_columns"],
            [(c["name"], str(c["type"]), c["nullable"]) for c in schema.get_columns(name)],
        )
        for schema in schemas
        for name in (*schema.get_table_names(), *schema.get_view_names())
    }


@pytest.fixture(scope="module")
def dictionary():
    """Each section of the dictionary: its key, and its columns' cells by name."""
    text = DICTIONARY.read_text(encoding="utf-8")
    sections = re.split(r"^### (\w+)$", text, flags=re.MULTILINE)[1:]
    return {
        name: (
            re.findall(r"`(\w+)`", "".join(re.findall(r"^Key: .*$", body, re.MULTILINE))),
            {
                column: cells.split(" | ")
                for column, cells in re.findall(r"^\| `(\w+)` \| (.*) \|$", body, re.MULTILINE)
            },
        )
        for name, body in zip(sections[::2], sections[1::2], strict=True)
    }


def test_every_table_and_view_is_declared(real):
    assert set(real) == {*DECLARED, *VIEWS, "schema_migration"}


@pytest.mark.parametrize("name", DECLARED)
def test_the_declared_columns_and_key_are_the_tables(real, name):
    table = DECLARED[name]
    key, columns = real[name]
    assert [column.name for column in table.primary_key.columns] == key
    declared = [(c.name, DDL_TYPES[str(c.type)], c.nullable) for c in table.columns]
    assert declared == columns


def test_object_meta_keeps_the_names_and_the_order_of_the_original_table(real):
    _, columns = real["dicom_object_meta"]
    assert " ".join(name for name, *_ in columns[:20]) == (
        "trace_id worker_node_id tenant_id patient_id study_uid series_uid sop_uid file_size "
        "file_path transfer_syntax_uid number_of_frames created_time series_uid_hash "
        "study_uid_hash accession_number target_ts study_date transfer_status source_ip source_ae"
    )


@pytest.mark.parametrize("name", sorted(DECLARED.keys() - {"abandoned_range"}))
def test_every_table_of_objects_has_the_tenant_in_its_key(name):
    key = [column.name for column in DECLARED[name].primary_key.columns]
    assert key[0] == ("trace_id" if name == "dicom_object_meta" else "tenant_id")


def test_the_dictionary_has_every_table_and_view(real, dictionary):
    assert set(dictionary) == set(real) - {"schema_migration"}


@pytest.mark.parametrize("name", DECLARED)
def test_the_dictionary_tells_key_type_and_meaning_of_every_column(real, dictionary, name):
    key, columns = real[name]
    told_key, told = dictionary[name]
    assert told_key == key
    assert [(column, cells[0]) for column, cells in told.items()] == [
        (column, kind if nullable else f"{kind} NOT NULL") for column, kind, nullable in columns
    ]
    for column, cells in told.items():
        assert len(cells) == 3, column
        assert all(cell.strip() for cell in cells), column


@pytest.mark.parametrize("name", TAGS)
def test_the_dictionary_tells_the_attribute_behind_every_tag_column(dictionary, name):
    _, told = dictionary[name]
    for column in TAGS[name]:
        tag = tag_for_keyword(column.keyword)
        _, source, meaning = told[column.name]
        assert source == f"{column.keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"
        if column.length:
            assert f"most {column.length} characters" in meaning


@pytest.mark.parametrize("name", sorted(VIEWS - {"current_storage_record"}))
def test_the_dictionary_tells_every_column_of_a_view(real, dictionary, name):
    _, columns = real[name]
    assert list(dictionary[name][1]) == [column for column, *_ in columns]


def test_the_current_storage_records_have_the_columns_of_the_storage_records(real):
    view, table = ([c[0] for c in real[n][1]] for n in ("current_storage_record", "storage_record"))
    assert view == table
