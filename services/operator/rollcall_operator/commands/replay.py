"""`rollcall replay`: the log read again, by the notifier, into a topic, or as of a moment."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from rollcall.control.dead_letters import parse_since
from rollcall.control.disk import made
from rollcall.control.export import Counts
from rollcall.control.replay import as_of, downstream, notifier
from rollcall.control.replay.as_of import Folded, Plan
from rollcall.control.replay.bounds import parse_boundary
from rollcall.control.replay.copies import Report, Wanted
from rollcall.control.replay.export import export
from rollcall.control.settings import OperatorSettings
from rollcall.control.tenancy_log import find_organisation
from rollcall.control.words import counted
from rollcall.events.envelope import format_time
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.options import OnlyOrgArgument
from rollcall_operator.output import output_to
from rollcall_operator.owner import open_deployment
from rollcall_operator.progress_bar import Bar

NOTIFIER = "notifier"


class Topic(StrEnum):
    """What can be replayed."""

    outcomes = "outcomes"
    requests = "requests"


class Format(StrEnum):
    """How an organisation is written."""

    jsonl = "jsonl"
    csv = "csv"


def register(app: typer.Typer) -> None:
    """Add `replay` to the command line."""
    app.command("replay")(run)


def run(
    org: OnlyOrgArgument = None,
    *,
    topic: Annotated[Topic, typer.Option(help="Which log is read again.")],
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME|OFFSET", help="Of outcomes: where to begin."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="TIME|OFFSET",
            help="Of outcomes: where to end (not part of it).",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help="Of requests: a new file, mode 0600; without it: standard output."
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.1, help="Into a topic: records a second.")
    ] = None,
    into: Annotated[
        str | None, typer.Option("--into", metavar="notifier|TOPIC", help="Who gets the outcomes.")
    ] = None,
    moment: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME", help="Of requests: up to when.")
    ] = None,
    output: Annotated[
        Format | None, typer.Option("--format", help="Of requests: JSON lines, or CSV.")
    ] = None,
    from_snapshot: Annotated[
        Path | None,
        typer.Option(
            help="Of requests: a snapshot, or a folder of them, where the log begins too late."
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Into the notifier: until it has read.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be read; change nothing.")
    ] = False,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Read the log again. Nothing is sent twice, and an interrupted replay can be continued."""
    of_outcomes = {"--from": begin, "--until": until, "--into": into, "--rate": rate}
    of_requests = {"--as-of": moment, "--format": output, "--from-snapshot": from_snapshot}
    of_requests |= {"--to": to}
    if topic is Topic.requests:
        _refuse(of_outcomes, "goes with --topic outcomes")
        if moment is None or org is None:
            terminal.fail("--topic requests needs ORG and --as-of TIME", 2)
        past = _Past(org, moment, from_snapshot, to, output or Format.jsonl)
        terminal.run(past.show(find(data), dry_run, as_json))
        return
    if to is not None:
        terminal.fail("--to is a file to write, of requests; where to end is --until", 2)
    _refuse(of_requests, "goes with --topic requests")
    if begin is None or into is None:
        terminal.fail("--topic outcomes needs --from TIME|OFFSET and --into notifier|TOPIC", 2)
    again = _Again(into, begin, until, org, rate)
    if into != NOTIFIER:
        terminal.run(again.into_topic(find(data), dry_run, as_json))
        return
    _refuse(
        {"--until": until, "--rate": rate}, "goes with a topic: the notifier reads on to the end"
    )
    terminal.run(again.into_notifier(find(data), wait, dry_run, as_json))


@dataclass(frozen=True, slots=True)
class _Again:
    """A replay of outcomes, with its arguments."""

    into: str
    begin: str
    end: str | None
    org: str | None
    rate: float | None

    async def into_notifier(
        self, settings: OperatorSettings, wait: bool, dry_run: bool, as_json: bool
    ) -> None:
        """Make the notifier read again, and print what it reads."""
        async with open_deployment(settings, "replay") as deployment:
            organisation = None if self.org is None else await find_organisation(settings, self.org)
            with Bar() as meter:
                report = await notifier.into_notifier(
                    deployment,
                    parse_boundary(self.begin),
                    None if organisation is None else {organisation.partition},
                    meter,
                    dry_run=dry_run,
                    waits=wait,
                )
        if as_json:
            terminal.print_json({**report.to_json(), "dry_run": dry_run})
        else:
            _tell_notifier(report, dry_run)

    async def into_topic(self, settings: OperatorSettings, dry_run: bool, as_json: bool) -> None:
        """Send the records that the topic does not have, and print how many."""
        async with open_deployment(settings, "replay") as deployment:
            organisation = None if self.org is None else await find_organisation(settings, self.org)
            wanted = Wanted(
                into=self.into,
                begin=parse_boundary(self.begin),
                end=None if self.end is None else parse_boundary(self.end),
                organisation_id=None if organisation is None else organisation.id,
                partitions=None if organisation is None else {organisation.partition},
                rate=self.rate,
                dry_run=dry_run,
            )
            with Bar() as meter:
                report = await downstream.into_topic(deployment, wanted, meter)
        if as_json:
            terminal.print_json({**report.to_json(), "dry_run": dry_run})
        else:
            _tell_topic(report, dry_run)


