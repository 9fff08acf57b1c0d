import os
import shutil
import threading

import pytest

from dicom_pipeline_tests.receiver.commitment.stored import CT, MR, Stored, new_uid
from receiver.commitment.evaluation import Evaluation, NotYetError
from receiver.commitment.requests import Reference


def evaluation(stored, settled=lambda _: True, stopping=None):
    return Evaluation(stored.root, stored.outboxes, settled, stopping or threading.Event())


def reasons(stored, *references, tenant="default"):
    outcome = evaluation(stored).evaluate(tenant, references)
    failed = {reference: int(reason) for reference, reason in outcome.failed}
    assert len(outcome.good) + len(failed) == len(references)
    return [failed.get(reference) for reference in references]


def test_an_object_is_safe_when_its_record_and_its_file_agree(stored):
    small, _ = stored.store()
    large, _ = stored.store(content=os.urandom(3 << 20))
    assert reasons(stored, small, large) == [None, None]


def test_each_way_to_be_unsafe_has_its_reason(stored):
    good, _ = stored.store()
    other_class, _ = stored.store(sop_class=MR)
    flipped, file = stored.store(content=b"pixels")
    file.write_bytes(file.read_bytes()[:-1] + b"S")
    cut, file = stored.store()
    file.write_bytes(file.read_bytes()[:-1])
    longer, file = stored.store()
    file.write_bytes(file.read_bytes() + b"\0")
    no_head, file = stored.store()
    file.write_bytes(b"\0" * 4096)
    removed, file = stored.store()
    file.unlink()
    folder, file = stored.store()
    file.unlink()
    file.mkdir()
    assert reasons(
        stored,
        good,
        Reference(CT, new_uid()),
        Reference(CT, other_class.sop_instance_uid),
        flipped,
        cut,
        longer,
        no_head,
        removed,
        folder,
    ) == [None, 0x0112, 0x0119, 0x0110, 0x0110, 0x0110, 0x0110, 0x0112, 0x0110]


def test_a_file_without_a_record_is_unknown(stored):
    uid = new_uid()
    stored.write(f"default/20240131/1.2.3/1.2.3.4/{uid}.dcm", uid)
    assert reasons(stored, Reference(CT, uid)) == [0x0112]


def test_a_tenant_cannot_ask_about_anothers_objects(stored):
    (stored.root / "other").mkdir()
    mine, _ = stored.store()
    assert reasons(stored, mine, tenant="other") == [0x0112]


def test_a_file_under_anothers_name_is_not_the_object(stored):
    first, file = stored.store()
    second, other = stored.store()
    shutil.copyfile(file, other)
    assert reasons(stored, first, second) == [None, 0x0110]


def test_a_file_that_was_received_for_another_tenant_is_not_the_object(stored):
    reference, file = stored.store()
    path = str(file.relative_to(stored.root))
    stored.write(path, reference.sop_instance_uid, tenant="other")
    assert reasons(stored, reference) == [0x0110]


@pytest.mark.parametrize("same_folder", [True, False])
def test_the_version_received_last_decides(stored, same_folder):
    uid = new_uid()
    stored.store(uid, sop_class=MR)
    if same_folder:
        _, newest = stored.store(uid, again=True, content=b"other pixels")
    else:
        path = f"default/20250101/1.2.3/1.2.3.4/{uid}.dcm"
        newest = stored.write(path, uid, content=b"other pixels")
        stored.record((path, stored.version))
    assert reasons(stored, Reference(CT, uid), Reference(MR, uid)) == [None, 0x0119]
    newest.write_bytes(newest.read_bytes()[:-1] + b"S")
    assert reasons(stored, Reference(CT, uid)) == [0x0110]


def test_an_object_that_was_sent_again_to_heal_its_file_is_safe(stored):
    reference, file = stored.store()
    file.write_bytes(b"")
    stored.store(reference.sop_instance_uid, again=True)
    assert reasons(stored, reference) == [None]


def test_an_object_whose_record_is_on_its_way_is_waited_for(stored):
    uid = new_uid()

    def settle(_seconds):
        stored.store(uid)
        return True

    outcome = evaluation(stored, settle).evaluate("default", [Reference(CT, uid)])
    assert outcome.good == (Reference(CT, uid),)


def test_what_seems_unknown_before_receipts_have_settled_is_not_reported(stored):
    good, _ = stored.store()
    unsettled = evaluation(stored, lambda _: False)
    with pytest.raises(NotYetError):
        unsettled.evaluate("default", [good, Reference(CT, new_uid())])
    assert unsettled.evaluate("default", [good]).good == (good,)


def test_an_object_that_another_receiver_has_acknowledged_is_not_unknown(stored):
    uid = new_uid()
    unfinished = stored.write("incoming/neighbour/trace.dcm", uid)
    with pytest.raises(NotYetError):
        reasons(stored, Reference(CT, uid))
    unfinished.write_bytes(b"\0" * 4096)  # its head is not there yet: never acknowledged
    assert reasons(stored, Reference(CT, uid)) == [0x0112]


def test_a_storage_that_is_away_condemns_nothing(tmp_path):
    (tmp_path / "home").mkdir()
    stored = Stored(tmp_path / "home")
    reference, _ = stored.store()
    stored.root.rename(stored.root.with_name("unmounted"))
    with pytest.raises(NotYetError):
        reasons(stored, reference)


def test_an_evaluation_ends_when_the_receiver_stops(stored):
    reference, _ = stored.store()
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(NotYetError):
        evaluation(stored, stopping=stopping).evaluate("default", [reference])
