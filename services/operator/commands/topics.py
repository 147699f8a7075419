"""`rollcall topics apply|check`: what the promises rest on, made and compared."""

from pathlib import Path
from typing import Annotated

import typer

from services.operator import terminal
from services.operator.deployment import HERE, DataOption, find
from shared.events.topics import Topics
from shared.kafka import admin

ReplicationOption = Annotated[
    int, typer.Option(min=1, help="Copies of each partition: 3 in production.")
]


def register(app: typer.Typer) -> None:
    """Add `topics` to the command line."""
    topics = typer.Typer(help="Kafka topics: apply, check.", no_args_is_help=True)
    topics.command("apply")(apply)
    topics.command("check")(check)
    app.add_typer(topics, name="topics")


def apply(replication: ReplicationOption = 1, data: DataOption = HERE) -> None:
    """Make missing topics, add partitions, alter settings that differ."""
    done = terminal.run(_apply(data, replication))
    for line in done or ["Every topic is as it must be."]:
        print(line)


def check(replication: ReplicationOption = 1, data: DataOption = HERE) -> None:
    """Name what differs from what it must be; exit status 1 if anything does."""
    found = terminal.run(_check(data, replication))
    for line in found or ["Every topic is as it must be."]:
        print(line)
    if found:
        raise typer.Exit(1)


async def _apply(data: Path, replication: int) -> list[str]:
    settings = find(data)
    return await admin.apply_topics(
        settings, Topics(settings.topic_prefix), replication=replication
    )


async def _check(data: Path, replication: int) -> list[str]:
    settings = find(data)
    return await admin.check_topics(
        settings, Topics(settings.topic_prefix), replication=replication
    )
