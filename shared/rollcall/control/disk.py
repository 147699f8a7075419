"""Files that control writes: a new file made whole or not at all, and errors of the disk.

A full disk and a lost connection are both OSErrors; `written` and `made` tell them apart.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from rollcall.control.errors import ControlError, NotNow, NotPossible

OF_DISKS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
PARTIAL: Final = ".partial"


@contextmanager
def new_file(path: Path) -> Iterator[TextIO]:
    """A new text file (UTF-8) that only its owner may read; on an error there is none.

    It is written as `NAME.partial` and renamed at the end. Raises NotPossible where the file
    exists or cannot be made.
    """
    half = path.with_name(path.name + PARTIAL)
    if path.exists() or path.is_symlink():
        raise NotPossible(f"{path} exists already; name another file, or remove it")
    try:
        half.unlink(missing_ok=True)  # left by a process that was killed
        handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise NotPossible(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as output:
            yield output
            output.flush()
            os.fsync(output.fileno())
        half.rename(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


@contextmanager
def written() -> Iterator[None]:
    """Turn errors of the disk into NotNow, inside a block that holds a database connection.

    It must stand inside that block: outside of it, any OSError is read as one of the connection
    and reported as "Postgres is away".
    """
    try:
        yield
    except OSError as error:
        if error.errno not in OF_DISKS:
            raise
        raise _refused(error) from error


@contextmanager
def made() -> Iterator[None]:
    """Turn every OSError into NotNow, around a block that writes files and talks to Postgres.

    The database code lets no OSError of its own out. A TimeoutError, which has no `strerror`, is
    passed on.
    """
    try:
        yield
    except OSError as error:
        if error.strerror is None:
            raise
        raise _refused(error) from error


def _refused(error: OSError) -> ControlError:
    return NotNow(f"it cannot be written: {error.strerror}")
