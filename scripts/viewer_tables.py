"""Writes the names of transfer syntaxes and storage SOP classes that the viewer page shows.

usage: python scripts/viewer_tables.py [--check] FOLDER

With ``--check`` nothing is written, and the exit code is 1 when a file differs.
"""

import json
import sys
from pathlib import Path
from typing import Final

from pydicom._uid_dict import UID_dictionary

from dicom_pipeline.imaging.transfer_syntaxes import TRANSFER_SYNTAXES


def transfer_syntaxes() -> dict[str, str]:
    """Name by UID, as the rest of the product has them."""
    return {uid: syntax.name for uid, syntax in TRANSFER_SYNTAXES.items()}


def sop_classes() -> dict[str, str]:
    """Name by UID of all storage SOP classes in PS3.6, the retired ones too."""
    return {
        uid: name.removesuffix(" Storage")
        for uid, (name, kind, *_) in sorted(UID_dictionary.items())
        if kind == "SOP Class" and ".5.1.4.1.1." in uid and "Storage" in name
    }


TABLES: Final = {"transfer-syntaxes.json": transfer_syntaxes, "sop-classes.json": sop_classes}


def main(arguments: list[str]) -> int:
    """Write or check the files; returns the exit code."""
    check = "--check" in arguments
    (folder,) = (Path(each) for each in arguments if each != "--check")
    stale = False
    for name, table in TABLES.items():
        text = json.dumps(table(), indent=1, ensure_ascii=False) + "\n"
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale = True
        if not check:
            path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path}: {'differs from the code' if check else 'written'}\n")
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
