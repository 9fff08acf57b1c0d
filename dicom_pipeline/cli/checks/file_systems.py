"""What kind of file system a folder is on."""

import fcntl
import os
from pathlib import Path
from typing import Final

import psutil

NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs"}
    | {"beegfs", "ocfs2", "gfs2", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone"}
)
"""Types that several machines can share. SQLite's write-ahead log does not work on them."""

WITHOUT_LINKS: Final = frozenset({"vfat", "msdos", "exfat", "fuse.s3fs", "fuse.rclone"})
"""Types on which a file cannot have two names, as a received object has until its event is safe."""


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def kind(path: Path) -> str:
    """The type of the file system that ``path`` is on, or will be; empty when it is not known."""
    real = existing(path).resolve()
    best = max(
        (one for one in psutil.disk_partitions(all=True) if real.is_relative_to(one.mountpoint)),
        key=lambda one: len(one.mountpoint),
        default=None,
    )
    return best.fstype if best else ""


def is_network(path: Path) -> bool:
    """Whether several machines can share the file system."""
    return kind(path) in NETWORK


def has_locks(path: Path) -> bool:
    """Whether files there can be locked; tried on the folder itself, which changes nothing."""
    descriptor = os.open(existing(path), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def may_write(path: Path) -> bool:
    """Whether this user may write there; False also for a mount that is read-only."""
    return os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0))
