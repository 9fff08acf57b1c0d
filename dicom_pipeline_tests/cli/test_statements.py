"""`dicom-pipeline sql`: the file has every statement, and each is one that Doris would take."""

import ast
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import dicom_pipeline
from dicom_pipeline.cli.app import app
from dicom_pipeline.cli.statements import every_statement
from dicom_pipeline.migrations import load_migrations
from dicom_pipeline.warehouse.columns import TABLES
from dicom_pipeline_tests.services.doris import DorisDouble
from dicom_pipeline_tests.services.doris.errors import DorisError

PACKAGE = Path(dicom_pipeline.__file__).parent
TABLE_CONSTANTS = {"OBJECT_META", "PATIENT", "STUDY", "SERIES", "IMAGE"}
TABLE_CONSTANTS |= {"CONVERSION_RECORD", "CONVERSION_RETRY"}
NOT_SENT = {"warehouse/sqlite.py"}
"""What is only for the embedded warehouse."""


def plain(text):
    return " ".join(re.sub(r"--[^\n]*", " ", text).split()).lower()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("sql") / "doris.sql"
    done = CliRunner().invoke(app, ["sql", "--dialect", "doris", "--out", str(out)])
    assert done.exit_code == 0, done.output
    return out.read_text(encoding="utf-8")


def queries_of(tree):
    """Literal parts of every SQL text that speaks of a table of the warehouse."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.search(rf"\b(?:FROM|JOIN|INTO)\s+(?:{'|'.join(TABLES)})\b", node.value):
                yield [node.value]
        elif isinstance(node, ast.JoinedStr):
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            texts = [part.value for part in node.values if isinstance(part, ast.Constant)]
            if names & TABLE_CONSTANTS and any(re.search(r"\b(?:FROM|JOIN)\b", t) for t in texts):
                yield [text for text in texts if re.search(r"\b[A-Z]{4,}\b", text)]


def test_every_query_of_the_source_is_in_the_file(written):
    found = plain(written)
    checked = 0
    for path in PACKAGE.rglob("*.py"):
        if str(path.relative_to(PACKAGE)) in NOT_SENT:
            continue
        for texts in queries_of(ast.parse(path.read_text(encoding="utf-8"))):
            for text in texts:
                for part in re.split(r":\w+|\{\w*\}|%s|\w+\.$", text):
                    checked += 1
                    assert plain(part) in found, f"{path.name}: {part}"
    assert checked > 10


def test_every_statement_of_the_migrations_is_in_the_file(written):
    found = plain(written)
    for migration in load_migrations("doris"):
        for statement in migration.statements():
            for part in re.split(r"\$\{\w+\}", statement):
                assert plain(part) in found


def test_the_double_takes_every_statement_in_the_order_of_the_file():
    with DorisDouble(backends=3) as double:
        session = double.frontends[0].session("pipeline", None)
        for statement in every_statement():
            if statement.purpose == "routine load":
                continue  # these need a Kafka: see the tests of the routine load
            try:
                session.run(statement.sql)
            except DorisError as error:
                pytest.fail(f"{statement.purpose}: {error}: {statement.sql}")
            if statement.sql.startswith("CREATE DATABASE"):
                session.use("dicom_pipeline")


def test_the_file_holds_no_placeholder_and_ends_each_statement(written):
    assert "${" not in written
    assert not re.search(r"%\(\w+\)s|\s:[a-z_]+\b", re.sub(r"'[^']*'|--[^\n]*", "", written))
    blocks = [block for block in written.split("\n-- ") if block.strip()]
    assert all(block.rstrip().endswith(";") for block in blocks)
    assert len(blocks) == len(list(every_statement()))


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    done = CliRunner().invoke(app, ["sql", "--out", str(tmp_path / "nowhere" / "x.sql")])
    assert done.exit_code == 1
    assert "cannot be written" in done.output
