import time

import pytest

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline_tests.receiver.commitment.stored import CT, MR
from receiver.commitment import transactions as module
from receiver.commitment.requests import Reference, RefusedError, Request
from receiver.commitment.transactions import FailureReason, Outcome, Requester, Transactions

REQUESTER = Requester("default", "MODALITY", "ARCHIVE", "127.0.0.1")
REQUEST = Request("1.9", (Reference(CT, "1.1"), Reference(MR, "1.2")))
OTHER = Request("1.9", (Reference(CT, "1.3"),))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "commitment" / "node.db"


@pytest.fixture
def transactions(path):
    transactions = Transactions(path)
    yield transactions
    transactions.close()


def test_a_request_survives_the_process(path):
    first = Transactions(path)
    first.add(REQUESTER, REQUEST, 5)
    first.close()
    again = Transactions(path)
    (transaction,) = again.all()
    assert transaction == (1, REQUESTER, "1.9", 5)
    assert again.references(1) == REQUEST.references
    assert again.outcome(1) is None
    again.close()


def test_the_same_request_again_is_the_same_transaction(transactions):
    assert transactions.add(REQUESTER, REQUEST, 5) == transactions.add(REQUESTER, REQUEST, 6)
    assert transactions.waiting().transactions == 1


@pytest.mark.parametrize("field", ["tenant_id", "calling_ae", "called_ae"])
def test_a_transaction_uid_is_its_requesters_own(transactions, field):
    other = REQUESTER._replace(**{field: "other"})
    assert transactions.add(REQUESTER, REQUEST, 5) != transactions.add(other, OTHER, 5)
    assert transactions.outcome(2) is None


def test_other_objects_under_a_transaction_uid_in_use_fail_as_duplicates(transactions):
    transactions.add(REQUESTER, REQUEST, 5)
    second = transactions.add(REQUESTER, OTHER, 6)
    assert transactions.outcome(1) is None
    assert transactions.outcome(second) == Outcome(
        (), ((OTHER.references[0], FailureReason.DUPLICATE_TRANSACTION),)
    )


def test_an_outcome_is_kept_until_the_transaction_ends(transactions):
    outcome = Outcome(
        (REQUEST.references[0],), ((REQUEST.references[1], FailureReason.NO_SUCH_OBJECT),)
    )
    number = transactions.add(REQUESTER, REQUEST, 5)
    transactions.set_outcome(number, outcome)
    assert transactions.outcome(number) == outcome
    transactions.remove(number)
    assert transactions.all() == []
    assert transactions.add(REQUESTER, REQUEST, 5) != number


@pytest.mark.parametrize("limit", ["MAX_WAITING", "MAX_WAITING_BYTES"])
def test_what_waits_is_bounded_but_repeats_are_still_taken(transactions, monkeypatch, limit):
    transactions.add(REQUESTER, REQUEST, 5)
    monkeypatch.setattr(module, limit, 1)
    with pytest.raises(RefusedError) as refused:
        transactions.add(REQUESTER, OTHER, 6)
    assert refused.value.status == 0x0213
    assert transactions.add(REQUESTER, REQUEST, 7) == 1


def test_the_age_is_that_of_the_oldest(transactions):
    assert transactions.waiting() == (0, 0.0)
    transactions.add(REQUESTER, REQUEST, (time.time_ns() // 1000) - 60_000_000)
    count, age = transactions.waiting()
    assert count == 1
    assert 59 < age < 70


def test_a_second_process_is_told_to_use_another_name(path, transactions):
    with pytest.raises(ConfigurationError, match="WORKER_NODE_ID"):
        Transactions(path)


def test_a_broken_file_is_a_configuration_error(path):
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        Transactions(path)


def test_transactions_of_a_node_that_is_gone_are_adopted_and_of_one_that_runs_are_not(
    path, transactions
):
    gone = Transactions(path.with_name("gone.db"))
    gone.add(REQUESTER, REQUEST, 5)
    gone.close()
    living = Transactions(path.with_name("living.db"))
    living.add(REQUESTER, OTHER, 5)
    assert transactions.adopt_orphans() == 1
    assert transactions.adopt_orphans() == 0
    assert [transactions.references(each.id) for each in transactions.all()] == [REQUEST.references]
    living.close()
