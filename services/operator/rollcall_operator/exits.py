"""Exit statuses of every command of `rollcall`: one number, one meaning.

`manual.py` says which command ends with which, and `docs/reference/cli.md` prints both.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    NO = 1
    REFUSED = 2
    UNAVAILABLE = 3
    BUG = 70
    INTERRUPTED = 130
    CLOSED_PIPE = 141


MEANINGS: Final[Mapping[Exit, str]] = {
    Exit.DONE: "Done, or the answer is yes.",
    Exit.NO: "The answer is no: only of commands that ask something, each says what.",
    Exit.REFUSED: "Something has to be changed first, and one line says what: the command line, "
    "a name, a setting, a right, a stack that does not run.",
    Exit.UNAVAILABLE: "Not possible now: Kafka or Postgres is away, no answer in time, no space on "
    "the disk. Run it again once that has passed.",
    Exit.BUG: "A bug of Rollcall; `rollcall --debug …` shows where.",
    Exit.INTERRUPTED: "Ctrl-C.",
    Exit.CLOSED_PIPE: "The reader of the output is gone (`rollcall … | head`).",
}
