"""A small file system of a receiver's own, which may become full or read-only.

It is mounted in a mount namespace that ends with the test, so nothing is left on the machine
whatever happens. Without root a user namespace gives the right to.
"""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

MEGABYTE = 1 << 20

_MOUNT = """
mkfs.ext4 -q -m 0 "$1" 2>/dev/null && mount -o loop "$1" "$2" 2>/dev/null ||
mount -t tmpfs -o size="$3" none "$2" || exit 1
echo mounted
exec cat
"""


class NoVolumeError(Exception):
    """This machine lets nobody mount anything here."""


class Volume:
    """A mounted file system, seen through the namespace that has it."""

    def __init__(self, holder, path):
        self._path = path
        user = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
        self.prefix = ("nsenter", "--target", str(holder), "--mount", *user)
        """Runs a command that sees the volume."""
        self.root = Path(f"/proc/{holder}/root{path}")
        """The volume as others see it."""
        self._ballast = self.root / "ballast"

    def free(self):
        disk = os.statvfs(self.root)
        return disk.f_bavail * disk.f_frsize

    def fill(self, leave=0):
        """Use the space, but for about so many bytes."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (MEGABYTE, 4096):
                try:
                    while self.free() >= max(leave, 1):
                        written = file.write(bytes(size))
                        os.fsync(file.fileno())
                        if written < size:
                            break
                except OSError:
                    continue

    def empty(self):
        """Give the space back."""
        self._ballast.unlink()

    def remount(self, mode):
        """``ro`` or ``rw``."""
        subprocess.run([*self.prefix, "mount", "-o", f"remount,{mode}", self._path], check=True)


@contextmanager
def volume(path, size=16 * MEGABYTE):
    """A volume at ``path``, for those who are started with its ``prefix``.

    Raises:
        NoVolumeError: mounting is not allowed.
    """
    path.mkdir(parents=True, exist_ok=True)
    image = path.with_name(f"{path.name}.img")
    with image.open("wb") as file:
        file.truncate(size)
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    command = ["unshare", "--mount", *user, "sh", "-c", _MOUNT, "sh", image, path, str(size)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as holder:
        if holder.stdout.readline() != b"mounted\n":
            raise NoVolumeError
        yield Volume(holder.pid, path)
