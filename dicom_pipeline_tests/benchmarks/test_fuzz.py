"""The fuzzer: a short run of it, and that it would tell."""

from random import Random

import pytest

from benchmarks.fuzz import reference
from benchmarks.fuzz.conversations import CONTEXTS, conversation, encode, mutate
from benchmarks.fuzz.memory import FoundError, MemoryFuzzer
from benchmarks.fuzz.network import OVERRIDES, NetworkFuzzer
from benchmarks.systems import DicomPipeline
from receiver.incoming import IncomingObject
from receiver.session import Session

INPUTS = 2000
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom tells of odd bytes


@pytest.fixture
def fuzzer(tmp_path):
    fuzzer = MemoryFuzzer(tmp_path, seed=20)
    yield fuzzer
    fuzzer.stop()


def test_hostile_inputs_break_no_promise(fuzzer):
    assert sum(fuzzer.run(range(INPUTS))) == INPUTS
    assert fuzzer.ends.total() == INPUTS
    assert fuzzer.acknowledged > INPUTS / 10, "many get through"
    assert fuzzer.ends["protocol_error"] > INPUTS / 10, "and many do not"


@pytest.mark.service
def test_hostile_senders_do_not_disturb_a_good_one(tmp_path):
    with DicomPipeline(OVERRIDES).start(tmp_path / "receiver") as server:
        fuzzer = NetworkFuzzer(server, seed=20)
        assert sum(fuzzer.run(range(100))) == 100
        assert fuzzer.check() == []
    assert fuzzer.acknowledged > 0
    assert fuzzer.ends["aborted"] > 20


def test_an_input_is_known_by_its_seed_and_number():
    def made(seed):
        rng = Random(seed)
        return mutate(rng, conversation(rng, 7))

    assert made("1:7") == made("1:7") != made("1:8")


def test_the_reference_reads_what_is_sent():
    syntaxes = {number: transfer for number, (_, transfer) in CONTEXTS.items()}
    stores = [
        store
        for number in range(50)
        for store in reference.stores(encode(conversation(Random(number), number)), syntaxes)
    ]
    assert len(stores) > 30
    assert all(store.sop_instance_uid.startswith("1.2.3.") for store in stores)


def test_an_exception_out_of_a_session_is_found(fuzzer, monkeypatch):
    monkeypatch.setattr(Session, "_release", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError) as raised:
        list(fuzzer.run(range(200)))
    assert "of seed 20" in raised.value.__notes__[0]


def test_an_object_that_is_not_discarded_is_found(fuzzer, monkeypatch):
    monkeypatch.setattr(IncomingObject, "discard", lambda _: None)
    with pytest.raises(FoundError, match="left in incoming"):
        list(fuzzer.run(range(2000)))


def test_a_byte_that_is_not_stored_is_found(fuzzer, monkeypatch):
    append = IncomingObject.append
    monkeypatch.setattr(
        IncomingObject, "append", lambda stored, data: append(stored, data[: len(data) // 2 * 2])
    )
    with pytest.raises(FoundError):
        list(fuzzer.run(range(2000)))
