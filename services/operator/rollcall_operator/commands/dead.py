"""`rollcall dead list|show|redrive|discard|release`: events that could not be applied, and the
organisations that are parked because of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rollcall.control import dead_letters, parked_organisations
from rollcall.control.dead_letters import BAD, Action, Done, Selection
from rollcall.control.parked_organisations import Freed
from rollcall.control.words import counted
from rollcall.events.envelope import format_time
from rollcall.events.request import TYPE_PREFIX
from rollcall.postgres import dead_letter, parked
from rollcall.postgres.dead_letter import ALL_STATES, DeadLetterSummary
from rollcall.postgres.parked import ParkedOrganisation, ParkedSummary
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.exits import Exit
from rollcall_operator.options import YesOption
from rollcall_operator.owner import open_as_owner
from rollcall_operator.terminal import CommandError

SHOWN_PARKED: Final = 100
COLUMNS: Final = (
    "dead_letter",
    "id",
    "kind",
    "resource",
    "error_class",
    "attempts",
    "parked",
    "state",
    "recorded",
)
WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID|ORG]",
        help="Ids of letters, or their names topic/partition/offset; or one organisation: all of "
        "its letters.",
    ),
]
NameArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the letter, or its name topic/partition/offset.")
]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Only recorded since: a date or a time.")
]
ErrorOption = Annotated[
    str | None, typer.Option("--error", help="Only with this error class or SQLSTATE.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Without any restriction.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only show which letters.")]


def register(app: typer.Typer) -> None:
    """Add `dead` to the command line."""
    dead = typer.Typer(
        help="Dead letters: list, show, redrive, discard, release.", no_args_is_help=True
    )
    dead.command("list")(list_all)
    dead.command("show")(show)
    dead.command("redrive")(redrive)
    dead.command("discard")(discard)
    dead.command("release")(release)
    app.add_typer(dead, name="dead")


def list_all(
    words: WordsArgument = None,
    since: SinceOption = None,
    error: ErrorOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Redriven and discarded ones as well.")
    ] = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, oldest first: one line each, no personal data."""
    found = terminal.run(_select(data, words or (), since, error, everything=everything))
    described = [describe(letter) for letter in found]
    if as_json:
        terminal.print_json(described)
    elif described:
        terminal.print_table(COLUMNS, [[str(each[name]) for name in COLUMNS] for each in described])
    else:
        print("No dead letters.")
    if not as_json:
        for park in terminal.run(_find_parked(data)):
            print(
                f"Parked: organisation {park.organisation_id} behind {park.name}, "
                f"{counted(park.waiting, 'event')} wait; `rollcall dead release "
                f"{park.organisation_id}` lets it go on."
            )


