import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.part10 import (
    NotPart10Error,
    Receipt,
    content_digest,
    digest,
    encode_head,
    read_head,
)

RECEIPT = Receipt(
    trace_id="t",
    version=1,
    tenant_id="default",
    worker_node_id="node",
    source_ip="127.0.0.1",
    source_ae="SCU",
    called_ae="SCP",
    digest="d",
    length=4,
)


def write(path, receipt=RECEIPT, syntax="1.2.840.10008.1.2.1"):
    head = encode_head(
        sop_class_uid="1.2",
        sop_instance_uid="1.2.3",
        transfer_syntax_uid=syntax,
        receipt=receipt,
    )
    path.write_bytes(head + b"DATA")
    return path


def test_what_is_written_is_read(tmp_path):
    path = write(tmp_path / "x.dcm")
    head = read_head(path)
    assert head.receipt == RECEIPT
    assert head.transfer_syntax_uid == "1.2.840.10008.1.2.1"
    assert path.read_bytes()[head.offset :] == b"DATA"


def test_every_cut_within_the_head_is_told(tmp_path):
    path = write(tmp_path / "x.dcm")
    for length in reversed(range(read_head(path).offset)):
        os.truncate(path, length)
        with pytest.raises(NotPart10Error):
            read_head(path)


@given(position=st.integers(132, 600), value=st.integers(0, 255))
def test_a_damaged_head_is_told_or_read_but_never_anything_else(tmp_path_factory, position, value):
    path = write(tmp_path_factory.mktemp("head") / "x.dcm")
    content = bytearray(path.read_bytes())
    content[position % len(content)] = value
    path.write_bytes(content)
    with suppress(NotPart10Error):
        read_head(path)


def test_the_digest_of_a_foreign_file_is_computed_from_its_bytes(tmp_path):
    path = write(tmp_path / "x.dcm")
    path.write_bytes(path.read_bytes().replace(b"2.25.", b"2.26."))
    head = read_head(path)
    assert head.receipt is None
    assert content_digest(path, head) == digest("1.2.840.10008.1.2.1", b"DATA")


def test_the_digest_covers_syntax_and_bytes():
    assert len({digest("1", b"ab"), digest("2", b"ab"), digest("1", b"ac")}) == 3
