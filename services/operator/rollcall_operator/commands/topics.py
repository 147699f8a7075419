"""`rollcall topics apply|check`: what the promises rest on, made and compared."""

from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from rollcall.control.rights import table as acls
from rollcall.control.rights.bindings import MayNot, NoAuthorizer
from rollcall.control.rights.logins import set_logins
from rollcall.control.rights.table import PRINCIPAL, SERVICES, Names
from rollcall.events.topics import Topics
from rollcall.kafka import admin
from rollcall.kafka.admin import is_of_broker
from rollcall_operator import terminal
from rollcall_operator.deployment import HERE, DataOption, find
from rollcall_operator.exits import Exit
from rollcall_operator.terminal import CommandError

T = TypeVar("T")
ReplicationOption = Annotated[
    int, typer.Option(min=1, help="Copies of each partition: 3 in production.")
]
PrincipalsOption = Annotated[
    bool, typer.Option("--principals", help="Also what each service's principal may do.")
]
NameOption = Annotated[
    str,
    typer.Option(
        "--principal-name",
        metavar="PATTERN",
        help="What principals are called, with `{service}` in it: `CN={service},O=Acme`.",
    ),
]


PasswordsOption = Annotated[
    Path | None,
    typer.Option(
        "--passwords",
        metavar="FOLDER",
        help="Also make their logins (SCRAM-SHA-512), with the passwords in the folder's files "
        "`ingress-kafka-password`, `provisioner-kafka-password`, and so on.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add `topics` to the command line."""
    topics = typer.Typer(help="Kafka topics: apply, check.", no_args_is_help=True)
    topics.command("apply")(apply)
    topics.command("check")(check)
    app.add_typer(topics, name="topics")


def apply(
    replication: ReplicationOption = 1,
    principals: PrincipalsOption = False,
    principal_name: NameOption = PRINCIPAL,
    passwords: PasswordsOption = None,
    data: DataOption = HERE,
) -> None:
    """Make missing topics, add partitions, alter settings that differ.

    With `--principals` also add what the services' principals may do and do not yet. That takes a
    login that may alter access control lists, which none of our own is.
    """
    names = names_of(principal_name) if principals or passwords else None
    logins = {} if passwords is None else read_passwords(passwords, principal_name)
    done = terminal.run(_apply(data, replication, names, logins))
    for line in done or [_all_is_well(names)]:
        print(line)


def check(
    replication: ReplicationOption = 1,
    principals: PrincipalsOption = False,
    principal_name: NameOption = PRINCIPAL,
    data: DataOption = HERE,
) -> None:
    """Name what differs from what it must be; exit status 1 if anything does.

    What cannot be changed on a managed Kafka (ROLLCALL_KAFKA_MANAGED) is a note, and not counted.
    """
    names = names_of(principal_name) if principals else None
    wrong, notes = terminal.run(_check(data, replication, names))
    for line in notes:
        print(f"note: {line}")
    for line in wrong or [_all_is_well(names)]:
        print(line)
    if wrong:
        raise typer.Exit(Exit.NO)


def names_of(pattern: str) -> Names:
    """The principals' names; the process ends with 2 where all would be the same."""
    if "{service}" not in pattern:
        terminal.fail("--principal-name needs {service} in it: each service has its own", 2)
    return Names(pattern)


def read_passwords(folder: Path, pattern: str) -> dict[str, str]:
    """Login → password, of every service; the process ends with 2 where one cannot be used."""
    found = {}
    for service in SERVICES:
        path = folder / f"{service}-kafka-password"
        try:
            password = path.read_text(encoding="ascii").strip()
        except OSError as error:
            terminal.fail(f"cannot read {path}: {error.strerror}", 2)
        except UnicodeDecodeError:
            terminal.fail(f"{path} holds something else than letters, digits and signs", 2)
        if not password:
            terminal.fail(f"{path} is empty", 2)
        found[pattern.replace("{service}", service)] = password
    return found


def _all_is_well(names: Names | None) -> str:
    subject = "Every topic" if names is None else "Every topic and every principal"
    return f"{subject} is as it must be."


def divided(lines: Sequence[str], *, is_managed: bool) -> tuple[list[str], list[str]]:
    """What is wrong, and what is only noted because the brokers are configured by others.

    Whose they are cannot be seen from here, so what is wrong says how to say it.
    """
    if is_managed:
        return (
            [line for line in lines if not is_of_broker(line)],
            [line for line in lines if is_of_broker(line)],
        )
    hint = "; where the brokers are not yours to configure, set ROLLCALL_KAFKA_MANAGED=true"
    return [line + hint if is_of_broker(line) else line for line in lines], []


async def _apply(
    data: Path, replication: int, names: Names | None, logins: Mapping[str, str]
) -> list[str]:
    settings = find(data)
    done = await admin.apply_topics(
        settings, Topics(settings.topic_prefix), replication=replication
    )
    if names is not None:
        done += await _as_command_error(acls.apply(settings, names))
    if logins:
        await _as_command_error(set_logins(settings, logins))
        done += [f"{name} may log in with its password" for name in logins]
    return done


async def _check(data: Path, replication: int, names: Names | None) -> tuple[list[str], list[str]]:
    """What is wrong, and what cannot be changed here."""
    settings = find(data)
    found = await admin.check_topics(
        settings, Topics(settings.topic_prefix), replication=replication
    )
    if names is not None:
        found += await _as_command_error(acls.check(settings, names))
    return divided(found, is_managed=settings.kafka_managed)


async def _as_command_error(act: Awaitable[T]) -> T:
    """Its result; a refusal becomes a CommandError of one line."""
    try:
        return await act
    except NoAuthorizer as error:
        raise CommandError(f"{error}; set authorizer.class.name on every broker") from error
    except MayNot as error:
        raise CommandError(
            f"{error}; name a login that may in ROLLCALL_KAFKA_SASL_USERNAME"
        ) from error
