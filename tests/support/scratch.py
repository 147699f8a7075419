"""Where a run keeps its files: in memory where there is room for them.

A test's database is a copy of a template, some three hundred files. On a disk with a journal that
costs a quarter of a second of a processor, in memory a twentieth; a run makes thousands. Nothing
here tests a power cut, so memory loses nothing that a test kills.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")
ROOM_BYTES: Final = 6 * 2**30
"""What a run may fill at its worst, with every worker in a test of its own brokers."""
PREFIX: Final = "rollcall-test-"


def make() -> Path:
    """A folder for this run, where temporary files go from now on.

    Those of runs that were killed are removed. It is below `/dev/shm` if that has room and lets
    files be executed (containers often forbid it), else where temporary files go anyway.
    """
    parent = MEMORY if _has_room(MEMORY) else Path(tempfile.gettempdir())
    if parent == MEMORY:
        _remove_left_ones()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
    folder.chmod(0o711)  # Postgres may have to run as another user
    if parent == MEMORY:
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    return folder


def remove(folder: Path) -> None:
    """Remove a run's folder."""
    if os.environ.get("TMPDIR") == str(folder):
        del os.environ["TMPDIR"]
        tempfile.tempdir = None
    shutil.rmtree(folder, ignore_errors=True)


def _has_room(folder: Path) -> bool:
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        return False
    found = os.statvfs(folder)
    return (
        not found.f_flag & os.ST_NOEXEC
        and min(found.f_bavail * found.f_frsize, _available_bytes()) >= ROOM_BYTES
    )


def _available_bytes() -> int:
    """Memory that can be had without swapping; what `/proc/meminfo` says."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _remove_left_ones() -> None:
    """Remove what killed runs left: it takes memory until the machine is started again."""
    for folder in MEMORY.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if (
            pid.isdigit()
            and folder.stat().st_uid == os.getuid()
            and not Path("/proc", pid).exists()
        ):
            shutil.rmtree(folder, ignore_errors=True)
