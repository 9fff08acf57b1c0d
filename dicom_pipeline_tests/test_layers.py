"""The core knows no Dagster, the receiver stays light, and `defs` holds no domain logic."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dicom_pipeline

PACKAGE = Path(dicom_pipeline.__file__).parent
DEFS = sorted((PACKAGE / "defs").glob("*.py"))

MAY_BE_IMPORTED_BY_DEFS = {
    "collections",
    "contextlib",
    "dagster",
    "datetime",
    "dicom_pipeline",
    "typing",
}


def loaded_by(statement):
    """Names of the modules that are loaded once ``statement`` has run in a fresh interpreter."""
    program = f"{statement}\nimport sys; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return set(output.stdout.split())


@pytest.mark.parametrize("module", ["receiver", "receiver.server", "receiver.__main__"])
def test_the_receiver_loads_neither_dagster_nor_a_sql_toolkit_nor_arrays(module):
    heavy = {"dagster", "sqlalchemy", "numpy", "pebble", "rich", "typer"}
    assert not heavy & loaded_by(f"import {module}")


def test_the_core_knows_no_dagster():
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if path.parent.name not in {"defs", "orchestration", "cli"}
        and path.name not in {"definitions.py", "__init__.py"}
    ]
    assert len(modules) > 20
    assert "dagster" not in loaded_by("\n".join(f"import {module}" for module in modules))


@pytest.mark.parametrize("path", DEFS, ids=lambda path: path.name)
def test_a_file_under_defs_is_glue(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    } | {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= MAY_BE_IMPORTED_BY_DEFS
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 120
