"""How commands run and speak: one event loop, one line per error, tables or plain columns."""

import asyncio
import logging
import sys
from collections.abc import Coroutine, Sequence
from typing import Any, Final, NoReturn, TypeVar

import orjson
import structlog
import typer

from services.operator.stack.errors import StackError
from shared.events.envelope import NewerVersion
from shared.runtime.config import InvalidSettings
from shared.runtime.errors import Unavailable

T = TypeVar("T")
INTERRUPTED: Final = 130
"""Exit status after Ctrl-C."""


class CommandError(Exception):
    """A command cannot do what it was asked; the message is one line that says what to do.

    `exit_code` is 2 where the caller has to change something and 1 where it failed.
    """

    def __init__(self, line: str, *, exit_code: int = 2) -> None:
        super().__init__(line)
        self.exit_code = exit_code


def run(main: Coroutine[Any, Any, T], *, failed: int = 1) -> T:
    """Run a command's coroutine; an error ends the process with one line and its exit status.

    `failed` is that of an outage: another one than 1 where 1 is a result.
    """
    _silence_logs()
    try:
        return asyncio.run(main)
    except (CommandError, StackError) as error:
        fail(str(error), max(failed, error.exit_code))
    except InvalidSettings as error:
        fail(f"settings are missing or wrong: {_one_line(str(error))}", 2)
    except Unavailable as error:
        fail(str(error), failed)
    except NewerVersion as error:
        fail(f"this release is older than what wrote the tenancy topic: {error}", failed)
    except TimeoutError:
        fail("no answer in time; try again", failed)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _silence_logs() -> None:
    """What libraries and shared code log of an outage is said in one line; stdout is for JSON."""
    for library in ("aiokafka", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def fail(line: str, exit_code: int) -> NoReturn:
    """Print one line on standard error and end with this status."""
    print(f"rollcall: {_one_line(line)}", file=sys.stderr)
    raise typer.Exit(exit_code) from None


def print_json(value: Any) -> None:
    """Print a value as one JSON document."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows: a table on a terminal, aligned columns otherwise."""
    if sys.stdout.isatty():
        _print_rich(columns, rows)
        return
    for line in plain_table(columns, rows):
        print(line)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table without any decoration, columns two spaces apart, numbers right."""
    table = [list(columns), *map(list, rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(columns))]
    numbers = _number_columns(columns, rows)
    return [
        "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in table
    ]


def _number_columns(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns hold nothing but numbers, with or without a unit."""
    return [
        bool(rows) and all(row[index].replace(",", "").split(" ")[0].isdigit() for row in rows)
        for index in range(len(columns))
    ]


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # slow to import, for terminals only
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column, is_number in zip(columns, _number_columns(columns, rows), strict=True):
        table.add_column(column, justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)


def _one_line(text: str) -> str:
    return " ".join(text.split())
