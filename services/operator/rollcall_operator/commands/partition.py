"""`rollcall partition list|show|resume`: how far each is, why one is halted; resuming it."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rollcall.control.partitions import Partitions, PartitionStatus, TopicName, open_partitions
from rollcall.control.words import counted
from rollcall.events.envelope import format_time
from rollcall.kafka.feed import Look
from rollcall.postgres.progress import Progress
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, JsonOption, find
from rollcall_operator.options import YesOption
from rollcall_operator.owner import open_as_owner
from rollcall_operator.terminal import CommandError

COLUMNS: Final = (
    "partition",
    "state",
    "reason",
    "next_offset",
    "end_offset",
    "lag",
    "epoch",
    "tried_again_since",
)
STATEMENT_S: Final = 10.0


class Topic(StrEnum):
    """The topics that are read with a position in Postgres."""

    requests = "requests"
    outcomes = "outcomes"
    tenancy = "tenancy"


NumberArgument = Annotated[int, typer.Argument(metavar="N", min=0, help="Number of the partition.")]
TopicOption = Annotated[
    Topic, typer.Option("--topic", help="Provisioner: requests, tenancy; notifier: outcomes.")
]


def register(app: typer.Typer) -> None:
    """Add `partition` to the command line."""
    partition = typer.Typer(help="Partitions: list, show, resume.", no_args_is_help=True)
    partition.command("list")(list_all)
    partition.command("show")(show)
    partition.command("resume")(resume)
    app.add_typer(partition, name="partition")


def list_all(
    topic: TopicOption = Topic.requests, data: DataOption = HERE, as_json: JsonOption = False
) -> None:
    """List the partitions of a topic: state, position, lag, epoch, and what is tried again."""
    found, note = terminal.run(_list(data, topic.value))
    if note:
        print(note, file=sys.stderr)
    described = [describe(each) for each in found]
    if as_json:
        terminal.print_json(described)
        return
    terminal.print_table(COLUMNS, [[_shown(each[name]) for name in COLUMNS] for each in described])


def show(
    partition: NumberArgument,
    topic: TopicOption = Topic.requests,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show one partition: its position, its last event, its log, and why it is halted if it is."""
    described = describe(terminal.run(_show(data, topic.value, partition)))
    if as_json:
        terminal.print_json(described)
        return
    width = max(map(len, described))
    for name, value in described.items():
        print(f"{name.ljust(width)}  {_shown(value)}")


def resume(
    partition: NumberArgument,
    new_log: Annotated[
        bool,
        typer.Option("--new-log", help="Accept the log as it is now: a new epoch, from its start."),
    ] = False,
    at: Annotated[
        int | None, typer.Option("--at", min=0, help="With --new-log: begin at this offset.")
    ] = None,
    yes: YesOption = False,
    topic: TopicOption = Topic.requests,
    data: DataOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Resume a halted partition; refused while the cause is still there."""
    if at is not None and not new_log:
        terminal.fail("--at goes with --new-log", 2)
    halted, log = terminal.run(_halted(data, topic.value, partition, check_cause=not new_log))
    begin_at = None if not new_log else log.first_offset if at is None else at
    for line in explain(halted, log, begin_at):
        print(line, file=sys.stderr)
    if not yes:
        terminal.confirm("Go on?")
    described = describe(terminal.run(_resume(data, topic.value, halted, begin_at)))
    if as_json:
        terminal.print_json(described)
        return
    print(
        f"Partition {partition} of {halted.topic} runs again, from offset "
        f"{described['next_offset']} in epoch {described['epoch']}; its owner notices in seconds."
    )


def explain(halted: Progress, log: Look, begin_at: int | None) -> list[str]:
    """What resuming will do, before it is confirmed. `begin_at`: the start in a new log."""
    stands = (
        f"Partition {halted.partition} of {halted.topic} stands at offset {halted.next_offset}, "
        f"epoch {halted.epoch}: {halted.detail or halted.reason or 'no reason noted'}."
    )
    if begin_at is None:
        waiting = max(0, log.end_offset - halted.next_offset)
        return [stands, f"It goes on there; {counted(waiting, 'record waits', 'records wait')}."]
    accepted = (
        f"The log there now holds offsets {log.first_offset} to {log.end_offset}. It is accepted "
        f"in place of the old one, as epoch {halted.epoch + 1}, from offset {begin_at} on: "
        f"{counted(max(0, log.end_offset - begin_at), 'record is', 'records are')} applied."
    )
    given_up = (
        "Events that were applied before are known by their ids and not applied again. What the "
        "old log held and was never applied is given up."
    )
    return [stands, accepted, given_up]


def describe(status: PartitionStatus) -> dict[str, Any]:
    """A partition as JSON shows it; the names are a contract with scripts."""
    found, log, tried = status.progress, status.log, status.tried
    last_append_time = None if found is None else found.last_append_time
    return {
        "partition": status.partition,
        "state": "unowned" if found is None else found.state,
        "reason": None if found is None else found.reason,
        "detail": None if found is None else found.detail,
        "next_offset": None if found is None else found.next_offset,
        "published_offset": None if found is None else found.published_offset,
        "first_offset": None if log is None else log.first_offset,
        "end_offset": None if log is None else log.end_offset,
        "lag": status.lag,
        "epoch": None if found is None else found.epoch,
        "last_event_id": None if found is None else found.last_event_id,
        "last_append_time": None if last_append_time is None else format_time(last_append_time),
        "tried_again_since": None if tried is None else format_time(tried.since),
        "tries": 0 if tried is None else tried.tries,
        "tried_again_because": None if tried is None else tried.because,
    }


async def _list(data: Path, topic: TopicName) -> tuple[list[PartitionStatus], str]:
    async with _open(data, topic) as partitions:
        return await partitions.list_all()


async def _show(data: Path, topic: TopicName, partition: int) -> PartitionStatus:
    async with _open(data, topic) as partitions:
        return await partitions.find(partition)


async def _halted(
    data: Path, topic: TopicName, partition: int, *, check_cause: bool
) -> tuple[Progress, Look]:
    async with _open(data, topic) as partitions:
        halted, log = await partitions.halted(partition)
        if check_cause:
            await partitions.check_cause(halted, log)
        return halted, log


async def _resume(
    data: Path, topic: TopicName, halted: Progress, begin_at: int | None
) -> PartitionStatus:
    """Resume the partition as it was confirmed (`halted`), and return its new status."""
    async with _open(data, topic) as partitions:
        present, log = await partitions.halted(halted.partition)
        if (present.next_offset, present.epoch) != (halted.next_offset, halted.epoch):
            raise CommandError("the partition has changed meanwhile; look again")
        if begin_at is None:
            await partitions.check_cause(present, log)
            await partitions.resume(halted)
        else:
            await partitions.accept_log(present, log, begin_at)
        return await partitions.find(halted.partition)


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)


@asynccontextmanager
async def _open(data: Path, topic: TopicName) -> AsyncIterator[Partitions]:
    settings = find(data)
    async with (
        open_as_owner(settings, "partition", statement_timeout_s=STATEMENT_S) as database,
        open_partitions(settings, topic, database) as partitions,
    ):
        yield partitions
