"""The Doris DDL says what the one list of columns says, and mends what was fragile."""

import json
import re

import msgspec
import pytest

from dicom_pipeline.imaging import tag_columns
from dicom_pipeline.messages import Event, encode
from dicom_pipeline.stages.object_meta import object_meta_row
from dicom_pipeline.warehouse import IMAGE, OBJECT_META, PATIENT, SERIES, STUDY
from dicom_pipeline.warehouse.columns import TABLES
from dicom_pipeline.warehouse.doris.events import COMPUTED, event_columns, event_jsonpaths
from dicom_pipeline.warehouse.doris.fitting import Fitting
from dicom_pipeline.warehouse.doris.types import (
    KEYS,
    ROW_ORDER,
    SEQUENCES,
    TYPES,
    ddl_columns,
    nullable,
)
from dicom_pipeline_tests.events import an_event
from dicom_pipeline_tests.services.doris.loading import Loader, Mapping
from dicom_pipeline_tests.services.doris.store import Database
from dicom_pipeline_tests.test_schema import VIEWS
from dicom_pipeline_tests.warehouse.doris_ddl import rendered, tables

SEED = [
    "trace_id",
    "worker_node_id",
    "tenant_id",
    "patient_id",
    "study_uid",
    "series_uid",
    "sop_uid",
    "file_size",
    "file_path",
    "transfer_syntax_uid",
    "number_of_frames",
    "created_time",
    "series_uid_hash",
    "study_uid_hash",
    "accession_number",
    "target_ts",
    "study_date",
    "transfer_status",
    "source_ip",
    "source_ae",
]

TAGS = {
    PATIENT: tag_columns.PATIENT,
    STUDY: tag_columns.STUDY,
    SERIES: tag_columns.SERIES,
    IMAGE: tag_columns.IMAGE,
}


def test_every_table_and_view_of_the_embedded_warehouse_is_there():
    assert set(tables()) == set(TABLES)
    created = {
        match[1]
        for one in rendered()
        if (match := re.match(r"CREATE VIEW IF NOT EXISTS (\w+)", one))
    }
    assert created == VIEWS - {"current_storage_record"}


@pytest.mark.parametrize("name", TABLES)
def test_columns_types_and_nullability_are_those_of_the_list(name):
    table = tables()[name]
    declared = {column.name: column for column in TABLES[name].columns}
    assert [column.name for column in table.columns] == list(ddl_columns(TABLES[name]))
    for column in table.columns:
        assert column.shown.upper() == str(TYPES[name][column.name]), column.name
        assert column.nullable == nullable(declared[column.name]), column.name


@pytest.mark.parametrize("name", TABLES)
def test_key_and_sequence_are_those_that_loads_count_on(name):
    table = tables()[name]
    assert tuple(table.keys) == KEYS[name]
    assert "tenant_id" in table.keys or name == OBJECT_META
    assert table.properties["enable_unique_key_merge_on_write"] == "true"
    if SEQUENCES[name] == ROW_ORDER:
        assert table.properties["function_column.sequence_type"] == "largeint"
    else:
        assert table.sequence == SEQUENCES[name] == "row_version"


def test_object_meta_keeps_the_original_names_and_order_but_for_the_partition_column():
    order = [column.name for column in tables()[OBJECT_META].columns]
    moved = [name for name in SEED if name != "created_time"]
    assert order[:20] == [moved[0], "created_time", *moved[1:]]


def test_every_statement_of_a_migration_can_be_repeated():
    assert all(re.match(r"CREATE (?:TABLE|VIEW) IF NOT EXISTS ", one) for one in rendered())


def test_buckets_and_replicas_come_from_the_url():
    ddl = "\n".join(rendered(buckets=7, replicas=2))
    assert "$" not in ddl
    assert set(re.findall(r"BUCKETS (\d+)", ddl)) == {"7"}
    assert set(re.findall(r'"replication_num" = "(\d+)"', ddl)) == {"2"}


def test_receipts_are_kept_for_ever_unless_the_url_gives_a_number_of_days():
    forever, limited = tables()[OBJECT_META], tables(retention_days=90)[OBJECT_META]
    assert forever.partition is None
    assert not any(name.startswith("dynamic") for name in forever.properties)
    assert "AUTO PARTITION BY RANGE (date_trunc(created_time, 'month'))" in forever.ddl
    assert limited.partition == "created_time"
    assert limited.properties["dynamic_partition.start"] == "-90"
    assert limited.properties["dynamic_partition.create_history_partition"] == "true"


@pytest.mark.parametrize("name", TAGS)
def test_a_text_of_the_longest_length_in_any_script_fits(name):
    """A tag has at most so many characters, a column so many bytes. UIDs are ASCII."""
    for tag in TAGS[name]:
        kind = TYPES[name][tag.name]
        if kind.name == "VARCHAR" and tag.length and not tag.name.endswith("_uid"):
            assert kind.size == len(("\U00020000" * tag.length).encode()), tag.name


def test_columns_and_jsonpaths_name_every_column_once_and_go_together():
    read = [item for item in event_columns() if "=" not in item]
    computed = [item.split(" = ")[0] for item in event_columns() if "=" in item]
    paths = json.loads(event_jsonpaths())
    assert len(paths) == len(read)
    sources = {one.read_as: one.field for one in COMPUTED.values()}
    assert paths == [f"$.{sources.get(name, name)}" for name in read]
    helpers = {one.read_as for one in COMPUTED.values()}
    assert sorted([*(set(read) - helpers), *computed]) == sorted(TABLES[OBJECT_META].names)
    assert set(paths) <= {f"$.{name}" for name in Event.__struct_fields__}


@pytest.mark.parametrize(
    "event",
    [
        an_event(),
        an_event(
            patient_id="病人一号" * 16,
            findings=("StudyDate: not a date", 'a "quoted" finding', "PatientID: 张^三"),
            number_of_frames=7,
            target_ts="1.2.840.10008.1.2.4.80",
            phase=2,
            attempt=3,
            duplicate_of="019a0000-0000-7000-8000-000000000002",
            study_date=None,
        ),
    ],
    ids=["plain", "full"],
)
def test_an_event_read_by_doris_is_the_row_that_the_log_stage_would_write(event):
    database = Database("imaging")
    database.create_table(tables()[OBJECT_META], if_not_exists=False)
    mapping = Mapping(
        ",\n".join(event_columns()), json.loads(event_jsonpaths()), strict=True, zone="UTC"
    )
    by_doris = Loader(database, OBJECT_META, mapping).read([encode(event)])
    assert by_doris.refused == []
    by_us = Fitting(OBJECT_META, 1 << 20).fit(
        TABLES[OBJECT_META].complete([object_meta_row(event)])[0]
    )
    assert by_doris.rows == [by_us]
    assert msgspec.json.encode(by_us)
