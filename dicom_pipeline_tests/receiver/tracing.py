"""What a process asks of the kernel, in order: strace's output as a list of calls."""

import re
from pathlib import Path
from typing import NamedTuple

CALLS = (
    "openat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,fsync,fdatasync,sync_file_range,"
    "link,linkat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,mknod,mknodat,sendto,sendmsg"
)
"""Whatever changes a file or a folder, makes it durable, or answers a sender."""

_COMPLETE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)\b.*")
_UNFINISHED = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)\b.*")
_ARGUMENT = re.compile(r'"(?P<text>[^"]*)"|\w+<(?P<path>[^>]*)>|[^\s,"][^,"]*')
_HEX = re.compile(r"\\x([0-9a-f]{2})")


class Descriptor(NamedTuple):
    """An open file, or where a path begins."""

    path: str


class Call(NamedTuple):
    """A system call that has succeeded."""

    name: str
    arguments: tuple[Descriptor | bytes | str, ...]
    start: int
    """Line of the trace, like the next: what happened between them was concurrent."""
    end: int
    result: int


def strace(output: Path) -> list[str]:
    """The command that runs another and writes its calls, and those of its threads."""
    return [
        *("strace", "-f", "--seccomp-bpf", "-qq", "-y", "-xx", "-s", str(1 << 22)),
        *("-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(output)),
    ]


def read_trace(output: Path) -> list[Call]:
    """The calls that have succeeded, in the order of their ends."""
    calls = []
    unfinished = {}
    for number, line in enumerate(output.read_text("ascii").splitlines()):
        if begun := _UNFINISHED.fullmatch(line):
            thread, name, arguments = begun.groups()
            unfinished[thread] = name, arguments, number
            continue
        if resumed := _RESUMED.fullmatch(line):
            thread, name, rest, result = resumed.groups()
            begun_name, arguments, start = unfinished.pop(thread)
            assert begun_name == name
            arguments += rest
        elif complete := _COMPLETE.fullmatch(line):
            _, name, arguments, result = complete.groups()
            start = number
        else:
            continue
        if int(result) >= 0:
            calls.append(Call(name, _arguments(arguments), start, number, int(result)))
    return calls


def _arguments(text: str) -> tuple[Descriptor | bytes | str, ...]:
    return tuple(map(_argument, _ARGUMENT.finditer(text)))


def _argument(match: re.Match[str]) -> Descriptor | bytes | str:
    if match["text"] is not None:
        return bytes.fromhex(match["text"].replace("\\x", ""))
    if match["path"] is not None:
        return Descriptor(_HEX.sub(lambda code: chr(int(code[1], 16)), match["path"]))
    return match[0].strip()
