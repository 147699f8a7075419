"""`rollcall snapshot`: one moment, whole or not there, readable by its owner alone.

What is restored from it goes on from there.
"""

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from rollcall.control.errors import ControlError
from rollcall.control.rebuild import snapshot
from rollcall.control.rebuild.approach import only_one
from rollcall.runtime.config import load
from tests.integration.operator.rebuilding import (
    apply_all,
    contents,
    do_rebuild,
    do_snapshot,
    do_verify,
    history,
    poisoned,
    rollcall,
    rollcall_json,
    send_all,
    without_room,
    world_of,
)
from tests.support import logs
from tests.support.databases import TestDatabase, create_database, drop_database
from tests.support.deployment import Deployment


async def test_a_snapshot_under_load_is_of_one_moment(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Verified against the log up to the positions that it holds, and no further."""
    running = await deployment.start()
    ends = await send_all(deployment, history(31, 400))

    taken = await do_snapshot(deployment, tmp_path)
    for partition, end in ends.items():
        await deployment.applied(end, partition)
    await running.end()
    before = await contents(deployment)

    await do_rebuild(deployment, snapshot=taken.folder)
    assert await contents(deployment) == before
    assert (await do_verify(deployment, taken.folder)).drifts == []


async def test_its_files_are_the_owners_alone_and_carry_their_digests(
    deployment: Deployment, tmp_path: Path
) -> None:
    running = await deployment.start()
    await poisoned(deployment)
    await running.end()

    printed = await rollcall_json(deployment, "snapshot", "--to", str(tmp_path))

    folder = Path(printed["folder"])
    assert modes(folder) == (0o700, {0o600})
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for each in manifest["files"]:
        raw = (folder / each["name"]).read_bytes()
        assert hashlib.sha256(raw).hexdigest() == each["sha256"]
        assert len(raw) == each["size_bytes"]
    rows = {each["table"]: each["rows"] for each in manifest["files"]}
    assert rows["member"] == 3
    assert rows["dead_letter"] == 3
    assert rows["event"] > 0


async def test_a_snapshot_that_was_changed_is_refused(
    deployment: Deployment, tmp_path: Path
) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(32, 30))
    await running.end()
    taken = await do_snapshot(deployment, tmp_path)
    before = await contents(deployment)
    damaged = taken.folder / "directory.member.copy.gz"
    raw = bytearray(damaged.read_bytes())
    raw[len(raw) // 2] ^= 1
    damaged.write_bytes(raw)

    with pytest.raises(ControlError, match="SHA-256 differs"):
        await do_rebuild(deployment, snapshot=taken.folder)
    assert await contents(deployment) == before


async def test_a_snapshot_of_another_log_is_refused(deployment: Deployment, tmp_path: Path) -> None:
    running = await deployment.start()
    await apply_all(deployment, history(33, 30))
    await running.end()
    taken = await do_snapshot(deployment, tmp_path)
    await logs.recreate(deployment, deployment.topics.requests)
    await send_all(deployment, history(34, 60, first=4000))

    refused = await rollcall(deployment, "rebuild", "--from", str(taken.folder))

    assert refused.exit_code == 2
    assert "the log is not that of the snapshot" in refused.stderr


async def test_only_the_newest_are_kept_and_half_made_ones_go(
    deployment: Deployment, tmp_path: Path
) -> None:
    for name in ("snapshot-20200101T000000Z", "snapshot-20210101T000000Z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
    (tmp_path / "snapshot-20220101T000000Z.partial").mkdir()
    (tmp_path / "somebody's").mkdir()

    printed = await rollcall_json(deployment, "snapshot", "--to", str(tmp_path), "--keep", "2")

    assert names(tmp_path) == {
        "snapshot-20210101T000000Z",
        "somebody's",
        Path(printed["folder"]).name,
    }
    assert [Path(gone).name for gone in printed["deleted"]] == ["snapshot-20200101T000000Z"]


async def test_what_another_snapshot_is_still_writing_is_not_taken_for_half_made(
    deployment: Deployment, tmp_path: Path
) -> None:
    half_made = "snapshot-20220101T000000Z.partial"
    (tmp_path / half_made).mkdir()

    async with world_of(deployment) as world, only_one(world, "snapshot"):
        done = await rollcall(deployment, "snapshot", "--to", str(tmp_path), "--keep", "1")

    assert done.exit_code == 2
    assert "another snapshot is under way" in done.stderr
    assert names(tmp_path) == {half_made}


async def test_a_snapshot_that_is_broken_off_leaves_nothing(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28), str(tmp_path))

    monkeypatch.setattr(snapshot, "_sync_folder", full)

    done = await rollcall(deployment, "snapshot", "--to", str(tmp_path))

    assert done.exit_code == 3
    assert "No space left" in done.stderr
    assert names(tmp_path) == set()


async def test_a_disk_that_is_full_in_the_middle_is_not_called_an_outage_of_postgres(
    deployment: Deployment, tmp_path: Path
) -> None:
    done = await without_room(
        deployment,
        "snapshot",
        "--to",
        str(tmp_path),
    )

    assert done == (3, "rollcall: it cannot be written: File too large\n")
    assert names(tmp_path) == set()


async def test_a_dry_run_writes_nothing(deployment: Deployment, tmp_path: Path) -> None:
    printed = await rollcall_json(deployment, "snapshot", "--to", str(tmp_path / "s"), "--dry-run")

    assert printed["dry_run"]
    assert not (tmp_path / "s").exists()


async def test_an_empty_database_gets_the_snapshot_and_goes_on_from_there(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Postgres is lost without a backup. The provisioner applies what came after, announces it
    under the ids that it had, and knows copies across the cut."""
    running = await deployment.start()
    await poisoned(deployment)
    requests = history(35, 300)
    await apply_all(deployment, requests[:200])
    taken = await do_snapshot(deployment, tmp_path)
    await apply_all(deployment, [*requests[190:200], *requests[200:]])
    await running.end()
    before = await contents(deployment)
    announced = {each.id for each in await deployment.outcomes()}
    lost = deployment.database
    name = await create_database(lost.server)
    deployment.database = TestDatabase(name, lost.server)
    deployment.settings = load(
        type(deployment.settings),
        kafka_bootstrap=deployment.settings.kafka_bootstrap,
        topic_prefix=deployment.settings.topic_prefix,
        database_url=deployment.database.url("provisioner"),
    )

    report = await do_rebuild(deployment, snapshot=taken.folder)
    assert report.events == 0  # what came after is the provisioner's to apply, and to announce
    running = await deployment.start()
    for partition in (0, 1):
        end = int(
            next(row for row in before["progress"] if f"requests', {partition}," in row).split(
                ", "
            )[2]
        )
        await deployment.applied(end, partition)
    await running.end()

    after = await contents(deployment)
    assert _without_times(after) == _without_times(before)
    assert {each.id for each in await deployment.outcomes()} == announced
    await drop_database(lost.server, name)


def modes(folder: Path) -> tuple[int, set[int]]:
    """The rights on a folder, and those on its files."""
    files = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    return stat.S_IMODE(folder.stat().st_mode), files


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _without_times(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Without when something was set aside: a row that was made again says when that was."""
    kept = {"dead_letter", "parked"}
    return {table: rows for table, rows in found.items() if table not in kept}
