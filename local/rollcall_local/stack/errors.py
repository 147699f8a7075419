"""What can stop a stack from starting, said so that the reader knows what to do next."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot start or go on.

    `str(error)` is one line for the terminal. `exit_code` is 2 where the caller has to change
    something (a port, a folder, a setting) and 1 where a part failed; `detail` is the tail of
    that part's log, if there is one.
    """

    def __init__(self, line: str, *, exit_code: int = 1, detail: str = "") -> None:
        super().__init__(line)
        self.exit_code = exit_code
        self.detail = detail
