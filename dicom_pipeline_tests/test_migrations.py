import hashlib
import random

import pytest

from dicom_pipeline import migrations
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.migrations import Migration, load_migrations, pending, sql_folder

SCHEMA = [Migration(n, f"{n:04d}_step.sql", f"CREATE TABLE t{n} (a INT);\n") for n in (1, 2, 3)]


def applied(*numbers):
    return {one.number: one.checksum for one in SCHEMA if one.number in numbers}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(migrations, "sql_folder", lambda: tmp_path)
    folder = tmp_path / "sqlite" / "catalog"
    folder.mkdir(parents=True)
    return folder


def write(folder, *names):
    for name in names:
        (folder / name).write_text(f"SELECT '{name}';\n", encoding="utf-8")


def test_migrations_load_in_the_order_of_their_numbers(folder):
    names = [f"{n:04d}_step_{n}.sql" for n in range(1, 13)]
    write(folder, *random.Random(1).sample(names, len(names)))
    loaded = load_migrations("sqlite", "catalog")
    assert [one.number for one in loaded] == list(range(1, 13))
    assert [one.name for one in loaded] == names
    assert loaded[0].checksum == hashlib.sha256(b"SELECT '0001_step_1.sql';\n").hexdigest()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["0001_a.sql", "0003_c.sql"], "0002"),
        (["0002_b.sql"], "0001"),
        (["0001_a.sql", "0001_b.sql"], "0002"),
        (["0001_a.sql", "2_b.sql"], "0002"),
        (["0001-a.sql"], "0001"),
        (["0001_Upper.sql"], "0001"),
    ],
    ids=["gap", "late start", "same number", "short number", "hyphen", "upper case"],
)
def test_a_gap_or_a_wrong_name_is_refused(folder, names, expected):
    write(folder, *names)
    with pytest.raises(ConfigurationError, match=f"expected the name {expected}_"):
        load_migrations("sqlite", "catalog")


@pytest.mark.parametrize("schema", [("sqlite", "catalog"), ("sqlite", "nowhere")])
def test_an_empty_or_missing_folder_is_an_incomplete_installation(folder, schema):
    with pytest.raises(ConfigurationError, match=r"no migrations in .*installation is incomplete"):
        load_migrations(*schema)


def test_other_files_beside_the_migrations_are_left_alone(folder):
    write(folder, "0001_a.sql", "README.md")
    assert len(load_migrations("sqlite", "catalog")) == 1


def test_statements_end_at_semicolons_at_line_ends_only():
    sql = """-- why; it is there;
CREATE TABLE a (
  -- a column; with a remark;
  b TEXT DEFAULT 'x;y'
);

INSERT INTO a VALUES ('1; 2');  \n
SELECT 1
"""
    assert Migration(1, "0001_a.sql", sql).statements() == [
        "CREATE TABLE a (\n  b TEXT DEFAULT 'x;y'\n)",
        "INSERT INTO a VALUES ('1; 2')",
        "SELECT 1",
    ]


def test_a_migration_of_comments_has_no_statements():
    assert Migration(1, "0001_a.sql", "-- nothing;\n;\n").statements() == []


def test_what_was_not_applied_is_pending_in_order():
    assert pending(SCHEMA, {}) == SCHEMA
    assert pending(SCHEMA, applied(1)) == SCHEMA[1:]
    assert pending(SCHEMA, applied(1, 2, 3)) == []


def test_a_migration_that_changed_after_it_was_applied_is_refused():
    with pytest.raises(ConfigurationError, match=r"0002_step\.sql was changed .*new migration"):
        pending(SCHEMA, applied(1) | {2: "0" * 64})


def test_a_schema_that_is_newer_than_the_program_is_refused():
    with pytest.raises(ConfigurationError, match=r"has migration 5, which this version does not"):
        pending(SCHEMA, applied(1, 2, 3) | {4: "a", 5: "b"})


def test_the_folder_of_the_migrations_is_part_of_the_product():
    assert sql_folder().name == "sql"
    assert sql_folder().is_dir()
