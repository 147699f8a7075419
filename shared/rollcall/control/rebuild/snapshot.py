"""A snapshot: the directory and what a fold needs to go on from it, as files.

One REPEATABLE READ transaction writes the tables of the directory (with `progress`, dead letters,
parked events), the organisations, and the audit's events of the last ten minutes of each
partition, which a fold needs to know copies across the cut. Each table is one file of Postgres's
COPY text, compressed and streamed. `manifest.json` is written last and the folder is renamed
last, so a folder with the final name is whole. Files are readable by their owner
alone: they hold personal data.
"""

import hashlib
import os
import re
import shutil
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import orjson

from rollcall.control.deployment import Deployment
from rollcall.control.disk import written
from rollcall.control.errors import NotPossible
from rollcall.control.meter import Meter
from rollcall.events.envelope import format_time, parse_time
from rollcall.postgres import migrate, progress
from rollcall.postgres.progress import Progress
from rollcall.postgres.upkeep import snapshot
from rollcall.postgres.upkeep.scratch import LIVE, Names
from rollcall.postgres.upkeep.snapshot import Source
from rollcall.runtime import clock

if TYPE_CHECKING:
    from rollcall.postgres.pool import Connection

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
PARTIAL: Final = ".partial"
_FOLDER: Final = re.compile(r"^snapshot-\d{8}T\d{6}Z$")
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class File:
    """One table of a snapshot. `sha256` and `size_bytes` are of the compressed file."""

    name: str
    schema: str
    table: str
    columns: tuple[str, ...]
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a snapshot; `progress`: the positions of the requests' partitions."""

    folder: Path
    made: datetime
    topic: str
    migrations: tuple[str, ...]
    progress: tuple[Progress, ...]
    files: tuple[File, ...]

    def begin(self) -> dict[int, Progress]:
        """Partition → its position."""
        return {each.partition: each for each in self.progress}


async def size(deployment: Deployment) -> int:
    """About how many rows a snapshot has. Raises Unavailable."""
    async with deployment.database.connection() as connection:
        return await snapshot.estimated_rows(connection)


