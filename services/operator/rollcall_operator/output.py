"""Where an export goes: a new file, or standard output."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rollcall.control.disk import new_file


@contextmanager
def output_to(path: Path | None) -> Iterator[TextIO]:
    """A new file (`disk.new_file`), or standard output where `path` is None. Raises NotPossible."""
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    with new_file(path) as output:
        yield output
