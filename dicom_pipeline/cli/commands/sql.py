"""``dicom-pipeline sql``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish


class Dialect(StrEnum):
    """Systems whose statements can be written."""

    DORIS = "doris"


def sql(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Write them to this file.")],
    dialect: Annotated[  # noqa: ARG001 - there is one so far
        Dialect, typer.Option("--dialect", help="Statements for this system.")
    ] = Dialect.DORIS,
) -> None:
    """Write every statement that the product can send, with sample values."""

    def body() -> int:
        from dicom_pipeline.cli.statements import run_sql  # noqa: PLC0415 - a quick --help

        return run_sql(out)

    finish(body)


command = sql
