import pydicom.uid
from pydicom._uid_dict import UID_dictionary
from pynetdicom import ALL_TRANSFER_SYNTAXES

from dicom_pipeline.imaging.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    TRANSFER_SYNTAXES,
    Family,
    Viewer,
)
from receiver.syntaxes import DEFAULT_ORDER, preference

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
    assert order[-1] == EXPLICIT_VR_BIG_ENDIAN


def test_the_table_of_transfer_syntaxes_is_the_only_list():
    assert set(DEFAULT_ORDER) == set(TRANSFER_SYNTAXES) - NO_DATA_SETS


def test_what_the_viewer_decodes_stands_before_what_it_never_shows():
    def last(viewer, family):
        return max(
            DEFAULT_ORDER.index(uid)
            for uid, syntax in TRANSFER_SYNTAXES.items()
            if (syntax.viewer, syntax.family) == (viewer, family)
        )

    for family in (Family.JPEG, Family.JPEG_LOSSLESS):
        assert last(Viewer.DECODES, family) < last(Viewer.NEVER, family)


def test_a_peers_preference_comes_first_and_private_syntaxes_before_big_endian():
    order = preference((JPEG_BASELINE,), ("1.2.3.4",))
    assert order[0] == JPEG_BASELINE
    assert order[-2:] == ("1.2.3.4", EXPLICIT_VR_BIG_ENDIAN)
    assert order.count(JPEG_BASELINE) == 1
