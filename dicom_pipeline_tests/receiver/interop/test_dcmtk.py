"""What DCMTK's senders send is stored as it comes."""

import shutil

import pytest
from pydicom import dcmread

from dicom_pipeline_tests.receiver.interop.dcmtk import (
    kept,
    needs_dcmtk,
    run,
    sample,
    start,
    storescp,
    succeed,
    write_objects,
)
from dicom_pipeline_tests.receiver.interop.inbox import data_set
from dicom_pipeline_tests.receiver.objects import EXPLICIT

pytestmark = [pytest.mark.service, needs_dcmtk]

SYNTAXES = {
    "CT_small.dcm": "-xe",
    "rtplan.dcm": "-xi",
    "MR_small_bigendian.dcm": "-xb",
    "JPEG-lossy.dcm": "-xx",
    "SC_rgb_jpeg_dcmtk.dcm": "-xy",
    "MR_small_jpeg_ls_lossless.dcm": "-xt",
    "SC_rgb_jpeg_gdcm.dcm": "-xs",
    "MR_small_jp2klossless.dcm": "-xv",
    "JPEG2000.dcm": "-xw",
    "MR_small_RLE.dcm": "-xr",
    "image_dfl.dcm": "-xd",
}
"""A file, and the option by which storescu proposes its syntax."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """DCMTK's own receiver: its port and its folder."""
    folder = tmp_path_factory.mktemp("storescp") / "kept"
    with storescp(folder) as port:
        yield port, folder


@pytest.mark.parametrize(
    "options",
    [(), ("-pts", "38", "-ppc", "128"), ("--repeat", "5"), ("-pdu", "4096"), ("--abort",)],
    ids=["plain", "many contexts", "repeated", "small PDUs", "aborted"],
)
def test_echoscu_is_answered(either, options):
    succeed("echoscu", either.port, options=("-aec", "ANYTHING", *options))


MIXED = [
    "CT_small.dcm",
    "rtplan.dcm",
    "JPEG-lossy.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "JPEG2000.dcm",
    "MR_small_RLE.dcm",
    "image_dfl.dcm",
]
"""No SOP Instance UID twice: dcmsend would leave the second one out."""


@pytest.mark.parametrize("name", SYNTAXES)
def test_storescu_leaves_the_bytes_that_dcmtk_keeps_itself(fast, reference, name):
    port, folder = reference
    option, path = SYNTAXES[name], sample(name)
    file = dcmread(path, stop_before_pixels=True)
    for each in (port, fast.port):
        succeed("storescu", each, path, options=("-aet", f"TO{option.upper()}", "-R", option))
    (event,) = fast.events(f"TO{option.upper()}", 1)
    assert event.sop_uid == file.SOPInstanceUID
    theirs = kept(folder, event.sop_uid)
    assert event.transfer_syntax_uid == dcmread(theirs).file_meta.TransferSyntaxUID
    if file.file_meta.TransferSyntaxUID.is_compressed:
        assert event.transfer_syntax_uid == file.file_meta.TransferSyntaxUID
    assert data_set(fast.path(event)) == data_set(theirs)


def test_a_folder_comes_in_one_association_with_all_its_bytes(either, tmp_path):
    paths = write_objects(tmp_path / "a", 3) + write_objects(tmp_path / "a" / "b", 3)
    succeed("storescu", either.port, tmp_path, options=("-aet", "FOLDER", "+sd", "+r", "-xe"))
    assert either.data_sets("FOLDER", 6) == {path.stem: data_set(path) for path in paths}
    assert either.ends("FOLDER") == ["released"]


def test_what_storescu_repeats_is_stored_once(fast, tmp_path):
    (path,) = write_objects(tmp_path, 1)
    succeed("storescu", fast.port, path, options=("-aet", "AGAIN", "--repeat", "3"))
    (stored,) = {fast.path(event) for event in fast.events("AGAIN", 3)}
    assert list(stored.parent.glob(f"{stored.stem}*")) == [stored]
    assert data_set(stored) == data_set(path)


