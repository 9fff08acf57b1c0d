"""Who may send what into which tenant, as senders find it."""

import socket
import threading
from contextlib import closing, contextmanager, suppress

import pytest
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.sop_class import Verification

from dicom_pipeline_tests.receiver.interop.associations import associated
from dicom_pipeline_tests.receiver.interop.inbox import PRIVATE_SYNTAX, PROXY, Inbox
from dicom_pipeline_tests.receiver.objects import (
    BIG_ENDIAN,
    CT,
    EXPLICIT,
    IMPLICIT,
    MR,
    make_dataset,
)
from dicom_pipeline_tests.receiver.running import process
from dicom_pipeline_tests.receiver.scu import send_dataset
from receiver.commitment.requests import STORAGE_COMMITMENT_PUSH_MODEL
from receiver.syntaxes import DEFAULT_ORDER

pytestmark = pytest.mark.service

J2K_LOSSLESS = "1.2.840.10008.1.2.4.90"
PRIVATE_CLASS = "1.2.826.0.1.3680043.8.498.99.3"
CLASSES = [str(each.abstract_syntax) for each in AllStoragePresentationContexts]


def accepted(association):
    """Abstract syntax and chosen transfer syntax of each accepted context."""
    return [(str(e.abstract_syntax), str(e.transfer_syntax[0])) for e in _contexts(association)]


def _contexts(association):
    return sorted(association.accepted_contexts, key=lambda each: each.context_id)


@pytest.mark.parametrize(
    ("calling", "called", "source", "tenant"),
    [
        ("ANYBODY", "DICOM_PIPELINE", "127.0.0.1", "default"),
        ("TOWARD", "WARD", "127.0.0.1", "ward"),
        ("CT1", "DICOM_PIPELINE", "127.0.0.1", "ct"),
        ("FROM2", "DICOM_PIPELINE", "127.0.0.2", "branch"),
    ],
)
def test_titles_and_address_decide_the_tenant(either, calling, called, source, tenant):
    with associated(
        either, [(CT, [EXPLICIT])], calling, ae_title=called, bind_address=(source, 0)
    ) as association:
        assert send_dataset(association, make_dataset()) == (0x0000, "")
    (event,) = either.events(calling, 1)
    assert (event.tenant_id, event.source_ip) == (tenant, source)
    assert event.file_path.startswith(f"{tenant}/")


@pytest.mark.parametrize(
    ("source", "reason"), [("127.0.0.3", 3), ("127.0.0.4", 7)], ids=["calling", "called"]
)
def test_who_is_not_in_the_file_of_peers_is_told_which_title_is_not_known(either, source, reason):
    with associated(
        either, [(CT, [EXPLICIT])], "STRANGER", bind_address=(source, 0)
    ) as association:
        assert association.rejection == (1, 1, reason)


@contextmanager
def balancer(port, header):
    """Takes one connection, and passes it on behind a header of the PROXY protocol."""

    def pump(source, target):
        with suppress(OSError):
            while chunk := source.recv(65536):
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)

    def serve():
        with closing(server.accept()[0]) as front, closing(socket.socket()) as back:
            back.bind((PROXY, 0))
            back.connect(("127.0.0.1", port))
            back.sendall(header)
            back_to_front = threading.Thread(target=pump, args=(back, front))
            back_to_front.start()
            pump(front, back)
            back_to_front.join(20)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(20)


def test_behind_a_balancer_the_sender_is_still_known(either):
    header = b"PROXY TCP4 10.1.2.3 10.0.0.9 4711 11112\r\n"
    with (
        balancer(either.port, header) as port,
        associated(Inbox(either.home, port), [(CT, [EXPLICIT])], "BALANCED") as association,
    ):
        assert send_dataset(association, make_dataset()) == (0x0000, "")
    (event,) = either.events("BALANCED", 1)
    assert (event.tenant_id, event.source_ip) == ("balanced", "10.1.2.3")


def test_a_peer_sends_only_the_classes_that_are_named_for_it(either):
    contexts = [(CT, [IMPLICIT]), (MR, [IMPLICIT]), (Verification, [IMPLICIT])]
    with associated(either, contexts, "ONLY_CT") as association:
        assert accepted(association) == [(CT, IMPLICIT), (str(Verification), IMPLICIT)]
        (refused,) = association.rejected_contexts
        assert (refused.abstract_syntax, refused.result) == (MR, 3)


