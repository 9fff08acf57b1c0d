import pydicom.uid
from pydicom._uid_dict import UID_dictionary
from pynetdicom import ALL_TRANSFER_SYNTAXES

from receiver.syntaxes import DEFAULT_ORDER, EXPLICIT_BIG, preference

NO_DATA_SETS = {"1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2"}  # MIME and XML, retired
JPEG_LOSSLESS, JPEG_BASELINE = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.50"


def test_every_transfer_syntax_that_the_libraries_know_is_accepted():
    known = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"}
    known |= {*ALL_TRANSFER_SYNTAXES, *pydicom.uid.AllTransferSyntaxes}
    assert known - NO_DATA_SETS - set(DEFAULT_ORDER) == set()
    assert len(set(DEFAULT_ORDER)) == len(DEFAULT_ORDER)


def test_explicit_stands_before_implicit_lossless_before_lossy_and_big_endian_last():
    order = preference()
    assert order[:2] == ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
    assert order.index(JPEG_LOSSLESS) < order.index(JPEG_BASELINE)
    assert order[-1] == EXPLICIT_BIG


def test_a_peers_preference_comes_first_and_private_syntaxes_before_big_endian():
    order = preference((JPEG_BASELINE,), ("1.2.3.4",))
    assert order[0] == JPEG_BASELINE
    assert order[-2:] == ("1.2.3.4", EXPLICIT_BIG)
    assert order.count(JPEG_BASELINE) == 1
