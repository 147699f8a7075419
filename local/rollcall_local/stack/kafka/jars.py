"""The jars of Apache Kafka: fetched once by jgo, checked at every start.

`jgo.toml` pins all of them and `jgo.lock.toml` holds their SHA-256. Both lie beside this module, so
that a checkout and an installed wheel find them alike. jgo is asked for each jar by its full
coordinate: its environments would resolve the tree again, and fetch a JDK to do so. The digests of
all 46 files are computed at each start (44 MB, 30 ms), so no stamp is needed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rollcall_local.stack import owned
from rollcall_local.stack.errors import StackError

_LOCK_FILE = Path(__file__).with_name("jgo.lock.toml")
_WHAT_TO_DO = (
    "set ROLLCALL_KAFKA_BOOTSTRAP to a Kafka of yours, "
    "or ROLLCALL_KAFKA_LIBS to a folder that holds the jars of Apache Kafka 4.3"
)


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One jar of the lock file: its Maven coordinate and the digest that it must have."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where Maven's layout puts it, relative to the repository."""
        name = f"{self.artifact}-{self.version}.jar"
        return Path(*self.group.split("."), self.artifact, self.version, name)


def user_cache() -> Path:
    """Return the cache folder of the present user for Rollcall (XDG, or the platform's own)."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "rollcall"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rollcall"
    return Path.home() / ".cache" / "rollcall"


def locked_jars(lock_file: Path = _LOCK_FILE) -> list[LockedJar]:
    """Read the lock file that jgo wrote."""
    entries = tomllib.loads(lock_file.read_text())["dependencies"]
    return [LockedJar(e["groupId"], e["artifactId"], e["version"], e["sha256"]) for e in entries]


def find_jars(
    cache: Path | None = None,
    lock_file: Path = _LOCK_FILE,
    say: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Return the class path of the broker, fetching what the cache lacks (`say` gets a line).

    `ROLLCALL_KAFKA_LIBS` names a folder whose jars are taken as they are. Raises StackError with
    one line that says what to do when jars are missing and cannot be fetched, or are not what the
    lock file says.
    """
    if libs := os.environ.get("ROLLCALL_KAFKA_LIBS"):
        given = sorted(Path(libs).glob("*.jar"))
        if not any(jar.name.startswith("kafka_") for jar in given):
            raise StackError(f"ROLLCALL_KAFKA_LIBS: no kafka_*.jar in {libs}", exit_code=2)
        return given
    repository = (cache or user_cache()) / "kafka" / "repository"
    try:  # what lies there is run; compared with the digests, but then read once more by Java
        owned.way_to(repository, must_exist=False)
    except owned.NotOurs as error:
        raise StackError(
            f"{error.fact}: set XDG_CACHE_HOME to a folder of yours, or {_WHAT_TO_DO}", exit_code=2
        ) from error
    jars = locked_jars(lock_file)
    wrong = _wrong(repository, jars)
    if wrong:
        say(f"Fetching {len(wrong)} jars of Apache Kafka into {repository}, once")
        _fetch(repository, jars)
    return [repository / jar.path for jar in jars]


def _wrong(repository: Path, jars: list[LockedJar]) -> list[LockedJar]:
    """Return the jars that are missing or are not what the lock file says."""

    def is_wrong(jar: LockedJar) -> bool:
        try:
            with (repository / jar.path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() != jar.sha256
        except FileNotFoundError:
            return True

    return [jar for jar in jars if is_wrong(jar)]


def _fetch(repository: Path, jars: list[LockedJar]) -> None:
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with (repository / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another start may be at it: then nothing is left
            wrong = _wrong(repository, jars)
            _download(repository, wrong)
            _open_to_all(repository, wrong)
            still_wrong = _wrong(repository, wrong)
    except OSError as error:
        raise _not_fetched(str(error)) from error
    if still_wrong:
        raise _not_fetched(f"the digest of {still_wrong[0].path.name} is not the locked one")


def _open_to_all(repository: Path, jars: list[LockedJar]) -> None:
    """Make them readable for all users, whatever the umask: they are public, and images copy them.

    An image that is made of them runs as another user than the one who fetched them.
    """
    for jar in jars:
        path = repository / jar.path
        if path.exists():
            path.chmod(0o644)
        for folder in path.parents:
            if folder == repository.parent:
                break
            if folder.is_dir():
                folder.chmod(0o755)


def _download(repository: Path, jars: list[LockedJar]) -> None:
    if not jars:
        return
    try:
        from jgo.maven import MavenContext  # slow, and needed once
    except ImportError as error:
        raise _not_fetched("jgo is not installed (pip install 'rollcall[local]')") from error
    context = MavenContext(repo_cache=repository, timeout=30)

    def download(jar: LockedJar) -> None:
        # A file that a killed download left behind would count as there.
        (repository / jar.path).unlink(missing_ok=True)
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        component.artifact().resolve()

    try:
        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(download, jars):
                pass
    except RuntimeError as error:
        raise _not_fetched(str(error)) from error


def _not_fetched(reason: str) -> StackError:
    # requests puts what matters last, behind a long address.
    short = " ".join(reason.rpartition("Caused by ")[2].split())[:160]
    return StackError(
        f"cannot fetch the jars of Apache Kafka ({short}): {_WHAT_TO_DO}", exit_code=2
    )
