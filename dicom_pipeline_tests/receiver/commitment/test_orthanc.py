"""Orthanc as the requester: what it asks is answered in a way that it understands."""

import pytest

from dicom_pipeline_tests.receiver.commitment.peers import archive
from dicom_pipeline_tests.receiver.commitment.stored import CT, MR, new_uid, wait_until
from dicom_pipeline_tests.receiver.orthanc import ORTHANC, running_orthanc
from receiver.commitment.reports import Address
from receiver.commitment.requests import Reference
from receiver.commitment.service import Commitment

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not ORTHANC, reason="Orthanc is not installed (apt-get install orthanc)"),
]


def named(reference):
    return {"SOPClassUID": reference.sop_class_uid, "SOPInstanceUID": reference.sop_instance_uid}


@pytest.mark.parametrize("good_only", [True, False], ids=["all safe", "failures exist"])
def test_orthanc_learns_which_of_its_objects_are_safe(stored, tmp_path, good_only):
    addresses = {}
    good = [stored.store()[0] for _ in range(3)]
    other_class, _ = stored.store(sop_class=MR)
    unknown, conflict = Reference(CT, new_uid()), other_class._replace(sop_class_uid=CT)
    asked = good if good_only else [unknown, *good, conflict]
    commitment = Commitment(
        root=stored.root,
        outboxes=stored.outboxes,
        path=stored.transactions,
        address_of=lambda requester: addresses[requester.calling_ae],
        settled=lambda _: True,
    )
    with archive(commitment) as port, running_orthanc(tmp_path, port) as orthanc:
        addresses["MODALITY"] = Address("127.0.0.1", orthanc.dicom_port)
        commitment.start()
        try:
            report = orthanc.report(orthanc.request_commitment(asked))
            wait_until(lambda: commitment.waiting().transactions == 0)
        finally:
            commitment.stop()
    assert report["RemoteAET"] == "ARCHIVE"
    assert report["Success"] == [named(each) for each in good]
    failures = {each["SOPInstanceUID"]: each["FailureReason"] for each in report["Failures"]}
    if good_only:
        assert (report["Status"], failures) == ("Success", {})
    else:
        assert report["Status"] == "Failure"
        assert failures == {
            unknown.sop_instance_uid: 0x0112,
            conflict.sop_instance_uid: 0x0119,
        }
