"""Every command of `rollcall`: what it does where it can do nothing, its help, its page, its words.

No server runs here. `ALL` is taken from the code, so that a new command is asked the same.
"""

import errno
import os
import re
import shlex
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from docs import generate
from rollcall.control.words import counted
from rollcall.events.envelope import NewerVersion
from rollcall.runtime.errors import Unavailable
from rollcall_operator import cli, manual, table
from rollcall_operator.cli import app
from rollcall_operator.exits import MEANINGS, Exit
from rollcall_operator.terminal import CommandError

DOCS: Final = Path(__file__).parents[3] / "docs"
ALL: Final = dict(cli.commands())
ALONE: Final = {"up", "down", "stop", "start", "status", "demo", "mails", "serve", "health"}
"""Commands that look for no deployment."""
WORDS: Final[dict[str, tuple[str, ...]]] = {
    "org create": ("Acme",),
    "org show": ("Acme",),
    "org set": ("Acme", "scim=on"),
    "org export": ("Acme",),
    "org delete": ("Acme", "--yes"),
    "member list": ("Acme",),
    "member show": ("Acme", "ana@acme.example"),
    "member find": ("ana@acme.example",),
    "key create": ("Acme",),
    "key list": ("Acme",),
    "key revoke": ("Acme", "abc"),
    "key limit": ("Acme", "abc"),
    "erase": ("Acme", "ana@acme.example", "--yes"),
    "console link": ("ana@acme.example",),
    "console break-glass": ("emergency@example.org",),
    "issuer add": (
        "Okta",
        "https://acme.okta.com",
        "--client-id",
        "a",
        "--role",
        "staff=owner@Acme",
    ),
    "issuer secret": ("Okta", "--secret-file", "okta.secret"),
    "issuer remove": ("Okta",),
    "api-key create": ("--scope", "members:read"),
    "api-key revoke": ("abc",),
    "refused show": ("01a21152-520e-71f9-a919-f63942fd829d",),
    "dead show": ("requests/0/1",),
    "dead redrive": ("--all", "--yes"),
    "dead discard": ("--all", "--yes"),
    "dead release": ("--all", "--yes"),
    "partition show": ("1",),
    "partition resume": ("1", "--yes"),
    "trace": ("01a21152-520e-71f9-a919-f63942fd829d",),
    "rebuild": ("--yes",),
    "replay": ("Acme", "--topic", "requests", "--as-of", "2026-01-01"),
    "wait": ("kafka", "--timeout", "1"),
}
DEPLOYED: Final = [words for words in ALL if words not in ALONE]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a stack, and no variable that names a deployment."""
    for name in [each for each in os.environ if each.startswith("ROLLCALL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(words: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*words.split(), *WORDS.get(words, ()), *arguments])


def assert_line(done: Result, status: int) -> str:
    """It ended with this status, printed nothing, and said one line."""
    assert (done.exit_code, done.stdout) == (status, ""), done.output
    assert done.stderr.startswith("rollcall: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize("words", DEPLOYED)
def test_without_a_stack_a_command_says_what_to_do_in_one_line(words: str) -> None:
    assert "start one with `rollcall up`" in assert_line(call(words), Exit.REFUSED)


@pytest.mark.parametrize("words", DEPLOYED)
@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_wrong_folder_is_named(
    words: str, how: str, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = nowhere / "elsewhere"
    wrong.write_text("a file")
    if how == "variable":
        monkeypatch.setenv("ROLLCALL_DATA", str(wrong))
    done = call(words, *(["--data", str(wrong)] if how == "option" else []))

    assert str(wrong) in assert_line(done, Exit.REFUSED)


@pytest.mark.parametrize("words", [each for each in DEPLOYED if each != "doctor"])
def test_wrong_settings_are_named(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("ROLLCALL_KAFKA_SECURITY_PROTOCOL", "NONSENSE")

    assert "ROLLCALL_KAFKA_SECURITY_PROTOCOL" in assert_line(call(words), Exit.REFUSED)


ERRORS: Final[list[tuple[BaseException, int, str]]] = [
    (CommandError("mend it"), 2, "mend it"),
    (Unavailable("Kafka"), 3, "Kafka is unavailable"),
    (TimeoutError(), 3, "no answer in time"),
    (NewerVersion("type v9"), 2, "this release is older"),
    (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "/x: Permission denied"),
    (OSError(errno.ENOSPC, "No space left on device", "/x"), 3, "No space left"),
    (ConnectionResetError(errno.ECONNRESET, "Connection reset"), 3, "connection was lost"),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
    (KeyboardInterrupt(), 130, ""),
    (KeyError("ana@acme.example"), 70, "a bug of Rollcall"),
    (ExceptionGroup("two", [Unavailable("Postgres"), Unavailable("x")]), 3, "Postgres"),
    (ExceptionGroup("two", [Unavailable("Postgres"), KeyError("x")]), 70, "a bug"),
    (RecursionError("deep"), 70, "a bug of Rollcall"),
    (AssertionError("never"), 70, "a bug of Rollcall"),
]


@pytest.mark.parametrize("words", DEPLOYED)
def test_whatever_goes_wrong_is_one_line_and_never_a_result(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what nobody expected; what it was about is not printed, and a result is not claimed."""
    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    for error, status, line in ERRORS:

        def fails(*_: object, wrong: BaseException = error, **__: object) -> None:
            raise wrong

        monkeypatch.setattr("rollcall_operator.deployment.load", fails)
        done = call(words)

        assert done.exit_code == status != Exit.NO, (error, done.output)
        assert line in done.stderr
        assert done.stderr.count("\n") == (1 if line else 0)
        assert "ana@" not in done.output


