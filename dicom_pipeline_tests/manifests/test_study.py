"""What a study's manifest says of its objects."""

from base64 import b64decode
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicom_pipeline.errors import TransientError
from dicom_pipeline.manifests.form import MOST_FRAMES
from dicom_pipeline.manifests.headers import Headers
from dicom_pipeline_tests.manifests.home import CT, EXPLICIT, JPEG_LS, Home


def test_a_kept_object_is_opened_where_it_was_stored(home):
    home.object(file_path="hospital/20260101/1.2/1.3/1.4.1.dcm")
    home.decision(source_path="hospital/20260101/1.2/1.3/1.4.1.dcm", transfer_syntax_uid=EXPLICIT)
    (entry,) = home.entries()
    assert entry["url"] == "dicomweb:/objects/hospital/20260101/1.2/1.3/1.4.1.dcm"
    assert entry["rendition"] == {
        "action": "keep",
        "rule": None,
        "reason": None,
        "error_code": None,
        "original_transfer_syntax": EXPLICIT,
        "transfer_syntax": EXPLICIT,
        "media_type": "application/dicom",
        "frames": 1,
    }


def test_a_converted_object_is_opened_in_the_rendition_root(home):
    home.settings.renditions.mkdir(parents=True)
    home.object()
    home.decision(action="transcode", rule="r", reason="why", file_path="hospital/1.4.1.dcm")
    (entry,) = home.entries()
    assert entry["url"] == "dicomweb:/renditions/hospital/1.4.1.dcm"
    assert (entry["rendition"]["rule"], entry["rendition"]["reason"]) == ("r", "why")


def test_the_pixels_of_a_converted_object_are_described_by_its_own_file(home):
    copy = home.settings.renditions / "hospital" / "1.4.1.dcm"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(Path(get_testdata_file("SC_rgb_rle.dcm", download=False)).read_bytes())
    home.object(photometric_interpretation="YBR_FULL_422", bits_allocated=16, rescale_slope=2.0)
    home.decision(action="transcode", file_path="hospital/1.4.1.dcm")
    (entry,) = home.entries()
    assert entry["metadata"]["PhotometricInterpretation"] == "RGB"
    assert entry["metadata"]["BitsAllocated"] == 8
    assert entry["metadata"]["TransferSyntaxUID"] == "1.2.840.10008.1.2.5"
    assert "RescaleSlope" not in entry["metadata"]


def test_of_a_converted_object_whose_file_is_gone_the_pixels_are_not_described(home):
    home.settings.renditions.mkdir(parents=True)
    home.object(photometric_interpretation="YBR_FULL_422", image_rows=512)
    home.decision(action="transcode", file_path="hospital/gone.dcm")
    (entry,) = home.entries()
    assert not {"PhotometricInterpretation", "Rows"} & set(entry["metadata"])


def test_a_rendition_root_that_is_away_is_no_reason_to_write_a_manifest(home, tmp_path):
    home.object()
    home.decision(action="transcode", file_path="hospital/1.4.1.dcm")
    with pytest.raises(TransientError, match="renditions"):
        home.write()
    assert home.due()


def test_a_file_that_is_no_dicom_describes_nothing(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"no DICOM")
    assert Headers({"/objects/": tmp_path}).described("/objects/", "a.dcm") == {}


def test_a_palette_is_told_as_ohif_has_no_other_way_to_it(home):
    original = home.settings.storage / "hospital" / "1.4.1.dcm"
    original.parent.mkdir(parents=True)
    source = get_testdata_file("examples_palette.dcm", download=False)
    original.write_bytes(Path(source).read_bytes())
    home.object(photometric_interpretation="PALETTE COLOR", file_path="hospital/1.4.1.dcm")
    home.decision(source_path="hospital/1.4.1.dcm")
    (entry,) = home.entries()
    ds = dcmread(source)
    for colour in ("Red", "Green", "Blue"):
        told = entry["metadata"][f"{colour}PaletteColorLookupTableData"]["InlineBinary"]
        assert b64decode(told) == ds[f"{colour}PaletteColorLookupTableData"].value
    assert entry["metadata"]["RedPaletteColorLookupTableDescriptor"] == [256, 0, 16]


def test_a_video_is_opened_as_mp4(home):
    home.object(number_of_frames=300)
    home.decision(action="extract_video", file_path="hospital/1.4.1.mp4", number_of_frames=300)
    (entry,) = home.entries()
    assert entry["url"] == "/renditions/hospital/1.4.1.mp4"
    assert entry["rendition"]["media_type"] == "video/mp4"
    assert entry["rendition"]["frames"] == 300
    assert entry["metadata"]["PixelData"] == {"DirectRetrieveURL": entry["url"]}


@pytest.mark.parametrize(
    ("decision", "action"),
    [
        (None, "pending"),
        ({"action": "fail", "error_code": "truncated", "reason": "3 of 4 frames"}, "fail"),
        ({"action": "no_pixels"}, "no_pixels"),
        ({"action": "transcode", "error_code": "mismatch", "file_path": "a.dcm"}, "transcode"),
        ({"action": "transcode"}, "transcode"),
    ],
)
def test_what_cannot_be_opened_is_named_apart_with_its_reason(home, decision, action):
    home.object()
    if decision:
        home.decision(**decision)
    study = home.manifest()
    assert study["series"] == [], "OHIF opens nothing where an object has no URL"
    (series,) = study["not_shown"]
    (entry,) = series["instances"]
    assert entry["url"] is None
    assert entry["rendition"]["action"] == action
    assert entry["rendition"]["error_code"] == (decision or {}).get("error_code")
    assert entry["metadata"]["SOPInstanceUID"] == "1.4.1"


