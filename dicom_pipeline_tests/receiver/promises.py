"""What a sender may rely on once its objects were acknowledged."""

from collections import defaultdict

from dicom_pipeline.messages import FAN_OUT, LOG_QUEUE
from receiver.part10 import digest, read_head


def require_kept(storage, events, acknowledged, sent):
    """Every acknowledged receipt has its file and its events, and no file is less than whole.

    Args:
        storage: the storage root, after recovery.
        events: by topic, in the event log or in an outbox.
        acknowledged: how many receipts of each (SOP Instance UID, digest) were.
        sent: every (SOP Instance UID, digest) that was begun.
    """
    receipts = defaultdict(set)
    for event in events[LOG_QUEUE]:
        receipts[event.sop_uid, event.digest].add(event.trace_id)
    for content, count in acknowledged.items():
        assert len(receipts[content]) >= count, f"receipt lost: {content}"
    for topic in FAN_OUT:
        found = {(event.sop_uid, event.digest) for event in events[topic]}
        assert acknowledged.keys() <= found, f"event lost: {acknowledged.keys() - found}"
    named = {event.file_path: (event.sop_uid, event.digest) for event in events[LOG_QUEUE]}
    files = {str(path.relative_to(storage)): path for path in storage.rglob("*.dcm")}
    differ = files.keys() ^ named.keys()
    assert not differ, f"file without its event, or event without its file: {differ}"
    for name, path in files.items():
        head = read_head(path)
        content = digest(head.transfer_syntax_uid, path.read_bytes()[head.offset :])
        assert content == named[name][1], f"file is not whole: {name}"
    assert set(named.values()) <= sent, "event of what was never sent"
