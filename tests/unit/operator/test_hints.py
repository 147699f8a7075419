"""What control leaves to the terminal: commands and options."""

import re
from pathlib import Path
from typing import get_args

import pytest

import rollcall.control
from rollcall.control.errors import Hint, NotNow, NotPossible
from rollcall_operator.hints import HINTS, line_of

SOURCES = sorted(Path(rollcall.control.__path__[0]).rglob("*.py"))


def test_every_hint_is_written_out_and_used() -> None:
    source = "".join(path.read_text() for path in SOURCES)

    assert set(HINTS) == set(get_args(Hint))
    assert [hint for hint in HINTS if f'hint="{hint}"' not in source] == []


def test_a_hint_stands_behind_the_message_with_its_values() -> None:
    error = NotNow("not applied yet", hint="erase again", organisation_id="o", member_id="m")

    assert line_of(error) == "not applied yet; run `rollcall erase o m` to end it"
    assert str(error) == "not applied yet"


def test_a_message_without_a_hint_is_the_whole_line() -> None:
    assert line_of(NotPossible("no")) == "no"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_control_names_no_option_of_a_command(path: Path) -> None:
    """But for whole commands: `rollcall topics apply --principals`."""
    commands = re.sub(r"`rollcall [^`]*`|kafka-acls\.sh --remove", "", path.read_text())

    assert re.findall(r"(?<![\w-])--[a-z][\w-]*", commands) == []
