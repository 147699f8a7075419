"""How commands run, fail and print: one event loop, one line per error, tables or plain columns.

`guarded` is the one place where the errors of all commands become a line and an exit status.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import select
import shutil
import sys
import traceback
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import orjson
import typer

from rollcall.control.errors import ControlError, NoSuch, NotNow
from rollcall.events.envelope import NewerVersion
from rollcall.runtime.errors import InvalidSettings, Unavailable
from rollcall_local.stack.errors import StackError
from rollcall_operator import table
from rollcall_operator.exits import Exit
from rollcall_operator.hints import line_of

T = TypeVar("T")
INTERRUPTED: Final = Exit.INTERRUPTED
DEBUG: Final = "ROLLCALL_DEBUG"
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
STATUS: Final = {NotNow: Exit.UNAVAILABLE, NoSuch: Exit.NO}
"""Class of a ControlError → exit status; all others are `Exit.REFUSED`."""
MOVED: Final = {
    "--org": "write the organisation as a word, `rollcall dead list Acme`",
    "--member": "write the member as a word behind its organisation, `rollcall trace Acme ID`",
}
"""Options of earlier releases → what replaces them."""


class CommandError(ControlError):
    """A command cannot do what it was asked; the message is one line that says what to do.

    `exit_code` is `Exit.REFUSED` where the caller has to change something, and
    `Exit.UNAVAILABLE` where running it again later may do.
    """

    def __init__(self, line: str, *, exit_code: int = Exit.REFUSED) -> None:
        super().__init__(line)
        self.exit_code = exit_code


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; an error ends the process with one line and its exit status."""
    _silence_logs()
    with guarded():
        return asyncio.run(main)


def _silence_logs() -> None:
    """Silence logs: an outage is reported in one line, and standard output is for JSON."""
    import structlog

    for library in ("aiokafka", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def fail(line: str, exit_code: int) -> NoReturn:
    """Print one line on standard error and end with this status."""
    print(f"rollcall: {one_line(line)}", file=sys.stderr)
    raise typer.Exit(exit_code) from None


def one_line(text: str) -> str:
    """The text without its line breaks."""
    return " ".join(text.split())


@contextmanager
def guarded() -> Iterator[None]:
    """Inside, any error ends the command with one line on standard error and its exit status."""
    try:
        yield
    except typer.Exit:
        raise
    except typer.Abort:
        fail("nothing was changed", Exit.REFUSED)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        raise typer.Exit(Exit.CLOSED_PIPE) from None  # rich ends with 1, which is an answer here
    except BrokenPipeError as error:
        if not _is_unread(sys.stdout):
            _end(error)
        _silence_output()
        raise typer.Exit(Exit.CLOSED_PIPE) from None
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        fail(_usage(error), Exit.REFUSED)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            _silence_output()  # or the interpreter tries again at its end
        _end(error)


def line_and_status(error: BaseException) -> tuple[str, int] | None:
    """The line and the exit status of an error that is expected; None for a bug of ours."""
    match error:
        case BaseExceptionGroup():
            found = [line_and_status(each) for each in error.exceptions]
            return None if None in found else found[0]
        case CommandError() | StackError():
            return str(error), error.exit_code
        case ControlError():
            return line_of(error), STATUS.get(type(error), Exit.REFUSED)
        case InvalidSettings():
            return f"settings are missing or wrong: {error}", Exit.REFUSED
        case Unavailable():
            return _of_unavailable(error)
        case NewerVersion():
            return f"this release is older than what wrote the log: {error}", Exit.REFUSED
        case TimeoutError():
            return "no answer in time; try again", Exit.UNAVAILABLE
        case OSError():
            return _of_system(error)
        case UnicodeDecodeError():
            return "a file that was named is no text", Exit.REFUSED
    return _of_libraries(error)


def _of_unavailable(error: Unavailable) -> tuple[str, int]:
    """A refused login or an old schema is not mended by waiting."""
    pool = sys.modules.get("rollcall.postgres.pool")
    if pool is not None and error.what in (pool.NOT_MIGRATED, pool.REFUSED):
        return f"{error.what}; `rollcall doctor` says what to do", Exit.REFUSED
    return str(error), Exit.UNAVAILABLE


def _of_system(error: OSError) -> tuple[str, int] | None:
    what = error.strerror or type(error).__name__
    named = f"{error.filename}: " if error.filename else ""
    if error.errno in FULL:
        return f"{named}it cannot be written: {what}", Exit.UNAVAILABLE
    if error.filename:
        return f"{named}{what}", Exit.REFUSED
    if isinstance(error, ConnectionError) or error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return f"a connection was lost ({what}); try again", Exit.UNAVAILABLE
    return None


def _of_libraries(error: BaseException) -> tuple[str, int] | None:
    """Errors of the Kafka and Postgres clients, where a command has imported them."""
    asyncpg: Any = sys.modules.get("asyncpg")
    if asyncpg is not None and isinstance(error, asyncpg.ClientConfigurationError):
        return "ROLLCALL_DATABASE_URL cannot be read: postgresql://ROLE:PASSWORD@HOST/DATABASE", 2
    if asyncpg is not None and isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError)):
        from rollcall.postgres.pool import as_unavailable

        away = as_unavailable(error)
        return None if away is None else _of_unavailable(away)
    kafka: Any = sys.modules.get("aiokafka.errors")
    if kafka is not None and isinstance(error, kafka.KafkaError):
        return str(Unavailable(f"Kafka ({type(error).__name__})")), Exit.UNAVAILABLE
    return None