def _tell_notifier(report: notifier.Report, dry_run: bool) -> None:
    number = sum(map(len, report.parts))
    where = (
        f"{counted(number, 'outcome or mail', 'outcomes and mails')} of "
        f"{counted(len(report.parts), 'partition')}"
    )
    if not report.parts:
        print("The notifier has read nothing from there on: there is nothing to read again.")
    elif dry_run:
        print(f"The notifier would read {where} again.")
    elif report.is_read:
        print(f"The notifier has read {where} again, in {report.taken_s:.1f} s.")
    else:
        print(f"The notifier reads {where} again; `rollcall lag` shows how far it is.")


def _tell_topic(report: Report, dry_run: bool) -> None:
    number = sum(map(len, report.copies))
    resumed = ", going on behind what it has already" if report.is_resumed else ""
    if dry_run:
        print(f"{counted(number, 'record')} would be read for {report.into}{resumed}.")
    else:
        print(
            f"{report.sent:,} of {counted(number, 'record')} sent to {report.into} in "
            f"{report.taken_s:.1f} s{resumed}."
        )
    for short in (each.part.partition for each in report.copies if each.part.is_short):
        print(
            f"The log of partition {short} begins after that time: earlier ones may be gone.",
            file=sys.stderr,
        )


@dataclass(frozen=True, slots=True)
class _Past:
    """A look at an organisation's past, with its arguments. `file` None: standard output."""

    org: str
    moment: str
    snapshot: Path | None
    file: Path | None
    output: Format

    async def show(self, settings: OperatorSettings, dry_run: bool, as_json: bool) -> None:
        """Fold it and write it. Raises CommandError, Unavailable."""
        async with open_deployment(settings, "replay") as deployment:
            organisation = await find_organisation(settings, self.org)
            at = parse_since(self.moment)
            planned = await as_of.plan(deployment, organisation, at, self.snapshot)
            if dry_run:
                _tell_plan(planned, as_json)
                return
            with made(), Bar() as meter, output_to(self.file) as target:
                async with as_of.folded(deployment, planned, meter) as folded:
                    counts = await export(deployment, planned, self.output.value, target, meter)
        # Standard output may be the export itself.
        stream = sys.stderr if self.file is None else sys.stdout
        line = _as_json(folded, counts) if as_json else _line(folded, counts)
        print(line, file=stream)


def _tell_plan(planned: Plan, as_json: bool) -> None:
    if as_json:
        terminal.print_json({**planned.to_json(), "dry_run": True})
        return
    behind = "" if planned.manifest is None else f" behind {planned.manifest.folder.name}"
    print(f"{counted(len(planned.part), 'record')}{behind} would be read.")


def _as_json(folded: Folded, counts: Counts) -> str:
    report = {
        **folded.plan.to_json(),
        "events": folded.events,
        "users": counts.users,
        "groups": counts.groups,
        "erased_since": counts.left_out,
        "dropped_stale": folded.found_stale,
        "seconds": round(folded.taken_s, 3),
    }
    return orjson.dumps(report, option=orjson.OPT_INDENT_2).decode()


def _line(folded: Folded, counts: Counts) -> str:
    erased = f" ({counts.left_out:,} erased since)" if counts.left_out else ""
    return (
        f"{counted(counts.users, 'user')}{erased} and {counted(counts.groups, 'group')} as of "
        f"{format_time(folded.plan.at)}, from {folded.events:,} of "
        f"{counted(len(folded.plan.part), 'record')} in {folded.taken_s:.1f} s."
    )


def _refuse(options: Mapping[str, Any], why: str) -> None:
    """Fail for options that have no meaning here, instead of ignoring them."""
    for name, value in options.items():
        if value is not None:
            terminal.fail(f"{name} {why}", 2)