def test_a_series_of_which_a_part_can_be_opened_stands_in_both_lists(home):
    home.object("1.4.1")
    home.object("1.4.2")
    home.decision("1.4.1")
    study = home.manifest()
    assert [one["SeriesInstanceUID"] for one in study["series"]] == ["1.3"]
    assert [one["SeriesInstanceUID"] for one in study["not_shown"]] == ["1.3"]
    assert study["NumInstances"] == 2


def test_the_decision_on_an_older_file_of_an_object_is_not_shown_for_the_new_one(home):
    home.object(version=1)
    home.decision(version=1, reason="of the old file")
    home.object(version=2, file_path="1.2/1.4.1~2.dcm")
    (entry,) = home.entries("not_shown")
    assert (entry["rendition"]["action"], entry["rendition"]["reason"]) == ("pending", None)
    home.decision(version=2, source_path="1.2/1.4.1~2.dcm")
    (entry,) = home.entries()
    assert entry["url"] == "dicomweb:/objects/1.2/1.4.1~2.dcm"


def test_a_decision_that_is_ahead_of_the_index_names_the_newer_file(home):
    home.object(version=1)
    home.decision(version=2, source_path="1.2/1.4.1~2.dcm")
    (entry,) = home.entries()
    assert entry["url"] == "dicomweb:/objects/1.2/1.4.1~2.dcm"


def test_a_repeated_decision_on_the_same_file_holds(home):
    home.object(version=1)
    home.decision(version=1, action="fail", error_code="timeout")
    home.decision(version=1, row_version=1024 + 3, action="keep")
    assert [one["rendition"]["action"] for one in home.entries()] == ["keep"]


def test_each_frame_has_an_entry_as_ohif_wants_it(home):
    home.object(number_of_frames=3)
    home.decision(number_of_frames=3)
    own, *further = home.entries()
    assert own["metadata"]["NumberOfFrames"] == own["rendition"]["frames"] == 3
    assert [one["url"] for one in further] == [f"{own['url']}?frame={n}" for n in (2, 3)]
    assert [one["metadata"] for one in further] == [{"SOPInstanceUID": "1.4.1"}] * 2
    assert not any("rendition" in one for one in further)


def test_frames_that_were_seen_outweigh_the_headers_word(home):
    home.object(number_of_frames=99)
    home.decision(number_of_frames=2)
    assert len(home.entries()) == 2


def test_a_header_that_claims_any_number_of_frames_makes_no_endless_manifest(home):
    home.object(number_of_frames=2**31 - 1)
    home.decision()
    assert len(home.entries()) == MOST_FRAMES


def test_metadata_are_keywords_with_numbers_as_numbers(home):
    home.object(
        instance_number=7,
        image_type="ORIGINAL\\PRIMARY",
        image_orientation_patient="1\\0\\0\\0\\1\\0",
        image_position_patient="-10.5\\2\\3e1",
        pixel_spacing="0.5\\0.5",
        window_center="40\\300",
        window_width="broken",
        content_date="2026-01-31",
        content_time="12:00:00.5",
        image_rows=512,
        rescale_slope=1.0,
    )
    home.decision()
    (entry,) = home.entries()
    assert entry["metadata"] == {
        "SOPInstanceUID": "1.4.1",
        "SeriesInstanceUID": "1.3",
        "StudyInstanceUID": "1.2",
        "SOPClassUID": CT,
        "TransferSyntaxUID": EXPLICIT,
        "InstanceNumber": 7,
        "ContentDate": "20260131",
        "ContentTime": "120000.5",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-10.5, 2, 30],
        "PixelSpacing": [0.5, 0.5],
        "WindowCenter": [40, 300],
        "Rows": 512,
        "RescaleSlope": 1.0,
    }


def test_the_study_tells_patient_and_modalities_as_dicom_writes_them(home):
    name = {
        "patient_name_alphabetic": "Zhang^San",
        "patient_name_ideographic": "张^三",
        "patient_birth_date": "1970-02-03",
        "patient_sex": "F",
    }
    home.object("1.4.1", patient=name, study={"study_date": "2026-01-31", "accession_number": "A"})
    study = home.manifest()
    assert study["PatientName"] == "Zhang^San=张^三"
    assert (study["PatientBirthDate"], study["PatientSex"]) == ("19700203", "F")
    assert (study["StudyDate"], study["AccessionNumber"]) == ("20260131", "A")
    assert (study["PatientID"], study["Modalities"]) == ("A1", "CT")
    assert study["StudyTime"] is None


def test_objects_and_series_come_in_their_order(home):
    for sop_uid, number in (("1.4.10", 10), ("1.4.2", 2), ("1.4.1", None)):
        home.object(sop_uid, instance_number=number)
        home.decision(sop_uid)
    uids = [one["metadata"]["SOPInstanceUID"] for one in home.entries()]
    assert uids == ["1.4.1", "1.4.2", "1.4.10"]


def test_a_public_url_stands_before_every_path(tmp_path):
    home = Home(tmp_path, public_url="https://pacs.example/archive/")
    with home.catalog:
        home.object()
        home.decision()
        (entry,) = home.entries()
        assert entry["url"] == "dicomweb:https://pacs.example/archive/objects/1.2/1.4.1.dcm"


def test_a_kept_object_keeps_its_transfer_syntax_and_a_copy_has_its_own(home):
    home.object()
    home.decision(action="transcode", file_path="a.dcm", transfer_syntax_uid=JPEG_LS)
    home.settings.renditions.mkdir(parents=True)
    (entry,) = home.entries()
    told = entry["rendition"]
    assert (told["original_transfer_syntax"], told["transfer_syntax"]) == (EXPLICIT, JPEG_LS)
