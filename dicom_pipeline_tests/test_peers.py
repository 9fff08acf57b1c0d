import pytest

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.peers import DEFAULT_TENANT, load_peers

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


@pytest.mark.parametrize(
    "text",
    [
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