def test_with_debug_the_place_of_an_error_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("here")

    monkeypatch.setenv("ROLLCALL_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("ROLLCALL_DEBUG", "1")
    monkeypatch.setattr("rollcall_operator.deployment.load", fails)

    done = call("verify")

    assert done.exit_code == Exit.BUG
    assert "Traceback" in done.stderr
    assert "KeyError: 'here'" in done.stderr


@pytest.mark.parametrize("words", ALL)
def test_help_has_examples_and_keeps_to_eighty_columns(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    short = CliRunner().invoke(app, [*words.split(), "-h"])
    long = CliRunner().invoke(app, [*words.split(), "--help"])

    assert short.exit_code == 0
    assert short.stdout == long.stdout
    assert "Examples:" in short.stdout
    assert "--data" in short.stdout or words in {"serve", "health"}
    assert max(map(len, short.stdout.splitlines())) <= 80


def test_every_command_has_a_panel_a_page_and_words_that_this_test_knows() -> None:
    assert set(manual.PANELS) == set(cli.COMMANDS)
    assert set(manual.PAGES) == set(ALL)
    needed = {
        words
        for words, (command, _) in ALL.items()
        if words not in ALONE and any(each.required for each in command.params)
    }
    assert needed <= set(WORDS)


def test_the_reference_is_the_code_s() -> None:
    """`make docs` writes it."""
    published = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")

    assert published == generate.cli_reference()


def test_a_status_has_one_meaning_and_1_is_only_of_those_that_ask() -> None:
    assert set(MEANINGS) == set(Exit)
    assert manual.PAGES["verify"].no.startswith("drift")
    for words, page in manual.PAGES.items():
        assert (Exit.NO in page.statuses) == bool(page.no), words
        assert set(page.statuses) >= set(Exit) - {Exit.NO}


@pytest.mark.parametrize(
    "example",
    [
        example
        for words, page in manual.PAGES.items()
        if words not in ALONE
        for example in page.examples
    ],
)
def test_an_example_can_be_typed(example: str) -> None:
    """It comes as far as to look for a stack."""
    line = example.partition(" > ")[0]
    line = line.replace("EVENT_ID", "01a21152-520e-71f9-a919-f63942fd829d")
    done = CliRunner().invoke(app, shlex.split(line)[1:], input="y\n")

    assert "no stack in" in done.stderr, done.output


MENTIONED: Final = sorted(
    {
        (page.name, found)
        for page in [*DOCS.glob("**/*.md"), DOCS.parent / "README.md"]
        if "decisions" not in page.parts
        for found in re.findall(
            r"`(rollcall [^`\n]+)`|^ *(rollcall [^\n#]+)", page.read_text(), re.M
        )
        for found in found
        if found
    }
)


def without_shell(line: str) -> str:
    """The command without what the shell puts in, and without where its output goes."""
    return re.sub(r"\$\([^)]*\)", "X", line).partition(" > ")[0]


@pytest.mark.parametrize(("page", "line"), MENTIONED)
def test_a_page_promises_only_what_a_command_has(page: str, line: str) -> None:
    """The command of each mention is there, and has the options that are mentioned."""
    words = re.findall(r"[^\s\[\]()|]+", without_shell(line))[1:]
    if not words or not re.fullmatch(r"[a-z]+", words[0]):
        return
    [*commands] = [each for each in ALL if each.split()[0] == words[0]]
    assert commands, f"{page}: {line}"
    second = {each.partition(" ")[2] for each in commands} - {""}
    if second and len(words) > 1 and not words[1].startswith("-"):
        assert words[1] in second or "," in words[1] or "…" in line, f"{page}: {line}"
    known = {
        option
        for each in commands
        if len(words) < 2 or not second or each.endswith(f" {words[1]}") or words[1] not in second
        for parameter in ALL[each][0].get_params(ALL[each][1])
        for option in [*parameter.opts, *parameter.secondary_opts]
    }
    for word in words[1:]:
        if words[0] != "serve" and re.fullmatch(r"--?[a-z][a-z-]*", word):
            assert word in known, f"{page}: {line}"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("verfy", "verify"),
        ("member lst", "list"),
        ("dead redriv", "redrive"),
        ("lag --wach", "--watch"),
        ("snapshot --kep 3", "--keep"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(typed: str, meant: str) -> None:
    line = assert_line(CliRunner().invoke(app, typed.split()), Exit.REFUSED)

    assert "Did you mean" in line
    assert meant in line


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("dead list --org Acme", "as a word"),
        ("refused list --org Acme", "as a word"),
        ("replay --topic requests --org Acme --as-of 2026-01-01", "as a word"),
        ("trace --org Acme --member x", "as a word"),
        ("trace Acme --member x", "as a word"),
        ("replay --topic outcomes --from 0 --into t --to 2026-01-01", "--until"),
    ],
)
def test_an_old_spelling_says_the_new_one(typed: str, said: str) -> None:
    assert said in assert_line(CliRunner().invoke(app, typed.split()), Exit.REFUSED)


@pytest.mark.parametrize(
    "words", ["org delete", "erase", "dead redrive", "dead discard", "dead release", "rebuild"]
)
def test_what_asks_takes_y(words: str) -> None:
    options = {option for each in ALL[words][0].params for option in each.opts}

    assert {"--yes", "-y", "--dry-run"} <= options


@pytest.mark.parametrize("words", ALL)
def test_one_word_for_one_thing(words: str) -> None:
    """ORG is a word, `--to` a path, `--yes` has `-y`, `--data` its variable; in each command."""
    parameters: dict[str, Any] = {each.name: each for each in ALL[words][0].params}
    options = {option for each in parameters.values() for option in each.opts}

    assert not options & {"--org", "--member"}
    assert ("--yes" in options) == ("-y" in options)
    if "org" in parameters:
        assert parameters["org"].param_type_name == "argument"
    if "data" in parameters:
        assert parameters["data"].envvar == "ROLLCALL_DATA"
    if "--to" in options:
        assert "Path" in str(ALL[words][0].callback.__annotations__["to"])


def test_version_is_the_distribution_s() -> None:
    done = CliRunner().invoke(app, ["--version"])

    assert (done.exit_code, done.stdout) == (0, "rollcall 0.1.0\n")


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 users"), (1, "1 user"), (2, "2 users"), (1200, "1,200 users")]
)
def test_a_count_agrees_with_what_it_counts(number: int, said: str) -> None:
    assert counted(number, "user") == said


CELLS: Final = st.lists(st.text("aZ0-é漢", min_size=1, max_size=12), max_size=3).map(" ".join)
TABLES: Final = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=3)
)


@given(TABLES, st.integers(20, 160))
def test_no_word_is_cut_in_a_table(rows: list[list[str]], width: int) -> None:
    """Where it fits it fits, with each word whole; otherwise each cell stands in a line."""
    columns = [f"c{number}" for number in range(len(rows[0]))]
    widths = table.fitting(columns, rows, width)

    if widths is None:
        lines = table.blocks(columns, rows)
        assert all(any(line.endswith(cell) for line in lines) for row in rows for cell in row)
        return
    assert sum(widths) + 3 * len(columns) + 1 <= width
    for index, least in enumerate(widths):
        words = [word for row in rows for word in row[index].split()]
        assert all(cell_len(word) <= least for word in words)