def test_every_known_class_is_accepted_from_anybody_else(either):
    for start in range(0, len(CLASSES), 128):
        some = CLASSES[start : start + 128]
        with associated(either, [(each, [IMPLICIT]) for each in some], "ALL") as association:
            assert accepted(association) == [(each, IMPLICIT) for each in some]


@pytest.mark.parametrize(
    ("calling", "proposed", "chosen"),
    [
        ("ANY", [IMPLICIT, EXPLICIT], EXPLICIT),
        ("ANY", [BIG_ENDIAN, IMPLICIT], IMPLICIT),
        ("ANY", [J2K_LOSSLESS, EXPLICIT], EXPLICIT),
        ("ANY", ["1.2.840.10008.1.2.4.50", J2K_LOSSLESS], J2K_LOSSLESS),
        ("ANY", [BIG_ENDIAN, PRIVATE_SYNTAX], PRIVATE_SYNTAX),
        ("LIKES_J2K", [EXPLICIT, J2K_LOSSLESS], J2K_LOSSLESS),
        ("LIKES_J2K", [EXPLICIT, PRIVATE_SYNTAX], PRIVATE_SYNTAX),
        ("LIKES_J2K", [IMPLICIT, EXPLICIT], EXPLICIT),
    ],
)
def test_of_several_syntaxes_the_receivers_order_decides_and_a_peers_before_it(
    fast, calling, proposed, chosen
):
    with associated(fast, [(CT, proposed)], calling) as association:
        assert accepted(association) == [(CT, chosen)]


@pytest.mark.parametrize("loop", ["fast", "public"])
def test_settings_narrow_classes_and_syntaxes_for_everybody(tmp_path, loop):
    (tmp_path / "peers.toml").write_text(
        f'[[peer]]\ncalling_ae = "NARROW"\nsop_classes = ["{MR}", "{CLASSES[0]}"]\n'
        f'transfer_syntaxes = ["{BIG_ENDIAN}"]\n[[peer]]\n'
    )
    variables = {
        "RECEIVER_LOOP": loop,
        "RECEIVER_SOP_CLASSES": f'["{CT}", "{MR}"]',
        "RECEIVER_TRANSFER_SYNTAXES": f'["{IMPLICIT}", "{J2K_LOSSLESS}"]',
    }
    with process(tmp_path, **variables) as running:
        inbox = Inbox(tmp_path, running.port)
        one_each = [(CT, [syntax]) for syntax in DEFAULT_ORDER]
        services = [
            (str(Verification), [IMPLICIT]),
            (STORAGE_COMMITMENT_PUSH_MODEL, [EXPLICIT]),
        ]
        with associated(inbox, [*one_each, *services], "WIDE") as association:
            assert set(accepted(association)) == {
                (CT, IMPLICIT),
                (CT, J2K_LOSSLESS),
                *((each, syntax) for each, (syntax,) in services),
            }
        classes = [(each, [IMPLICIT]) for each in CLASSES[:100]] + [(MR, [IMPLICIT])]
        for calling, some in (("WIDE", {CT, MR}), ("NARROW", {MR})):
            with associated(inbox, classes, calling) as association:
                assert {each for each, _ in accepted(association)} == some
        with associated(inbox, [(MR, [BIG_ENDIAN, IMPLICIT])], "NARROW") as association:
            assert accepted(association) == [(MR, IMPLICIT)]


@pytest.mark.parametrize("loop", ["fast", "public"])
def test_a_private_class_that_the_settings_name_is_stored(tmp_path, loop):
    with process(
        tmp_path, RECEIVER_LOOP=loop, RECEIVER_SOP_CLASSES=f'["{PRIVATE_CLASS}"]'
    ) as running:
        inbox = Inbox(tmp_path, running.port)
        with associated(inbox, [(PRIVATE_CLASS, [EXPLICIT])], "PRIVATE") as association:
            dataset = make_dataset(SOPClassUID=PRIVATE_CLASS)
            status = send_dataset(association, dataset, sop_class=PRIVATE_CLASS)
        assert status == (0x0000, "")
        (event,) = inbox.events("PRIVATE", 1)
    assert event.sop_class_uid == PRIVATE_CLASS
