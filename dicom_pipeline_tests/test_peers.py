import pytest

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.peers import DEFAULT_TENANT, ClientCertificate, load_peers

TWO = """
[[peer]]
tenant = "east"
networks = ["10.1.0.0/16", "fd00::/8"]
calling_ae = "CT1"
character_set = ["GB18030"]

[[peer]]
tenant = "west"
networks = ["10.0.0.0/8"]
called_ae = "WEST"
"""


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "peers.toml"
        path.write_text(text)
        return load_peers(path)

    return load


def test_without_a_file_only_this_machine_may_send(tmp_path):
    peers = load_peers(tmp_path / "missing.toml")
    assert peers.find("127.0.0.1", "ANY", "ANY").tenant == DEFAULT_TENANT
    assert peers.find("::1", "ANY", "ANY").tenant == DEFAULT_TENANT
    assert peers.find("10.0.0.1", "ANY", "ANY") is None


@pytest.mark.parametrize(
    ("address", "calling", "called", "tenant"),
    [
        ("10.1.2.3", "CT1", "ANY", "east"),
        ("fd00::1", "CT1", "ANY", "east"),
        ("::ffff:10.1.2.3", "CT1", "ANY", "east"),
        ("10.1.2.3", "CT2", "WEST", "west"),
        ("10.1.2.3", "CT1", "WEST", "east"),
        ("10.2.0.1", "CT1", "EAST", None),
        ("192.168.0.1", "CT1", "WEST", None),
    ],
)
def test_the_first_peer_that_matches_decides(load, address, calling, called, tenant):
    peer = load(TWO).find(address, calling, called)
    assert (peer and peer.tenant) == tenant


def test_a_peer_without_networks_is_this_machine_only(load):
    peers = load('[[peer]]\ncalling_ae = "CT1"\n')
    assert peers.find("127.0.0.1", "CT1", "ANY")
    assert peers.find("10.0.0.1", "CT1", "ANY") is None


def test_a_character_set_is_that_of_the_peer_whose_network_the_sender_is_in(load):
    peers = load(TWO)
    assert peers.find("10.1.2.3", "CT1", "WEST").character_set == ("GB18030",)
    assert peers.find("10.2.0.1", "CT1", "WEST").character_set is None


def test_a_misspelt_character_set_is_refused_at_the_start(load):
    with pytest.raises(ConfigurationError, match=r"peers\.toml(.|\n)*GB18O30(.|\n)*Defined Term"):
        load('[[peer]]\ncharacter_set = ["GB18O30"]\n')


FINGERPRINT = "0123456789abcdef" * 4
WRITTEN = ":".join(FINGERPRINT.upper()[at : at + 2] for at in range(0, 64, 2))
SUBJECT = "CN=CT01,O=North,C=DE"


@pytest.mark.parametrize(
    ("criterion", "certificate", "fits"),
    [
        (f'certificate_sha256 = ["{WRITTEN}"]', (FINGERPRINT, "CN=any"), True),
        (f'certificate_sha256 = ["{"0" * 64}", "{WRITTEN}"]', (FINGERPRINT, "CN=any"), True),
        (f'certificate_sha256 = ["{"0" * 64}"]', (FINGERPRINT, SUBJECT), False),
        (f'certificate_sha256 = ["{WRITTEN}"]', None, False),
        ("certificate_sha256 = []", (FINGERPRINT, SUBJECT), False),
        (f'certificate_subject = "{SUBJECT}"', (FINGERPRINT, SUBJECT), True),
        (f'certificate_subject = "{SUBJECT}"', (FINGERPRINT, "CN=CT01"), False),
        (f'certificate_subject = "{SUBJECT}"', None, False),
        ('tenant = "any"', (FINGERPRINT, SUBJECT), True),
        ('tenant = "any"', None, True),
    ],
)
def test_a_tenant_can_be_bound_to_a_certificate(load, criterion, certificate, fits):
    peers = load(f"[[peer]]\n{criterion}\n")
    shown = ClientCertificate(*certificate) if certificate else None
    assert bool(peers.find("127.0.0.1", "ANY", "ANY", shown)) is fits


def test_a_peer_says_what_it_may_send_and_where_its_reports_go(load):
    (peer,) = load(
        '[[peer]]\nsop_classes = ["1.2.840.10008.5.1.4.1.1.2"]\n'
        'commitment_host = "ct01"\ncommitment_port = 104\ncommitment_tls = true\n'
    ).peer
    assert peer.sop_classes == ("1.2.840.10008.5.1.4.1.1.2",)
    assert (peer.commitment_host, peer.commitment_port, peer.commitment_tls) == ("ct01", 104, True)


@pytest.mark.parametrize(
    "text",
    [
        '[[peer]]\ncertificate_sha256 = ["0123"]\n',
        "[[peer]]\ncertificate_sha256 = [1]\n",
        '[[peer]]\ncertificate_subject = ""\n',
        '[[peer]]\nsop_classes = ["CT"]\n',
        '[[peer]]\ncommitment_host = "ct01"\n',
        "[[peer]]\ncommitment_port = 65536\n",
        "[[peer",
        '[[peer]]\ntenant = "../x"\n',
        '[[peer]]\ntenant = "Upper"\n',
        '[[peer]]\ntenant = "incoming"\n',
        '[[peer]]\ncalling_ae = "SEVENTEEN_LETTERS"\n',
        '[[peer]]\nnetworks = ["10.0.0.1/8"]\n',
        '[[peer]]\ncolour = "red"\n',
        '[[pear]]\ntenant = "x"\n',
    ],
)
def test_a_file_with_anything_else_names_itself_and_is_refused(load, text):
    with pytest.raises(ConfigurationError, match="peers\\.toml"):
        load(text)
