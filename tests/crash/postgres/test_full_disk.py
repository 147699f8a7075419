"""A Postgres whose disk is really full: a file system of its own, filled to the last byte.

Filling a disk takes one that may be filled. Root mounts a tmpfs for it; anybody else names a small
file system: `ROLLCALL_TEST_SMALL_DISK=/mnt/small make test-long ARGS='-k full_disk -s'`. What
Postgres does is its own affair: it refuses statements with 53100, or, where the write-ahead log
finds no room, ends and cannot start again before there is some.
"""

import asyncio
import contextlib
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.crash.postgres.playing import play
from tests.support.postgres_faults import MortalPostgres, lines, mortal_postgres, whole_stack_on
from tests.support.servers import KafkaServer
from tests.support.stack import Stack

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

SIZE = "400m"
FULL_S = 20.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that nothing else needs."""
    named = os.environ.get("ROLLCALL_TEST_SMALL_DISK")
    if named is not None:
        yield Path(named)
        return
    if os.geteuid() != 0:
        pytest.skip("needs root, or ROLLCALL_TEST_SMALL_DISK")
    folder = Path(tempfile.mkdtemp(prefix="rollcall-disk-"))
    options = f"size={SIZE},mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


@pytest.fixture
def mortal(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MortalPostgres]:
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    with mortal_postgres() as server:
        monkeypatch.undo()
        yield server


@pytest.fixture
async def stack(
    tmp_path: Path, kafka_server: KafkaServer, mortal: MortalPostgres
) -> AsyncIterator[Stack]:
    async with whole_stack_on(mortal, tmp_path, kafka_server.bootstrap) as made:
        yield made


async def test_a_disk_that_is_really_full_is_waited_for(
    stack: Stack, mortal: MortalPostgres, small_disk: Path
) -> None:
    filler = small_disk / "filler"
    free_bytes = -1

    async def fill() -> None:
        await asyncio.to_thread(fill_up, filler)

    async def make_room() -> None:
        nonlocal free_bytes
        await asyncio.to_thread(fill_up, filler)  # what Postgres may have freed meanwhile
        free_bytes = os.statvfs(small_disk).f_bavail
        filler.unlink()
        if not await answers(mortal):
            with contextlib.suppress(ProcessLookupError):
                await mortal.kill()
            await mortal.start()

    played = await play(stack, mortal, fill, make_room, FULL_S, pause_s=0.05)

    print(f"\nreally full for {FULL_S:g} s: {played}")
    assert free_bytes == 0
    [provisioner] = [process for process in stack.processes if process.service == "provisioner"]
    assert any(line["event"] == "partition.waiting" for line in lines(provisioner))
    assert played.reads.statuses.keys() <= {200, 503}


def fill_up(filler: Path) -> None:
    """Append until there is no space left."""
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    pass


async def answers(mortal: MortalPostgres) -> bool:
    """Whether the server takes a connection."""
    try:
        await mortal.rows("SELECT 1")
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    return True
