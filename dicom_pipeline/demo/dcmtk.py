"""DCMTK's ``storescu`` as the sender: an implementation that shares no code with ours."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dicom_pipeline.cli.sending import Answer, Destination, Outgoing

_SENDING: Final = re.compile(r"^I: Sending file: (?P<path>.+)$")
_ANSWER: Final = re.compile(r"^I: Received Store Response \((?P<status>.+)\)$")
_TIMEOUT_SECONDS: Final = 120


def find_storescu() -> Path | None:
    """DCMTK's storescu on the search path (pynetdicom installs a program of the same name)."""
    for folder in os.get_exec_path():
        program = Path(folder) / "storescu"
        if os.access(program, os.X_OK) and _is_dcmtk(program):
            return program
    return None


def _is_dcmtk(program: Path) -> bool:
    done = subprocess.run(  # noqa: S603 - a program of the search path, asked for its version
        [program, "--version"], capture_output=True, text=True, check=False
    )
    return "dcmtk" in done.stdout


def send_with_storescu(
    program: Path, outgoing: Sequence[Outgoing], destination: Destination
) -> list[Answer]:
    """Send uncompressed files; the answers of those that were accepted.

    What is not in the result was not accepted, or not even sent, and is for another sender.
    """
    titles = ["-aet", "DCMTK", "-aec", destination.called]
    files = [str(one.path) for one in outgoing]
    done = subprocess.run(  # noqa: S603 - found by `find_storescu`
        [program, "-v", *titles, destination.host, str(destination.port), *files],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_SECONDS,
    )
    by_path = {str(one.path): one for one in outgoing}
    return [Answer(by_path[path], 0) for path in accepted(done.stdout + done.stderr)]


def accepted(output: str) -> list[str]:
    """The paths that storescu's verbose output calls successful."""
    paths = []
    current = None
    for line in output.splitlines():
        if match := _SENDING.match(line):
            current = match["path"]
        elif current and (match := _ANSWER.match(line)):
            if match["status"] == "Success":
                paths.append(current)
            current = None
    return paths
