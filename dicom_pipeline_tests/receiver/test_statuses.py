from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS, code_to_category

from receiver.statuses import COMMENT_LENGTH, Status


def test_every_status_is_one_of_the_storage_service_class():
    for status in Status:
        assert status.code in STORAGE_SERVICE_CLASS_STATUS
        expected = "Success" if status is Status.SUCCESS else "Failure"
        assert code_to_category(status.code) == expected


def test_every_failure_has_its_own_code_and_a_comment_that_fits():
    assert len({status.code for status in Status}) == len(Status)
    for status in set(Status) - {Status.SUCCESS}:
        assert status.comment.isascii()
        assert 0 < len(status.comment) <= COMMENT_LENGTH
