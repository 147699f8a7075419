"""The commands of the operations pages do what the pages say: each block is run, in order."""

from dataclasses import replace
from pathlib import Path

from rollcall.control.tenancy_log import open_log
from rollcall.tenancy.organisation import Organisation
from tests.integration.operator.pages import blocks, run_block
from tests.integration.operator.rebuilding import (
    FIX,
    POISON,
    REFUSE_TITLE,
    apply_all,
    contents,
    do_verify,
    execute,
    history,
    poisoned,
    settings_of,
)
from tests.support.builders import MOMENT, ORGANISATION, a_member, an_id, create, patch, replacing
from tests.support.deployment import Deployment


async def test_the_page_about_rebuilding(deployment: Deployment, tmp_path: Path) -> None:
    running = await deployment.start()
    await poisoned(deployment)
    await apply_all(deployment, history(41, 100))
    found = blocks("rebuild.md")
    assert len(found) == 4

    printed = [await run_block(deployment, block, tmp_path) for block in found]

    assert "members" not in printed[0]
    assert printed[1].count("No drifts") == 2
    assert printed[2].count("Rebuilt from") == 2
    assert '"drifts": []' in printed[3]
    await running.end()


async def test_the_drill_of_the_page_about_backups(deployment: Deployment, tmp_path: Path) -> None:
    """After a rebuild, and while another one that was cut short has left its schemas."""
    running = await deployment.start()
    await poisoned(deployment)
    await apply_all(deployment, history(42, 100))
    await run_block(deployment, "rollcall rebuild --yes", tmp_path)
    left = "CREATE SCHEMA directory_rebuild CREATE TABLE member (id uuid)"
    await run_block(
        deployment, f'psql --dbname="$ROLLCALL_DATABASE_URL" --command="{left}"', tmp_path
    )
    dump, restore, check = blocks("backup.md")
    await run_block(deployment, dump, tmp_path)
    await apply_all(deployment, history(43, 100, first=3000))
    await running.end()
    before = await contents(deployment)

    await run_block(deployment, restore, tmp_path)
    assert await contents(deployment) != before
    running = await deployment.start()
    for partition in (0, 1):
        end = before["progress"][partition].split(", ")[2]
        await deployment.applied(int(end), partition)

    assert "No drifts" in await run_block(deployment, check, tmp_path)
    assert (await contents(deployment))["member"] == before["member"]
    assert (await do_verify(deployment)).drifts == []
    await running.end()


async def test_the_page_about_dead_letters(deployment: Deployment, tmp_path: Path) -> None:
    async with open_log(settings_of(deployment)) as log:
        await log.write(Organisation(ORGANISATION, "Zeeburg", 0, MOMENT))
    running = await deployment.start()
    await execute(deployment, REFUSE_TITLE)
    await apply_all(
        deployment,
        [
            *(create(number, f"poisoned{number}@example.org") for number in (1, 2)),
            *(
                replace(patch(a_member(number), replacing("title", POISON)), id=an_id(700 + number))
                for number in (1, 2)
            ),
            replace(patch(a_member(1), replacing("nickName", "Annie")), id=an_id(711)),
        ],
    )
    await execute(deployment, FIX)
    topic = deployment.topics.requests
    names = f"ORG=Zeeburg LETTER={topic}/0/2 OTHER={topic}/0/3\n"
    found = blocks("dead-letters.md")
    assert len(found) == 5

    printed = [await run_block(deployment, names + block, tmp_path) for block in found]

    assert POISON not in printed[0]
    assert printed[0].count("23514") >= 2
    assert POISON in printed[1]
    assert "would be" in printed[2]
    assert "2 applied" in printed[2]
    assert printed[3].endswith("No dead letters.\n")
    assert printed[4] == "Not parked.\n" * 2
    rows = await deployment.rows("SELECT document FROM directory.member ORDER BY user_name_key")
    first, second = (row["document"] for row in rows)
    assert (first["title"], first["nickName"]) == (POISON, "Annie")
    assert "title" not in second
    await running.end()