def _end(error: Exception) -> NoReturn:
    is_debugged = os.environ.get(DEBUG, "") not in ("", "0")
    if is_debugged:
        traceback.print_exception(error, file=sys.stderr)
    if found := line_and_status(error):
        fail(*found)
    hint = "report it with the lines above" if is_debugged else "`rollcall --debug …` shows more"
    # The message of an unexpected error may hold anything, so only its kind and place are shown.
    fail(
        f"this is a bug of Rollcall, please report it: {type(error).__name__} in {_place(error)} "
        f"({hint})",
        Exit.BUG,
    )


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if "/rollcall" in each.filename]
    last = (ours or frames)[-1]
    return f"{Path(last.filename).name}, line {last.lineno}"


def _usage(error: typer.TyperException) -> str:
    """A mistake in the command line: what it is, what was perhaps meant, and where the help is."""
    given = getattr(error, "option_name", None)
    line = error.format_message()
    context = getattr(error, "ctx", None)
    takes = set() if context is None else {each.name for each in context.command.params}
    if given in MOVED and takes & {"org", "words"}:
        line = f"{error.message} any more: {MOVED[given]}."
    elif close := getattr(error, "possibilities", None):
        line = f"{error.message}. Did you mean {' or '.join(sorted(close))}?"
    if context is None:
        return line
    usage = one_line(context.get_usage()).removeprefix("Usage: ")
    return f"{one_line(line)} Usage: {usage} (-h: help)"


def _is_unread(stream: Any) -> bool:
    """Whether the reader of this output is gone."""
    try:
        number = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return True
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return any(what & (select.POLLERR | select.POLLHUP) for _, what in poll.poll(0))


def _silence_output() -> None:
    """Send what is still buffered to /dev/null, so that the interpreter ends without an error."""
    try:
        number = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def confirm(question: str) -> None:
    """Go on if the answer is yes; otherwise end with `Exit.REFUSED`.

    Where standard input ends without an answer, the line says what to add.
    """
    try:
        answered = typer.confirm(question, err=True)
    except typer.Abort as aborted:
        print(file=sys.stderr)
        if isinstance(aborted.__context__, KeyboardInterrupt):
            raise typer.Exit(Exit.INTERRUPTED) from None
        fail("nothing was changed: no answer; add --yes (-y) to go on without asking", 2)
    if not answered:
        fail("nothing was changed", Exit.REFUSED)


def print_json(value: Any) -> None:
    """Print a value as one JSON document."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows: a table on a terminal, aligned columns otherwise.

    A terminal that is too narrow for the longest words, ids above all, gets each row as a block
    of lines `column  value`, as psql's expanded display has it.
    """
    lines = table.plain(columns, rows)
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        widths = table.fitting(columns, rows, width)
        if widths is not None:
            table.print_framed(columns, rows, widths, width)
            return
        lines = table.blocks(columns, rows)
    for line in lines:
        print(line)
