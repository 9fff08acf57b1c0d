"""The conformance statements, in both languages, say what the code does."""

import re
import runpy
from pathlib import Path

import pytest

from dicom_pipeline.peers import Peer
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.receiver.objects import SENDER
from receiver.commitment.requests import MAX_BYTES, MAX_REFERENCES, ActionStatus
from receiver.commitment.transactions import FailureReason
from receiver.object_file import BLOCK
from receiver.part10 import (
    HEAD_BYTES,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    PRIVATE_CREATOR_UID,
    Receipt,
    encode_head,
)
from receiver.statuses import Status

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "conformance_tables.py"
PAGES = {name: ROOT / "docs" / name for name in ("conformance.md", "conformance.zh-CN.md")}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}

tables = runpy.run_path(str(SCRIPT))

pytestmark = pytest.mark.parametrize("name", PAGES)


def by_code(name, table):
    """A table's rows by the code in their first column."""
    return {row[0].strip("`"): row[1:] for row in tables["rows"](TEXTS[name], table)}


def test_every_table_of_uids_is_as_the_code_has_it(name):
    assert set(tables["TABLES"]) <= set(re.findall(r"<!-- table: (\S+) -->", TEXTS[name]))
    remedy = f"run python scripts/conformance_tables.py docs/{name}"
    assert tables["filled"](TEXTS[name]) == TEXTS[name], remedy


def test_a_row_that_is_missing_is_found_and_written(name, tmp_path):
    page = tmp_path / name
    row = "| Verification | `1.2.840.10008.1.1` |"
    page.write_text(
        "".join(line for line in TEXTS[name].splitlines(True) if not line.startswith(row))
    )
    for options, code in ((["--check"], 1), ([], 0), (["--check"], 0)):
        assert tables["main"]([*options, str(page)]) == code
    assert page.read_text() == TEXTS[name]


def test_every_status_of_c_store_has_a_row_with_its_comment(name):
    assert {code: row[1] for code, row in by_code(name, "store-statuses").items()} == {
        f"{status.code:04X}": status.comment for status in Status
    }


@pytest.mark.parametrize(
    ("table", "codes"), [("action-statuses", ActionStatus), ("failure-reasons", FailureReason)]
)
def test_every_code_of_storage_commitment_has_a_row(name, table, codes):
    assert list(by_code(name, table)) == [f"{code:04X}" for code in codes]


def test_parameters_have_the_defaults_of_the_settings(name):
    for variable, (default, _) in by_code(name, "parameters").items():
        assert default == f"`{Settings.model_fields[variable.lower()].default}`", variable


def test_only_settings_and_keys_of_peers_that_exist_are_named(name):
    fields = {field.upper() for field in Settings.model_fields}
    assert set(re.findall(r"RECEIVER_[A-Z_]+", TEXTS[name])) <= fields
    keys = re.findall(
        r"`(commitment_\w+|sop_classes|transfer_syntaxes|character_set)`", TEXTS[name]
    )
    assert set(keys) <= set(Peer.model_fields)


def test_the_file_meta_information_is_told_in_full(name):
    receipt = Receipt(
        trace_id="t",
        version=1,
        tenant_id=SENDER.tenant_id,
        worker_node_id="node",
        source_ip=SENDER.source_ip,
        source_ae=SENDER.calling_ae,
        called_ae=SENDER.called_ae,
        digest="d",
        length=1,
    )
    head = encode_head(
        sop_class_uid="1.2", sop_instance_uid="1.3", transfer_syntax_uid="1.2", receipt=receipt
    )
    written = re.findall(rb"\x02\x00(.)(.)(?:UL|OB|UI|SH|AE)", head, flags=re.DOTALL)
    rows = tables["rows"](TEXTS[name], "file-meta")
    assert [row[1].strip("`") for row in rows] == [
        f"0002,{high[0]:02X}{low[0]:02X}" for low, high in written
    ]
    told = re.search(r"`trace_id`.*?`character_set`", TEXTS[name], flags=re.DOTALL)[0]
    assert tuple(re.findall(r"`(\w+)`", told)) == Receipt.__struct_fields__


def test_numbers_and_names_are_those_of_the_code(name):
    for value in (
        f"`{IMPLEMENTATION_CLASS_UID}`",
        f"`{IMPLEMENTATION_VERSION_NAME}`",
        f"`{PRIVATE_CREATOR_UID}`",
        f"{HEAD_BYTES} ",
        f"{HEAD_BYTES + BLOCK - 2} ",
        f"{MAX_REFERENCES:,}",
        f"{MAX_BYTES >> 20} MiB",
    ):
        assert value in TEXTS[name], value


def test_both_languages_have_the_same_tables_and_sections(name):
    def outline(text):
        return re.findall(r"^#+ [\d.]*|<!-- table: \S+ -->|^\|[-|]+\|$", text, flags=re.MULTILINE)

    assert outline(TEXTS[name]) == outline(TEXTS["conformance.md"])
