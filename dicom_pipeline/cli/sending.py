"""Sending files by C-STORE as they are.

The data set's bytes are neither decoded nor encoded anew, unless group 0002 names another object.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, Self

import msgspec
from pydicom import config as pydicom_config
from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread
from pydicom.uid import UID, MediaStorageDirectoryStorage
from pynetdicom import AE, _config, build_context
from pynetdicom.association import Association
from pynetdicom.status import code_to_category
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dicom_pipeline.cli.exits import FAILED, OK
from dicom_pipeline.cli.network import answers
from dicom_pipeline.cli.sent_journal import SentJournal
from dicom_pipeline.errors import ConfigurationError, PermanentError, TransientError
from dicom_pipeline.imaging.quiet import quiet_pydicom
from dicom_pipeline.settings import Settings

MAX_CONTEXTS: Final = 128
"""Presentation contexts of one association (PS3.8 9.3.2.2: odd ids 1 to 255)."""
RECONNECTS: Final = 3
"""Further associations for files that a broken one has left."""
_MESSAGE_IDS: Final = 65535
_TRANSIENT: Final = 2
"""Result of a rejection that may be tried again (PS3.8 9.3.4)."""
_UIDS: Final = {
    "SOPClassUID": "MediaStorageSOPClassUID",
    "SOPInstanceUID": "MediaStorageSOPInstanceUID",
}
_MAGIC: Final = (128, b"DICM")


class Destination(NamedTuple):
    """Where to send, and the AE titles on both sides."""

    host: str
    port: int
    called: str
    calling: str

    @classmethod
    def of(cls, settings: Settings, *, host: str, port: int, called: str, calling: str) -> Self:
        """What the options say; what they leave open from the running receiver or the settings."""
        try:
            here = msgspec.json.decode((settings.home / "receiver.json").read_bytes())
        except FileNotFoundError:
            here = {}
        destination = cls(
            host or here.get("host", settings.receiver_host),
            port or here.get("port", settings.receiver_port),
            called or here.get("ae_title", settings.receiver_ae_title),
            calling,
        )
        if not destination.port:
            raise ConfigurationError(
                "no port: RECEIVER_PORT is 0 and no receiver runs on this home; "
                "start one, or give --port"
            )
        return destination

    def __str__(self) -> str:
        return f"{self.called} at {self.host}:{self.port}"


class Outgoing(NamedTuple):
    """A file and what is proposed for it."""

    path: Path
    sop_class_uid: str
    sop_uid: str
    transfer_syntax_uid: str
    consistent: bool = True
    """Whether group 0002 names the same class and object as the data set."""

    @property
    def context(self) -> tuple[str, str]:
        """The presentation context it needs."""
        return self.sop_class_uid, self.transfer_syntax_uid


class Answer(NamedTuple):
    """What became of one file."""

    outgoing: Outgoing
    status: int | None
    """The C-STORE status; None when the file could not be sent at all."""
    comment: str = ""

    @property
    def accepted(self) -> bool:
        """Success, or a warning: the other side has the object (PS3.4 B.2.3)."""
        return self.status is not None and code_to_category(self.status) in {"Success", "Warning"}


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among ``paths`` and below the folders among them, in order.

    Raises:
        ConfigurationError: a path does not exist.
    """
    for path in paths:
        if path.is_dir():
            yield from (one for one in sorted(path.rglob("*")) if one.is_file())
        elif path.is_file():
            yield path
        else:
            raise ConfigurationError(f"{path}: no such file or folder")


def read_outgoing(path: Path) -> Outgoing | None:
    """What to propose for a file; None for what is no DICOM file or cannot be proposed.

    The UIDs are the data set's, which the receiver compares with the command's (PS3.4 B.2.3);
    those of group 0002 often differ and only stand in for missing ones. A DICOMDIR is the directory
    of a medium, not an object to send.
    """
    if not _is_dicom(path):
        return None
    try:
        with pydicom_config.disable_value_validation(), quiet_pydicom():
            ds = dcmread(path, stop_before_pixels=True, specific_tags=[*_UIDS])
            in_meta = [str(ds.file_meta.get(stand_in, "")) for stand_in in _UIDS.values()]
            uids = [
                str(ds.get(keyword) or other) for keyword, other in zip(_UIDS, in_meta, strict=True)
            ]
            syntax = str(ds.file_meta.get("TransferSyntaxUID", ""))
    except (InvalidDicomError, OSError, ValueError, AttributeError, EOFError, RecursionError):
        return None
    if uids[0] == MediaStorageDirectoryStorage:
        return None
    if not all((*uids, syntax)) or not UID(uids[0]).is_valid or not UID(syntax).is_valid:
        return None
    return Outgoing(path, uids[0], uids[1], syntax, uids == in_meta)


def _is_dicom(path: Path) -> bool:
    offset, magic = _MAGIC
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(len(magic)) == magic


def batches(outgoing: Sequence[Outgoing], jobs: int) -> list[list[Outgoing]]:
    """Cut files into associations: at most `MAX_CONTEXTS` contexts each, at least ``jobs`` if so
    many files are there, files in their order within each.
    """
    contexts = list(dict.fromkeys(one.context for one in outgoing))
    groups = []
    for start in range(0, len(contexts), MAX_CONTEXTS):
        chosen = set(contexts[start : start + MAX_CONTEXTS])
        groups.append([one for one in outgoing if one.context in chosen])
    return [part for group in groups for first in range(jobs) if (part := group[first::jobs])]