def test_objects_before_an_abort_stay(either, tmp_path):
    write_objects(tmp_path, 2)
    succeed("storescu", either.port, tmp_path, options=("-aet", "ABORTS", "+sd", "--abort"))
    either.events("ABORTS", 2)
    assert either.ends("ABORTS") == ["aborted_by_peer"]


@pytest.mark.parametrize(
    ("calling", "options"),
    [
        ("PDU4096", ("-pdu", "4096", "--max-send-pdu", "4096")),
        ("PDU131072", ("-pdu", "131072", "--max-send-pdu", "131072")),
    ],
)
def test_the_length_of_pdus_changes_nothing(fast, calling, options):
    path = sample("CT_small.dcm")
    succeed("storescu", fast.port, path, options=("-aet", calling, "-xe", *options))
    (stored,) = fast.data_sets(calling, 1).values()
    assert len(stored) > 32768
    assert dcmread(path).PixelData in stored


def test_storescu_with_a_user_name_is_served_without(fast, tmp_path):
    (path,) = write_objects(tmp_path, 1)
    options = ("-aet", "USER", "-usr", "nobody", "-pwd", "secret")
    succeed("storescu", fast.port, path, options=options)
    fast.events("USER", 1)
    assert "secret" not in (fast.home / "log.txt").read_text()


def test_dcmsend_reports_every_object_of_mixed_syntaxes_as_sent(either, tmp_path):
    folder, report = tmp_path / "mixed", tmp_path / "report.txt"
    folder.mkdir()
    for name in MIXED:
        shutil.copy(sample(name), folder)
    options = ("-aet", "MIXED", "-dn", "+sd", "+crf", str(report))
    succeed("dcmsend", either.port, folder, options=options)
    assert f"with status SUCCESS  : {len(MIXED)}" in report.read_text()
    files = [dcmread(path, stop_before_pixels=True) for path in folder.iterdir()]
    assert {
        event.sop_uid: event.transfer_syntax_uid for event in either.events("MIXED", len(MIXED))
    } == {
        file.SOPInstanceUID: EXPLICIT  # preferred of the two that dcmsend can make of the file
        if file.file_meta.TransferSyntaxUID.is_implicit_VR
        else file.file_meta.TransferSyntaxUID
        for file in files
    }


def test_dcmsend_learns_which_object_was_refused_and_sends_the_others(either, tmp_path):
    write_objects(tmp_path, 2)
    shutil.copy(sample("JPEGLSNearLossless_16.dcm"), tmp_path)  # has no StudyInstanceUID
    options = ("-aet", "SOMEBAD", "-dn", "-nh", "+sd", "-v")
    _, output = run("dcmsend", either.port, tmp_path, options=options)
    assert output.count("Received C-STORE Response (Success)") == 2
    assert output.count("Received C-STORE Response (Error: CannotUnderstand)") == 1
    either.events("SOMEBAD", 2)


def test_processes_that_send_at_the_same_time_do_not_mix(fast, tmp_path):
    paths = {f"P{n}": write_objects(tmp_path / str(n), 8) for n in range(4)}
    senders = [
        start("storescu", fast.port, *files, options=("-aet", calling, "-xe"))
        for calling, files in paths.items()
    ]
    assert [sender.communicate(timeout=30)[0] for sender in senders] == [""] * 4
    for calling, files in paths.items():
        assert fast.data_sets(calling, 8) == {path.stem: data_set(path) for path in files}


def test_a_class_that_the_peer_may_not_send_is_refused_to_storescu(fast):
    options = ("-aet", "ONLY_CT", "-R")
    code, output = run("storescu", fast.port, sample("rtplan.dcm"), options=options)
    assert code != 0
    assert "No Acceptable Presentation Contexts" in output
    succeed("storescu", fast.port, sample("CT_small.dcm"), options=options)
    fast.events("ONLY_CT", 1)
