"""`rollcall member`, `org show`, `trace ADDRESS`, and every table, over a real directory."""

import asyncio
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from rollcall.control.tenancy_log import open_log
from rollcall.tenancy.organisation import Organisation
from tests.integration.operator.rebuilding import (
    FIX,
    POISON,
    REFUSE_TITLE,
    apply_all,
    environment_of,
    execute,
    rollcall,
    rollcall_json,
    settings_of,
)
from tests.support.builders import (
    MOMENT,
    ORGANISATION,
    OTHER_ORGANISATION,
    a_member,
    an_id,
    create,
    patch,
    replacing,
)
from tests.support.deployment import Deployment

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TABLES = {
    "org list": 2,
    "org show Zeeburg": 2,
    "member list Zeeburg": 3,
    "member find ana@example.org": 4,
    "key list Zeeburg": 0,
    "dead list": 2,
    "partition list": 0,
    "lag --all": 0,
}
"""Command → how many ids it shows at least."""


@pytest.fixture
async def people(deployment: Deployment) -> None:
    """Ana in two organisations, two more in the first, and one dead letter."""
    async with open_log(settings_of(deployment)) as log:
        await log.write(Organisation(ORGANISATION, "Zeeburg", 0, MOMENT))
        await log.write(Organisation(OTHER_ORGANISATION, "Diemen", 1, MOMENT))
    running = await deployment.start()
    await execute(deployment, REFUSE_TITLE)
    await apply_all(
        deployment,
        [
            create(1, "ana@example.org"),
            create(2, "ben"),
            create(3, "cas@example.org"),
            patch(a_member(2), replacing("title", POISON)),
            replace(create(4, "ana@example.org"), organisation_id=OTHER_ORGANISATION),
        ],
    )
    await execute(deployment, FIX)
    await running.end()


async def test_members_are_listed_shown_and_found(deployment: Deployment, people: None) -> None:
    listed = await rollcall_json(deployment, "member", "list", "Zeeburg")
    page = await rollcall(deployment, "member", "list", "Zeeburg", "--limit", "2")
    rest = await rollcall_json(deployment, "member", "list", "Zeeburg", "--after", "ben")
    none_revoked = await rollcall_json(
        deployment, "member", "list", "Zeeburg", "--state", "revoked"
    )
    shown = await rollcall_json(deployment, "member", "show", "Zeeburg", "ANA@example.org")
    everywhere = await rollcall_json(deployment, "member", "find", "Ana@Example.org")
    by_id = await rollcall_json(deployment, "member", "find", an_id(2), "Zeeburg")
    missing = await rollcall(deployment, "member", "find", "nobody@example.org")

    assert [each["userName"] for each in listed] == ["ana@example.org", "ben", "cas@example.org"]
    assert {each["state"] for each in listed} == {"invited"}
    assert "--after 'ben'" in page.stderr
    assert [each["id"] for each in rest] == [an_id(3)]
    assert none_revoked == []
    assert (shown["id"], shown["resource"]["userName"]) == (an_id(1), "ana@example.org")
    assert {(each["organisation"], each["id"]) for each in everywhere} == {
        ("Zeeburg", an_id(1)),
        ("Diemen", an_id(4)),
    }
    assert [each["userName"] for each in by_id] == ["ben"]
    assert missing.exit_code == 2
    assert missing.stderr.count("\n") == 1


async def test_an_organisation_is_shown_with_what_it_has(
    deployment: Deployment, people: None
) -> None:
    shown = await rollcall_json(deployment, "org", "show", "Zeeburg")

    assert shown["organisation_id"] == ORGANISATION
    assert shown["members"] == {"invited": 3}
    assert (shown["groups"], shown["dead_letters"], shown["parked"]) == (0, 1, 0)
    assert (shown["partition"], shown["partition_state"]) == (0, "running")
    assert shown["partition_lag"] == 0
    assert (shown["keys"], shown["last_contact"], shown["note"]) == ([], None, None)
    assert shown["profile"] == "compatible"


async def test_a_person_is_traced_in_every_organisation(
    deployment: Deployment, people: None
) -> None:
    both = await rollcall_json(deployment, "trace", "Ana@example.org")
    one = await rollcall_json(deployment, "trace", "Diemen", "ana@example.org")

    assert {(each["organisation_id"], each["kind"]) for each in both["traces"]} == {
        (ORGANISATION, "member.create"),
        (OTHER_ORGANISATION, "member.create"),
    }
    assert [each["organisation_id"] for each in one["traces"]] == [OTHER_ORGANISATION]


@pytest.mark.timeout(240)
async def test_no_table_cuts_an_id_on_a_terminal_of_eighty_columns(
    deployment: Deployment, people: None
) -> None:
    """Each in a terminal of its own: as many whole ids as in a pipe, no line that is longer."""
    environment = {
        **{name: value for name, value in os.environ.items() if "ROLLCALL" not in name},
        **environment_of(deployment),
        "COLUMNS": "80",
        "TERM": "xterm",
    }
    for command, ids in TABLES.items():
        words = [sys.executable, "-m", "rollcall_operator", *command.split()]
        piped = await rollcall(deployment, *command.split())
        shown = await asyncio.to_thread(in_terminal, words, environment)

        assert piped.exit_code == 0, piped.output
        assert len(UUID.findall(piped.stdout)) >= ids
        assert set(UUID.findall(piped.stdout)) == set(UUID.findall(shown)), (command, shown)
        assert "…" not in shown
        if "┃" in shown:
            assert max(map(len, shown.splitlines())) <= 80, (command, shown)


def in_terminal(words: list[str], environment: dict[str, str]) -> str:
    """What a command prints on a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(words, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the terminal's end, on Linux
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    assert process.wait(30) == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", b"".join(parts).decode())
