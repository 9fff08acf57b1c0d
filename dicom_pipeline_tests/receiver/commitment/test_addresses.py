import ssl

import pytest
import trustme

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.peers import Peer, Peers
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.receiver.commitment.peers import Reports, listener
from dicom_pipeline_tests.receiver.commitment.stored import CT
from receiver.commitment.addresses import PeerAddresses
from receiver.commitment.reports import OwnAssociation, event_information
from receiver.commitment.requests import Reference
from receiver.commitment.transactions import Outcome, Requester

CT_ROOM = Requester("default", "CT1", "ARCHIVE", "10.0.0.7")


def address(requester, *peers, **settings):
    book = PeerAddresses(Peers(peer=peers), Settings(_env_file=None, **settings))
    return book(requester)


def test_a_peer_with_a_port_listens_where_it_sends_from():
    peer = Peer(networks=["10.0.0.0/8"], commitment_port=11113)
    assert address(CT_ROOM, peer) == ("10.0.0.7", 11113, None)


def test_a_peer_may_listen_elsewhere():
    peer = Peer(networks=["10.0.0.0/8"], commitment_port=104, commitment_host="pacs.example")
    assert address(CT_ROOM, peer) == ("pacs.example", 104, None)


def test_the_first_peer_that_matches_decides():
    silent = Peer(networks=["10.0.0.0/8"], calling_ae="CT1")
    listening = Peer(networks=["10.0.0.0/8"], commitment_port=104)
    assert address(CT_ROOM, silent, listening) is None
    assert address(CT_ROOM._replace(calling_ae="CT2"), silent, listening).port == 104


def test_a_peer_of_another_tenant_is_another_requester():
    peer = Peer(tenant="other", networks=["10.0.0.0/8"], commitment_port=104)
    assert address(CT_ROOM, peer) is None
    assert address(CT_ROOM._replace(tenant_id="other"), peer).port == 104


def test_a_peer_that_is_bound_to_a_certificate_is_found_without_it():
    peer = Peer(networks=["10.0.0.0/8"], certificate_subject="CN=CT1", commitment_port=104)
    assert address(CT_ROOM, peer).port == 104


def test_a_file_for_tls_that_is_of_no_use_is_named_by_its_setting(tmp_path):
    peer = Peer(networks=["10.0.0.0/8"], commitment_port=104, commitment_tls=True)
    with pytest.raises(ConfigurationError, match="RECEIVER_TLS_CA"):
        address(CT_ROOM, peer, receiver_tls_ca=tmp_path / "missing.pem")


@pytest.mark.service
def test_reports_over_tls_show_the_receivers_certificate_and_check_the_peers(tmp_path):
    authority, reports = trustme.CA(), Reports()
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(theirs)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = authority.issue_cert("archive.example")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    requester = CT_ROOM._replace(calling_ae="MODALITY", source_ip="127.0.0.1")
    with listener(reports, tls=theirs) as port:
        found = address(
            requester,
            Peer(commitment_port=port, commitment_tls=True),
            receiver_tls_certificate=tmp_path / "own.pem",
            receiver_tls_ca=tmp_path / "ca.pem",
        )
        information = event_information("1.2", Outcome((Reference(CT, "1.1"),), ()))
        assert OwnAssociation().send(requester, found, 1, information, 5) == 0x0000
    assert len(reports.received) == 1
