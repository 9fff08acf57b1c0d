"""The DDL of the Doris migrations, as the double reads it."""

from dicom_pipeline.migrations import load_migrations
from dicom_pipeline.warehouse.doris.options import DorisOptions, parse_options
from dicom_pipeline.warehouse.doris.schema import SCHEMA, statements
from dicom_pipeline_tests.services.doris.tables import Table, create_table
from dicom_pipeline_tests.services.doris.text import without_comments

URL = "doris://root:secret@127.0.0.1:9030/imaging"


def options(**more: object) -> DorisOptions:
    query = "&".join(f"{name}={value}" for name, value in more.items())
    return parse_options(f"{URL}?{query}")


def rendered(**more: object) -> list[str]:
    """Every statement of every migration."""
    chosen = options(**more)
    return [
        without_comments(statement)
        for migration in load_migrations(*SCHEMA)
        for statement in statements(migration, chosen)
    ]


def tables(**more: object) -> dict[str, Table]:
    """The tables that the migrations create."""
    found = [
        create_table(statement, backends=16)[0]
        for statement in rendered(**more)
        if statement.startswith("CREATE TABLE")
    ]
    return {table.name: table for table in found}