async def take(deployment: Deployment, to: Path, meter: Meter) -> Manifest:
    """Take a snapshot into a new folder below `to`. Raises NotPossible, Unavailable, OSError."""
    made = clock.now()
    final = to / f"snapshot-{made:%Y%m%dT%H%M%SZ}"
    if final.exists():
        raise NotPossible(f"{final} exists already; wait a second")
    folder = final.with_name(final.name + PARTIAL)
    _make_folder(folder)
    try:
        async with (
            deployment.database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            # A large table is one statement, and a slow disk may pause between two.
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            manifest = await _write(deployment, connection, folder, final, made, meter)
        _sync_folder(folder)
        folder.rename(final)
        _sync_folder(to)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return manifest


async def _write(
    deployment: Deployment,
    connection: "Connection",
    folder: Path,
    final: Path,
    made: datetime,
    meter: Meter,
) -> Manifest:
    topic = deployment.topics.requests
    positions = await progress.read_all(connection, topic)
    meter.note("snapshot", await snapshot.estimated_rows(connection))
    files = [
        await _copy(connection, source, folder, meter)
        for source in await snapshot.sources(connection)
    ]
    migrations = await snapshot.migrations(connection)
    manifest = Manifest(final, made, topic, migrations, tuple(positions), tuple(files))
    with written(), _create(folder / MANIFEST) as output:
        output.write(orjson.dumps(_to_json(manifest), option=orjson.OPT_INDENT_2))
        output.flush()
        os.fsync(output.fileno())
    return manifest


async def _copy(connection: "Connection", source: Source, folder: Path, meter: Meter) -> File:
    name = f"{source.schema}.{source.table}.copy.gz"
    digest, size, rows = hashlib.sha256(), 0, 0
    packer = zlib.compressobj(1, wbits=31)
    with written(), _create(folder / name) as output:

        def write(packed: bytes) -> None:
            nonlocal size
            digest.update(packed)
            size += len(packed)
            output.write(packed)

        async def take_chunk(chunk: bytes) -> None:
            nonlocal rows
            number = chunk.count(b"\n")  # COPY escapes the newlines of values
            rows += number
            meter.add(number)
            write(packer.compress(chunk))

        await connection.copy_from_query(source.query, output=take_chunk)
        write(packer.flush())
        output.flush()
        os.fsync(output.fileno())
    return File(name, source.schema, source.table, source.columns, rows, size, digest.hexdigest())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a snapshot, or of the newest below a folder of snapshots.

    Raises NotPossible where it is none of this release's.
    """
    if not (folder / MANIFEST).exists():
        folder = max(_whole(folder), default=folder)
    try:
        found = orjson.loads((folder / MANIFEST).read_bytes())
        if found["format"] != FORMAT:
            raise NotPossible(f"{folder}: another release made it (format {found['format']})")
        manifest = _from_json(folder, found)
    except OSError as error:
        raise NotPossible(f"{folder} is not a snapshot: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise NotPossible(f"{folder}: {MANIFEST} cannot be read; take another snapshot") from error
    unknown = set(manifest.migrations) - {each.name for each in migrate.available()}
    if unknown:
        raise NotPossible(f"{folder}: a newer release made it (migration {min(unknown)})")
    return manifest


def check_files(manifest: Manifest, meter: Meter) -> None:
    """Compare every file with its digest. Raises NotPossible."""
    meter.note("check the snapshot", sum(each.size_bytes for each in manifest.files))
    for each in manifest.files:
        digest = hashlib.sha256()
        try:
            with (manifest.folder / each.name).open("rb") as source:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    meter.add(len(chunk))
        except OSError as error:
            raise NotPossible(f"{manifest.folder / each.name}: {error.strerror}") from error
        if digest.hexdigest() != each.sha256:
            raise NotPossible(
                f"{manifest.folder / each.name} is not what was written (SHA-256 differs); "
                "use another snapshot"
            )


async def load(connection: "Connection", manifest: Manifest, names: Names, meter: Meter) -> None:
    """Copy the snapshot's directory and recent events into an empty scratch."""
    meter.note("load the snapshot", sum(each.rows for each in manifest.files))
    target = {LIVE: names.directory, "audit": names.audit}
    for each in manifest.files:
        if each.schema not in target:
            continue

        async def chunks(each: File = each) -> AsyncIterator[bytes]:
            for chunk in _unpacked(manifest.folder / each.name):
                meter.add(chunk.count(b"\n"))
                yield chunk

        await connection.copy_to_table(
            each.table,
            schema_name=target[each.schema],
            columns=each.columns,
            source=chunks(),
        )


def prune(to: Path, keep: int) -> list[Path]:
    """Delete all but the newest `keep` snapshots below `to`, and what a crash left half-made."""
    whole = sorted(_whole(to))
    half = [
        path
        for path in to.iterdir()
        if _FOLDER.match(path.name.removesuffix(PARTIAL)) and path.name.endswith(PARTIAL)
    ]
    gone = whole[:-keep] if keep else []
    for path in (*gone, *half):
        shutil.rmtree(path)
    return gone


def _whole(to: Path) -> list[Path]:
    """The snapshots below a folder; a name begins with the time."""
    if not to.is_dir():
        return []
    return [
        path for path in to.iterdir() if _FOLDER.match(path.name) and (path / MANIFEST).exists()
    ]


def _unpacked(path: Path) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(wbits=31)
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            if plain := unpacker.decompress(chunk):
                yield plain
    if plain := unpacker.flush():
        yield plain


def _make_folder(folder: Path) -> None:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _to_json(manifest: Manifest) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "made": format_time(manifest.made),
        "topic": manifest.topic,
        "migrations": list(manifest.migrations),
        "progress": [
            {
                **asdict(each),
                "last_append_time": None
                if each.last_append_time is None
                else format_time(each.last_append_time),
            }
            for each in manifest.progress
        ],
        "files": [asdict(each) for each in manifest.files],
    }


def _from_json(folder: Path, found: Mapping[str, Any]) -> Manifest:
    return Manifest(
        folder=folder,
        made=parse_time(found["made"]),
        topic=found["topic"],
        migrations=tuple(found["migrations"]),
        progress=tuple(
            Progress(
                **{
                    **each,
                    "last_append_time": None
                    if each["last_append_time"] is None
                    else parse_time(each["last_append_time"]),
                }
            )
            for each in found["progress"]
        ),
        files=tuple(File(**{**each, "columns": tuple(each["columns"])}) for each in found["files"]),
    )