def send_files(
    outgoing: Sequence[Outgoing],
    destination: Destination,
    *,
    jobs: int,
    answered: Callable[[Answer], None],
) -> None:
    """Send files over ``jobs`` associations at a time; ``answered`` hears of each, in any thread.

    Raises:
        TransientError: the destination cannot be reached or does not accept associations.
    """
    if outgoing and not answers(destination.host, destination.port):
        raise TransientError(f"no answer from {destination}: is a receiver listening there?")
    _config.STORE_SEND_CHUNKED_DATASET = True
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        futures = [
            pool.submit(_send_batch, batch, destination, answered, stop)
            for batch in batches(outgoing, jobs)
        ]
        try:
            for future in futures:
                future.result()
        except BaseException:
            stop.set()
            raise


def _send_batch(
    batch: list[Outgoing],
    destination: Destination,
    answered: Callable[[Answer], None],
    stop: threading.Event,
) -> None:
    left = list(batch)
    for _ in range(1 + RECONNECTS):
        if not left or stop.is_set():
            return
        association = _associate(left, destination)
        try:
            _send_while_established(left, association, answered, stop)
        finally:
            if association.is_established:
                association.release()
    if left and not stop.is_set():
        raise TransientError(
            f"{destination} broke {1 + RECONNECTS} associations; {len(left)} files are left: "
            "look at the receiver's log, then repeat the call, which goes on where it stopped"
        )


def _associate(outgoing: Sequence[Outgoing], destination: Destination) -> Association:
    ae = AE(destination.calling)
    ae.requested_contexts = [
        build_context(sop_class, syntax)
        for sop_class, syntax in dict.fromkeys(one.context for one in outgoing)
    ]
    association = ae.associate(
        destination.host, destination.port, ae_title=destination.called, max_pdu=0
    )
    if association.is_rejected:
        rejection = association.acceptor.primitive
        reason = rejection.reason_str if rejection else "no reason given"
        kind = TransientError if rejection and rejection.result == _TRANSIENT else PermanentError
        raise kind(f"{destination} rejected the association: {reason}")
    if not association.is_established and not association.rejected_contexts:
        raise TransientError(f"{destination} aborted the association before anything was sent")
    return association


def _send_while_established(
    left: list[Outgoing],
    association: Association,
    answered: Callable[[Answer], None],
    stop: threading.Event,
) -> None:
    """Send from the front of ``left``, which afterwards holds what was not answered."""
    refused = {
        (str(context.abstract_syntax), str(context.transfer_syntax[0]))
        for context in association.rejected_contexts
    }
    message = 0
    while left and not stop.is_set():
        one = left[0]
        if one.context in refused:
            answer = Answer(one, None, "SOP class with this transfer syntax was not accepted")
        elif not association.is_established:
            return
        else:
            message = message % _MESSAGE_IDS + 1
            sent = _store(association, one, message)
            if sent is None:
                return
            answer = sent
        answered(answer)
        left.pop(0)


def _store(association: Association, one: Outgoing, message: int) -> Answer | None:
    """Send one file; None when the association broke before an answer came.

    pynetdicom sends a file's bytes under the UIDs of group 0002. Where those are another object's,
    the data set is read and encoded anew, so that it goes out under its own.
    """
    try:
        with quiet_pydicom():
            content = one.path if one.consistent else dcmread(one.path)
            response = association.send_c_store(content, msg_id=message)
    except (ValueError, AttributeError) as error:
        return Answer(one, None, f"the data set cannot be encoded: {type(error).__name__}")
    if "Status" not in response:
        return None
    return Answer(one, response.Status, str(response.get("ErrorComment", "") or ""))


def run_send(paths: Sequence[Path], destination: Destination, *, jobs: int, again: bool) -> int:
    """The command `send`."""
    console = Console(soft_wrap=True, highlight=False)
    found = list(find_files(paths))
    with SentJournal.for_user(str(destination)) as sent:
        known: set[Path] = set() if again else sent.known(found)
        read = [read_outgoing(path) for path in found if path not in known]
        outgoing = [one for one in read if one is not None]
        answers: list[Answer] = []
        with _progress(console) as progress:
            task = progress.add_task(f"to {destination}", total=len(outgoing))

            def answered(answer: Answer) -> None:
                answers.append(answer)
                if answer.accepted:
                    sent.note(answer.outgoing.path)
                progress.advance(task)

            send_files(outgoing, destination, jobs=jobs, answered=answered)
    console.print(status_table(answers))
    skipped = len(read) - len(outgoing)
    if known:
        console.print(f"{len(known)} files were acknowledged before (--again sends them once more)")
    if skipped:
        console.print(f"{skipped} files are no DICOM files with a file meta information")
    return OK if all(answer.accepted for answer in answers) else FAILED


def status_table(answers: Sequence[Answer]) -> Table:
    """How often each status was answered."""
    table = Table("status", "meaning", "files", "comment")
    counts = Counter((answer.status, answer.comment) for answer in answers)
    for (status, comment), count in sorted(counts.items(), key=str):
        shown = "not sent" if status is None else f"{status:#06x}"
        meaning = "" if status is None else code_to_category(status)
        table.add_row(shown, meaning, str(count), comment)
    return table


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )
