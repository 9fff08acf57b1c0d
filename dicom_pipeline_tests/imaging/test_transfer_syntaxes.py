import subprocess
import sys

from pydicom.uid import AllTransferSyntaxes, UID_dictionary

from dicom_pipeline.imaging.transfer_syntaxes import TRANSFER_SYNTAXES, Family, Remedy, Viewer


def test_every_transfer_syntax_of_the_dictionary_is_in_the_table():
    named = {uid for uid, row in UID_dictionary.items() if row[1] == "Transfer Syntax"}

    assert named | set(AllTransferSyntaxes) <= set(TRANSFER_SYNTAXES)


def test_each_uid_stands_once():
    from dicom_pipeline.imaging import transfer_syntaxes  # noqa: PLC0415

    assert len(transfer_syntaxes._ROWS) == len(TRANSFER_SYNTAXES)


def test_whether_pixel_data_is_encapsulated_is_what_the_dictionary_says():
    # pydicom takes Papyrus for a compressed syntax, which it is not.
    known = set(AllTransferSyntaxes) & set(TRANSFER_SYNTAXES) - {"1.2.840.10008.1.20"}
    frameless = {Family.JPIP, Family.NO_FRAMES}

    for uid in AllTransferSyntaxes:
        row = TRANSFER_SYNTAXES[str(uid)]
        if str(uid) in known and row.family not in frameless:
            assert row.encapsulated == uid.is_encapsulated, uid


def test_what_the_viewer_never_shows_has_a_remedy_or_is_a_stated_failure():
    for row in TRANSFER_SYNTAXES.values():
        if row.viewer is Viewer.NEVER and row.remedy is Remedy.NONE:
            assert row.family in {Family.JPIP, Family.NO_FRAMES}


def test_the_table_imports_nothing_heavy():
    code = (
        "import sys, dicom_pipeline.imaging.transfer_syntaxes;"
        "print([m for m in ('numpy', 'pydicom', 'dagster', 'imagecodecs') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
