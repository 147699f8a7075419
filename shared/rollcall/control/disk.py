"""A file that cannot be written, told apart from a database that cannot be reached."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rollcall.control.errors import ControlError, NotNow

OF_DISKS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


@contextmanager
def written() -> Iterator[None]:
    """Say what a disk refused; stands inside of the block that holds a connection.

    Outside of it any OSError is one of the connection's, and means that Postgres is away.
    Raises NotPossible, `Exit.UNAVAILABLE`.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in OF_DISKS:
            raise
        raise _refused(error) from error


@contextmanager
def made() -> Iterator[None]:
    """The same around all that makes a file: what the databases' own code lets out is no OSError.

    But for a time that ran out, which has no `strerror`.
    """
    try:
        yield
    except OSError as error:
        if error.strerror is None:
            raise
        raise _refused(error) from error


def _refused(error: OSError) -> ControlError:
    return NotNow(f"it cannot be written: {error.strerror}")