def show(
    letter: NameArgument,
    body: Annotated[
        bool, typer.Option("--body", help="Print headers and value too: personal data.")
    ] = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show one dead letter and what is parked behind it."""
    found, waiting, record = terminal.run(_read(data, letter, body=body))
    described = {
        **describe(found),
        "event_id": found.event_id,
        "error": found.error,
        "append_time": format_time(found.append_time),
        "parked_events": [
            {"id": each.id, "type": each.type, "record": each.name} for each in waiting
        ],
        **record,
    }
    if as_json:
        terminal.print_json(described)
        return
    for name, value in described.items():
        if name != "parked_events":
            print(f"{name:<16}{value}")
    for each in waiting:
        print(f"  parked  {each.name}  {each.type}  {each.id}")


def redrive(
    words: WordsArgument = None,
    since: SinceOption = None,
    error: ErrorOption = None,
    everything: AllOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Apply dead letters and what is parked behind each; safe to run twice.

    Of an organisation, or all: what is parked goes on after that.
    """
    asked = _Asked(tuple(words or ()), since, error, everything)
    _close(data, asked, "redrive", dry_run, yes, as_json)


def discard(
    words: WordsArgument = None,
    since: SinceOption = None,
    error: ErrorOption = None,
    everything: AllOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Give dead letters up and apply what is parked behind each; safe to run twice.

    Of an organisation, or all: what is parked goes on after that.
    """
    asked = _Asked(tuple(words or ()), since, error, everything)
    _close(data, asked, "discard", dry_run, yes, as_json)


def release(
    org: Annotated[
        str | None, typer.Argument(metavar="[ORG]", help="The organisation, by name or id.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are parked.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which are parked.")] = False,
    yes: YesOption = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Release parked organisations: their events are applied in order; safe to run twice."""
    if (org is None) is not everything:
        terminal.fail("name an organisation, or say --all", Exit.REFUSED)
    parks = terminal.run(_find_parked(data, org))
    if not parks and not as_json:
        print("Not parked." if org else "No parked organisations.")
        return
    if not dry_run and not yes and parks:
        waiting = counted(sum(park.waiting for park in parks), "event")
        terminal.confirm(f"Let {counted(len(parks), 'organisation')} go on? {waiting} wait.")
    freed = terminal.run(_free(data, parks, dry_run=dry_run)) if parks else []
    _print_done([], freed, as_json)
    if not dry_run and any(each.result in parked_organisations.BAD for each in freed):
        raise typer.Exit(Exit.NO)


def describe(letter: DeadLetterSummary) -> dict[str, Any]:
    """A letter as JSON shows it; the names are a contract with scripts."""
    endpoint = letter.endpoint or "-"
    kind = (letter.type or "unknown").removeprefix(TYPE_PREFIX)
    return {
        "dead_letter": letter.name,
        "id": letter.id,
        "organisation_id": letter.organisation_id,
        "resource": f"{endpoint}/{letter.resource_id}" if letter.resource_id else "-",
        "kind": kind.rpartition(".v")[0] or kind,
        "error_class": letter.error_class,
        "attempts": letter.attempts,
        "parked": letter.parked,
        "state": letter.state,
        "recorded": format_time(letter.recorded),
    }


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which letters were asked for, as it was typed."""

    words: tuple[str, ...]
    since: str | None
    error: str | None
    everything: bool


def _close(
    data: Path, asked: _Asked, action: Action, dry_run: bool, yes: bool, as_json: bool
) -> None:
    if not (asked.words or asked.since or asked.error or asked.everything):
        terminal.fail("name letters, restrict them, or say --all", Exit.REFUSED)
    letters = terminal.run(_select(data, asked.words, asked.since, asked.error, everything=False))
    parks = terminal.run(_parked_of(data, asked))
    if not letters and not parks and not as_json:
        print("No dead letters.")
        return
    if not dry_run and not yes and (letters or parks):
        more = f", and let {counted(len(parks), 'organisation')} go on" if parks else ""
        terminal.confirm(f"{action.capitalize()} {counted(len(letters), 'dead letter')}{more}?")
    done = terminal.run(_run(data, letters, action, dry_run=dry_run)) if letters else []
    freed = terminal.run(_free(data, parks, dry_run=dry_run)) if parks else []
    _print_done(done, freed, as_json)
    is_bad = any(each.result in BAD for each in done)
    if not dry_run and (is_bad or any(each.result in parked_organisations.BAD for each in freed)):
        raise typer.Exit(Exit.NO)


def _print_done(done: Sequence[Done], freed: Sequence[Freed], as_json: bool) -> None:
    described = [
        {
            "dead_letter": each.letter.name,
            "id": each.letter.id,
            "result": each.result,
            "note": each.note,
        }
        for each in done
    ] + [each.to_json() for each in freed]
    if as_json:
        terminal.print_json(described)
        return
    columns = ("dead_letter", "id", "result", "note")
    terminal.print_table(columns, [[str(each[name]) for name in columns] for each in described])


async def _parked_of(data: Path, asked: _Asked) -> list[ParkedOrganisation]:
    """The parked organisations that are asked for as a whole."""
    if asked.since or asked.error or not (asked.everything or len(asked.words) == 1):
        return []
    settings = find(data)
    async with open_as_owner(settings) as database:
        selection = await dead_letters.selection_of(database, asked.words, None, None)
        if selection.names:
            return []
        organisation_id = await dead_letters.organisation_id_of(settings, selection)
        return await parked_organisations.find(database, organisation_id)


async def _find_parked(data: Path, org: str | None = None) -> list[ParkedOrganisation]:
    settings = find(data)
    async with open_as_owner(settings) as database:
        selection = Selection(org=org)
        organisation_id = await dead_letters.organisation_id_of(settings, selection)
        return await parked_organisations.find(database, organisation_id)


async def _free(data: Path, parks: Sequence[ParkedOrganisation], *, dry_run: bool) -> list[Freed]:
    settings = find(data)
    async with open_as_owner(settings) as database:
        return await parked_organisations.free(settings, database, parks, dry_run=dry_run)


async def _select(
    data: Path,
    words: Sequence[str],
    since: str | None,
    error: str | None,
    *,
    everything: bool,
) -> list[DeadLetterSummary]:
    moment = None if since is None else dead_letters.parse_since(since)
    settings = find(data)
    async with open_as_owner(settings) as database:
        selection = await dead_letters.selection_of(database, words, moment, error)
        states = ALL_STATES if everything else ("dead",)
        return await dead_letters.select(settings, database, selection, states)


async def _read(
    data: Path, name: str, *, body: bool
) -> tuple[DeadLetterSummary, list[ParkedSummary], dict[str, Any]]:
    settings = find(data)
    async with open_as_owner(settings) as database:
        found = await dead_letters.select(settings, database, Selection((name,)))
        if len(found) > 1:
            raise CommandError(f"{name} was used in {len(found)} logs; use an id")
        [letter] = found
        waiting: list[ParkedSummary] = []
        record: dict[str, Any] = {}
        async with database.connection() as connection:
            if letter.organisation_id and letter.endpoint and letter.resource_id:
                waiting = await parked.list_behind(
                    connection,
                    letter.organisation_id,
                    letter.endpoint,
                    letter.resource_id,
                    SHOWN_PARKED,
                )
            if body:
                headers, _, value = await dead_letter.read_bytes(connection, letter)
                record = {
                    "headers": {key: raw.decode(errors="replace") for key, raw in headers},
                    "value": (value or b"").decode(errors="replace"),
                }
    return letter, waiting, record


async def _run(
    data: Path, letters: Sequence[DeadLetterSummary], action: Action, *, dry_run: bool
) -> list[Done]:
    settings = find(data)
    async with open_as_owner(settings) as database:
        return await dead_letters.close(settings, database, letters, action, dry_run=dry_run)
