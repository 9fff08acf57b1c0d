"""Orthanc sends to the receiver process, and asks it whether the objects are safe."""

from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_pipeline.messages import LOG_QUEUE
from dicom_pipeline_tests.receiver.interop.dcmtk import sample, write_objects
from dicom_pipeline_tests.receiver.interop.inbox import Inbox, data_set
from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.receiver.objects import CT, new_uid
from dicom_pipeline_tests.receiver.orthanc import ORTHANC, free_ports, running_orthanc
from dicom_pipeline_tests.receiver.running import process, published

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not ORTHANC, reason="Orthanc is not installed (apt-get install orthanc)"),
]

SAMPLES = ["CT_small.dcm", "rtplan.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "JPEG-lossy.dcm"]


@pytest.fixture(scope="module", params=["fast", "public"])
def pair(request, tmp_path_factory):
    """A receiver process, and an Orthanc that knows it as ``archive`` and is its peer."""
    home = tmp_path_factory.mktemp(request.param)
    (dicom_port,) = free_ports(1)
    (home / "peers.toml").write_text(
        '[[peer]]\ntenant = "modality"\ncalling_ae = "MODALITY"\ncalled_ae = "ARCHIVE"\n'
        f'commitment_host = "127.0.0.1"\ncommitment_port = {dicom_port}\n'
    )
    folder = home / "orthanc"
    folder.mkdir()
    with (
        process(home, RECEIVER_LOOP=request.param) as running,
        running_orthanc(folder, running.port, dicom_port) as orthanc,
    ):
        yield Inbox(home, running.port), orthanc


def keep(orthanc, paths):
    """Give files to Orthanc; returns its names for them, and the objects' references."""
    names = [orthanc.call("/instances", path.read_bytes())["ID"] for path in paths]
    files = [dcmread(path, stop_before_pixels=True) for path in paths]
    return names, [(str(file.SOPClassUID), str(file.SOPInstanceUID)) for file in files]


def store(orthanc, names):
    """Have Orthanc send; returns its account."""
    return orthanc.call("/modalities/archive/store", {"Resources": names, "Synchronous": True})


def received(inbox, references):
    """The receipts of objects, by SOP Instance UID, once they are all there."""
    uids = {uid for _, uid in references}

    def events():
        return {e.sop_uid: e for e in published(inbox.home, LOG_QUEUE) if e.sop_uid in uids}

    wait_until(lambda: events().keys() == uids)
    return events()


def test_orthanc_sends_and_learns_that_all_is_safe(pair, tmp_path):
    inbox, orthanc = pair
    paths = write_objects(tmp_path, 4)
    names, references = keep(orthanc, paths)
    sent = store(orthanc, names)
    assert (sent["InstancesCount"], sent["FailedInstancesCount"]) == (4, 0)
    report = orthanc.report(orthanc.request_commitment(references))
    assert (report["Status"], report["RemoteAET"]) == ("Success", "ARCHIVE")
    assert [each["SOPInstanceUID"] for each in report["Success"]] == [uid for _, uid in references]
    assert report["Failures"] == []
    events = received(inbox, references)
    assert {each.tenant_id for each in events.values()} == {"modality"}
    for path in paths:
        assert data_set(inbox.path(events[path.stem])) == data_set(path)
    assert set(inbox.ends("MODALITY")) == {"released"}


def test_orthanc_learns_which_object_never_came(pair, tmp_path):
    _, orthanc = pair
    names, references = keep(orthanc, write_objects(tmp_path, 2))
    store(orthanc, names[:1])
    asked = [*references, (CT, new_uid())]
    report = orthanc.report(orthanc.request_commitment(asked))
    assert report["Status"] == "Failure"
    assert [each["SOPInstanceUID"] for each in report["Success"]] == [references[0][1]]
    failures = {each["SOPInstanceUID"]: each["FailureReason"] for each in report["Failures"]}
    assert failures == {uid: 0x0112 for _, uid in asked[1:]}


def test_orthanc_sends_each_object_in_its_own_syntax(pair):
    inbox, orthanc = pair
    paths = [sample(name) for name in SAMPLES]
    names, references = keep(orthanc, [Path(each) for each in paths])
    assert store(orthanc, names)["FailedInstancesCount"] == 0
    files = [dcmread(path) for path in paths]
    events = received(inbox, references)
    for file, (_, uid) in zip(files, references, strict=True):
        theirs = dcmread(inbox.path(events[uid]))
        assert theirs.file_meta.TransferSyntaxUID == file.file_meta.TransferSyntaxUID
        assert theirs.get("PixelData") == file.get("PixelData")
        assert theirs.StudyInstanceUID == file.StudyInstanceUID
