"""The commands of the operations pages do what the pages say: each block is run, in order."""

import asyncio
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from rollcall.control.tenancy_log import open_log
from rollcall.tenancy.organisation import Organisation
from tests.integration.operator.rebuild.test_rebuild import poisoned
from tests.integration.operator.rebuilding import (
    FIX,
    POISON,
    REFUSE_TITLE,
    apply_all,
    contents,
    do_verify,
    execute,
    history,
    settings_of,
)
from tests.integration.operator.test_backup import tool
from tests.integration.provisioner.conftest import Deployment
from tests.integration.provisioner.conftest import deployment as deployment
from tests.support.builders import MOMENT, ORGANISATION, a_member, an_id, create, patch, replacing

PAGES = Path(__file__).parents[3] / "docs" / "operations"


def blocks(page: str) -> list[str]:
    text = (PAGES / page).read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


async def run(deployment: Deployment, block: str, folder: Path) -> str:
    """What a block prints; it must end well."""
    tools = [str(Path(sys.executable).parent), str(Path(tool("pg_dump")).parent)]
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("ROLLCALL_")},
            "PATH": os.pathsep.join([*tools, os.environ["PATH"]]),
            "ROLLCALL_KAFKA_BOOTSTRAP": deployment.settings.kafka_bootstrap,
            "ROLLCALL_TOPIC_PREFIX": deployment.settings.topic_prefix,
            "ROLLCALL_DATABASE_URL": deployment.database.url("owner"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


async def test_the_page_about_rebuilding(deployment: Deployment, tmp_path: Path) -> None:
    running = await deployment.start()
    await poisoned(deployment)
    await apply_all(deployment, history(41, 100))
    found = blocks("rebuild.md")
    assert len(found) == 4

    printed = [await run(deployment, block, tmp_path) for block in found]

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
    await run(deployment, "rollcall rebuild --yes", tmp_path)
    left = "CREATE SCHEMA directory_rebuild CREATE TABLE member (id uuid)"
    await run(deployment, f'psql --dbname="$ROLLCALL_DATABASE_URL" --command="{left}"', tmp_path)
    dump, restore, check = blocks("backup.md")
    await run(deployment, dump, tmp_path)
    await apply_all(deployment, history(43, 100, first=3000))
    await running.end()
    before = await contents(deployment)

    await run(deployment, restore, tmp_path)
    assert await contents(deployment) != before
    running = await deployment.start()
    for partition in (0, 1):
        end = before["progress"][partition].split(", ")[2]
        await deployment.applied(int(end), partition)

    assert "No drifts" in await run(deployment, check, tmp_path)
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

    printed = [await run(deployment, names + block, tmp_path) for block in found]

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
