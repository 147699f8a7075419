"""A parked organisation in an operator's hands: shown, let go, verified, rebuilt, snapshotted."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rollcall.control.tenancy_log import open_log
from rollcall.events.request import Request
from rollcall.runtime.ids import new_id
from rollcall.tenancy.organisation import Organisation
from tests.integration.operator.rebuilding import (
    FIX,
    POISON,
    REFUSE_TITLE,
    announced,
    apply_all,
    contents,
    do_rebuild,
    do_snapshot,
    do_verify,
    execute,
    history,
    settings_of,
    start,
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

pytestmark = pytest.mark.timeout(300)


async def rollcall(deployment: Deployment, *arguments: str) -> tuple[int | None, str, str]:
    """Status, output and complaint of the command, in a process of its own: a provisioner that
    runs in this one would write its log between the lines."""
    process = await start(
        deployment,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await process.communicate()
    return process.returncode, out.decode(), said.decode()


async def rollcall_json(deployment: Deployment, *arguments: str, code: int = 0) -> Any:
    """What it prints for scripts."""
    status, out, said = await rollcall(deployment, *arguments, "--json")
    assert status == code, out + said
    return json.loads(out)


def poison(name: str) -> Request:
    """A create under ids of its own, as a client repeats it."""
    made = create(1, f"{name}@example.org", title=POISON)
    return replace(made, id=new_id(), resource_id=new_id())


def titled(number: int) -> Request:
    return replace(patch(a_member(1), replacing("title", f"T{number}")), id=an_id(800_000 + number))


async def parked_by_poison(deployment: Deployment, waits: int = 60) -> None:
    """An organisation whose fifth cause parked it, with repeats among the five, and all that waits:
    repeats, more poison, and requests that nothing is wrong with."""
    async with open_log(settings_of(deployment)) as log:
        await log.write(Organisation(ORGANISATION, "Zeeburg", 0, MOMENT))
        await log.write(Organisation(OTHER_ORGANISATION, "Amstel", 1, MOMENT))
    await execute(deployment, REFUSE_TITLE)
    await apply_all(
        deployment,
        [
            create(1, "ana@example.org"),
            poison("one"),
            poison("one"),
            *(poison(name) for name in ("two", "three", "one", "four", "five")),
            titled(-1),
            poison("one"),
            poison("six"),
            *(titled(number) for number in range(waits)),
            replace(create(7, "m7@example.org"), organisation_id=OTHER_ORGANISATION),
        ],
    )


async def test_it_is_shown_and_mended_and_goes_on(deployment: Deployment) -> None:
    await deployment.start()
    await parked_by_poison(deployment)

    _, listed, _ = await rollcall(deployment, "dead", "list")
    dry = await rollcall_json(deployment, "dead", "release", "Zeeburg", "--dry-run")

    assert f"organisation {ORGANISATION}" in listed
    assert "62 events wait" in listed
    assert "example.org" not in listed
    [would] = dry
    assert (would["result"], would["note"]) == ("would be", "62 events wait")
    await execute(deployment, FIX)
    done = await rollcall_json(deployment, "dead", "redrive", "Zeeburg", "--yes")
    assert [each["result"] for each in done] == ["redriven"] * 5 + ["freed"]
    assert done[-1]["note"] == "62 applied"
    rows = await deployment.rows(
        "SELECT document ->> 'title' AS title, count(*) FROM directory.member "
        "WHERE organisation_id = $1 GROUP BY 1",
        ORGANISATION,
    )
    assert {row["title"]: row["count"] for row in rows} == {POISON: 6, "T59": 1}
    _, again, _ = await rollcall(deployment, "dead", "release", "Zeeburg", "--yes")
    assert again == "Not parked.\n"
    assert await rollcall_json(deployment, "dead", "release", "--all", "--yes") == []


async def test_given_up_it_goes_on_without_its_poison(deployment: Deployment) -> None:
    """Nothing is mended: what was waiting and cannot be applied is a letter by itself."""
    await deployment.start()
    await parked_by_poison(deployment, waits=3)

    done = await rollcall_json(deployment, "dead", "discard", "Zeeburg", "--yes")

    assert [each["result"] for each in done] == ["discarded"] * 5 + ["freed"]
    assert done[-1]["note"] == "4 applied, 1 failed and are dead letters now"
    [letter] = await rollcall_json(deployment, "dead", "list")
    assert letter["kind"] == "member.create"


async def test_what_is_not_mended_stops_and_says_how_much_waits(deployment: Deployment) -> None:
    await deployment.start()
    await parked_by_poison(deployment, waits=3)

    [stopped] = await rollcall_json(deployment, "dead", "release", "Zeeburg", "--yes", code=1)

    assert stopped["result"] == "stopped"
    assert stopped["note"].endswith("; 3 wait until that is mended, or given up")
    assert len(await rollcall_json(deployment, "dead", "list")) == 6


@pytest.mark.parametrize("words", [(), ("Zeeburg", "--all")])
async def test_a_release_names_one_or_says_all(
    deployment: Deployment, words: tuple[str, ...]
) -> None:
    status, _, said = await rollcall(deployment, "dead", "release", *words)

    assert status == 2
    assert said == "rollcall: name an organisation, or say --all\n"


async def same_after_a_rebuild(deployment: Deployment, **options: Any) -> None:
    """Neither verify nor rebuild sees anything but what there is."""
    await announced(deployment)
    before = await contents(deployment)
    assert (await do_verify(deployment)).drifts == []
    await do_rebuild(deployment, **options)
    assert await contents(deployment) == before


async def test_a_log_with_repeats_and_a_park_is_rebuilt_to_the_same(
    deployment: Deployment, tmp_path: Path
) -> None:
    """While it is parked, half-way through what waits, and once it goes on."""
    running = await deployment.start()
    await apply_all(deployment, history(54, 60))
    await parked_by_poison(deployment)
    await same_after_a_rebuild(deployment)
    taken = await do_snapshot(deployment, tmp_path)
    await rollcall_json(deployment, "dead", "release", "--all", "--yes", code=1)
    await same_after_a_rebuild(deployment)
    await execute(deployment, FIX)

    await rollcall_json(deployment, "dead", "redrive", "Zeeburg", "--yes")
    await apply_all(deployment, [poison("one"), poison("seven"), titled(1000)])
    await running.end()

    rows = await deployment.rows("SELECT 1 FROM directory.parked_organisation")
    assert rows == []
    await same_after_a_rebuild(deployment)
    await same_after_a_rebuild(deployment, snapshot=taken.folder)
    assert (await do_verify(deployment, taken.folder)).drifts == []


async def test_a_rebuild_that_applies_dead_ones_parks_no_organisation(
    deployment: Deployment,
) -> None:
    running = await deployment.start()
    await parked_by_poison(deployment)
    await execute(deployment, FIX)
    await running.end()

    await do_rebuild(deployment, applies_dead=True)

    after = await contents(deployment)
    assert (after["dead_letter"], after["parked"], after["parked_organisation"]) == ([], [], [])
    names = await deployment.rows(
        "SELECT user_name_key FROM directory.member WHERE organisation_id = $1 ORDER BY 1",
        ORGANISATION,
    )
    assert len(names) == 7


@pytest.mark.parametrize("rules", [1, 2])
async def test_an_old_log_of_repeats_shows_no_drift(deployment: Deployment, rules: int) -> None:
    """Each repeat was a letter of its own, and what has no cause stays without one."""
    running = await deployment.start()
    await execute(deployment, REFUSE_TITLE)
    await apply_all(
        deployment,
        [replace(poison("one"), rules=rules) for _ in range(4)]
        + [poison("one"), poison("one"), create(1, "ana@example.org")],
    )
    await running.end()

    rows = await deployment.rows(
        'SELECT cause IS NULL AS is_old FROM directory.dead_letter ORDER BY "offset"'
    )
    # The fifth is the first that is known by its content; the sixth is its repeat.
    assert [row["is_old"] for row in rows] == [True] * 4 + [False]
    await execute(deployment, FIX)
    await same_after_a_rebuild(deployment)
