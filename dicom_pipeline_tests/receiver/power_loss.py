"""What may be left on a disk whose power fails: rebuilt from a trace of the system calls.

Only what was synced before is sure to be there; whatever else was asked for may be there or not,
each change for itself. That is less than the usual file systems promise.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dicom_pipeline_tests.receiver.tracing import Call, Descriptor

NEVER = float("inf")


@dataclass
class Node:
    """A file or a folder, and all its changes."""

    folder: bool = False
    changes: list["Change"] = field(default_factory=list)
    size: int = 0


@dataclass
class Change:
    """Bytes of a file, or entries of a folder."""

    start: int
    end: int
    offset: int = 0
    data: bytes | None = None
    """None: the file is cut off at ``offset``."""
    entries: dict[str, Node | None] = field(default_factory=dict)
    """New nodes by name; None: the name is removed."""
    durable: float = NEVER
    """When the first sync that covers it has returned."""

    @property
    def removes(self) -> bool:
        return None in self.entries.values()


Survives = Callable[[Change], bool]


class Disk:
    """A folder of a process that was traced from before it wrote anything there."""

    def __init__(self, calls: Iterable[Call], root: Path) -> None:
        self._root = Node(folder=True)
        self._names = {str(root): self._root}
        """The nodes as the process sees them."""
        for call in calls:
            if apply := getattr(self, f"_{call.name}", None):
                apply(call)

    def write_to(self, target: Path, time: int, survives: Survives) -> None:
        """The folder after a crash at ``time``, a line of the trace.

        Args:
            target: an empty folder.
            time: what was asked for later did not happen.
            survives: whether a change that was not synced is there all the same.
        """
        _Crash(time, survives).write(self._root, target)

    def _openat(self, call: Call) -> None:
        _, path, flags, *_ = call.arguments
        assert isinstance(path, bytes)
        assert isinstance(flags, str)
        name = path.decode()
        if "O_CREAT" in flags and name not in self._names:
            self._enter(call, {name: Node()})
        elif "O_TRUNC" in flags and name in self._names:
            self._cut(call, self._names[name], 0)

    def _mknod(self, call: Call) -> None:
        (name,) = _paths(call)
        self._enter(call, {name: Node()})

    def _mkdir(self, call: Call) -> None:
        (name,) = _paths(call)
        self._enter(call, {name: Node(folder=True)})

    def _link(self, call: Call) -> None:
        old, new = _paths(call)
        if old in self._names:
            self._enter(call, {new: self._names[old]})

    def _unlink(self, call: Call) -> None:
        (name,) = _paths(call)
        self._enter(call, {name: None})

    def _rename(self, call: Call) -> None:
        old, new = _paths(call)
        if old in self._names:
            self._enter(call, {old: None, new: self._names[old]})

    _mknodat = _mknod
    _mkdirat, _linkat, _unlinkat, _renameat, _renameat2 = _mkdir, _link, _unlink, _rename, _rename

    def _write(self, call: Call) -> None:
        if node := self._opened(call):
            self._put(call, node, node.size)

    def _pwrite64(self, call: Call) -> None:
        if node := self._opened(call):
            self._put(call, node, int(str(call.arguments[-1])))

    _writev, _pwritev = _write, _pwrite64

    def _ftruncate(self, call: Call) -> None:
        if node := self._opened(call):
            self._cut(call, node, int(str(call.arguments[-1]), 0))

    def _fsync(self, call: Call) -> None:
        if node := self._opened(call):
            for change in node.changes:
                if change.end < call.start:
                    change.durable = min(change.durable, call.end)

    _fdatasync = _fsync

    def _opened(self, call: Call) -> Node | None:
        descriptor = call.arguments[0]
        return self._names.get(descriptor.path) if isinstance(descriptor, Descriptor) else None

    def _enter(self, call: Call, entries: dict[str, Node | None]) -> None:
        """Entries of one folder, which change together."""
        (parent,) = {name.rpartition("/")[0] for name in entries}
        if parent not in self._names:
            return
        names = {name.rpartition("/")[2]: node for name, node in entries.items()}
        self._names[parent].changes.append(Change(call.start, call.end, entries=names))
        for name, node in entries.items():
            if node:
                self._names[name] = node
            else:
                self._names.pop(name, None)

    def _put(self, call: Call, node: Node, offset: int) -> None:
        data = b"".join(each for each in call.arguments if isinstance(each, bytes))[: call.result]
        node.changes.append(Change(call.start, call.end, offset, data))
        node.size = max(node.size, offset + len(data))

    def _cut(self, call: Call, node: Node, size: int) -> None:
        node.changes.append(Change(call.start, call.end, size))
        node.size = size


def _paths(call: Call) -> list[str]:
    return [each.decode() for each in call.arguments if isinstance(each, bytes)]


class _Crash:
    """What one crash leaves."""

    def __init__(self, time: int, survives: Survives) -> None:
        self._time = time
        self._survives = survives
        self._written: dict[int, Path] = {}
        """The first name of each file: the others are links to it."""

    def write(self, node: Node, target: Path) -> None:
        if node.folder:
            target.mkdir(exist_ok=True)
            entries: dict[str, Node | None] = {}
            for change in self._left(node):
                entries.update(change.entries)
            for name, entry in entries.items():
                if entry:
                    self.write(entry, target / name)
        elif first := self._written.get(id(node)):
            target.hardlink_to(first)
        else:
            self._written[id(node)] = target
            target.write_bytes(_content(self._left(node)))

    def _left(self, node: Node) -> list[Change]:
        return [
            each
            for each in node.changes
            if each.durable <= self._time or (each.start < self._time and self._survives(each))
        ]


def _content(changes: Iterable[Change]) -> bytes:
    content = bytearray()
    for change in changes:
        content += bytes(max(0, change.offset - len(content)))
        if change.data is None:
            del content[change.offset :]
        else:
            content[change.offset : change.offset + len(change.data)] = change.data
    return bytes(content)
