"""The same patient, whatever character set the modality writes."""

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicom_pipeline.peers import Peers
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.flow import open_flow
from receiver.statuses import Status

NAME = "Wang^XiaoDong=王^小东="
PATIENT_NAME = Tag("PatientName")
MISLABELLED = "OLD_CT"

# (SpecificCharacterSet, bytes of the name, calling AE)
ENCODINGS = {
    "GB18030": ("GB18030", NAME.encode("gb18030"), "MODALITY"),
    "GBK": ("GBK", NAME.encode("gbk"), "MODALITY"),
    "ISO 2022 IR 58": (
        ["", "ISO 2022 IR 58"],
        b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab=",
        "MODALITY",
    ),
    "UTF-8": ("ISO_IR 192", NAME.encode(), "MODALITY"),
    "GBK labelled ISO_IR 100": ("ISO_IR 100", NAME.encode("gbk"), MISLABELLED),
}

PEERS = Peers.model_validate({"peer": [{"calling_ae": MISLABELLED, "character_set": ["GBK"]}, {}]})

VARYING = {"trace_id", "row_version", "file_size", "total_size", "tags"}


def rows_of(home, encoding):
    character_set, name, calling_ae = ENCODINGS[encoding]
    ds = an_image(1)
    ds.SpecificCharacterSet = character_set
    ds[PATIENT_NAME] = RawDataElement(PATIENT_NAME, "PN", len(name), name, 0, False, True)
    home.mkdir()
    with open_flow(home, PEERS) as flow:
        assert flow.receive_dataset(ds, home, calling_ae) is Status.SUCCESS
        flow.run_all()
        stores = {
            flow.catalog: ["patient", "study", "series", "instance"],
            flow.warehouse: ["dicom_patient", "dicom_study", "dicom_series", "dicom_image"],
        }
        return {
            table: [
                {column: value for column, value in row.items() if column not in VARYING}
                for row in store.query(f"SELECT * FROM {table}")
            ]
            for store, tables in stores.items()
            for table in tables
        }


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_chinese_name_gives_the_same_rows_in_every_encoding(tmp_path, encoding):
    rows = rows_of(tmp_path / "this", encoding)
    assert rows == rows_of(tmp_path / "utf-8", "UTF-8")
    (patient,) = rows["patient"]
    assert patient["patient_name_alphabetic"] == "Wang^XiaoDong"
    assert patient["patient_name_ideographic"] == "王^小东"
    assert not patient["patient_name_phonetic"]


def test_the_character_set_of_a_peer_of_another_network_is_not_used(tmp_path):
    peers = {
        "peer": [
            {"networks": ["10.0.0.0/8"], "calling_ae": MISLABELLED, "character_set": ["GBK"]},
            {},
        ]
    }
    ds = an_image(1)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = NAME
    with open_flow(tmp_path / "home", Peers.model_validate(peers)) as flow:
        assert flow.receive_dataset(ds, tmp_path, MISLABELLED) is Status.SUCCESS
        flow.run_all()
        (patient,) = flow.catalog.query("SELECT patient_name_ideographic FROM patient")
    assert patient["patient_name_ideographic"] == "王^小东"
