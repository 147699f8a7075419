"""The folder of a stack: `.rollcall` below `--data`, and the files in it.

lock            held by the supervisor as long as it lives (flock); its process id
stack.json      where everything is, for scripts (see stack_file)
status.json     what `rollcall status` shows
ports.json      ports, chosen once
held.json       services that `rollcall stop` has stopped
secrets.json    passwords and the invitation secret, made once; 0600
logs/           one file per service
kafka/ postgres/ mailbox/   data

It must be ours, and the way to it must be closed to others; what is not so is refused (`owned`).
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rollcall_local.stack import noted, owned, ports
from rollcall_local.stack.errors import StackError

NAME: Final = ".rollcall"
_TREES: Final = ("kafka", "logs")
"""What programs open by themselves, so that all of it is looked at before they do."""


def write_json(path: Path, content: Mapping[str, Any], uid: int | None = None) -> None:
    """Replace the file (0600) in one step: a reader sees the old content or the new one.

    Raises NotOurs, OSError.
    """
    owned.replace(path, (json.dumps(content, indent=2) + "\n").encode(), uid)


def read_json(path: Path, uid: int | None = None) -> dict[str, Any]:
    """Return the content, or an empty mapping when there is no such file.

    Raises StackError when the file holds something else than JSON, or is not ours.
    """
    try:
        found = json.loads(owned.read_bytes(path, uid))
        if not isinstance(found, dict):
            raise ValueError("it is no object")  # noqa: TRY004 as what is no JSON at all
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise owned.NotOurs(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StackError(f"{path} is damaged ({error}); remove it", exit_code=2) from error
    return found


def _lock(descriptor: int) -> None:
    """Lock, or raise OSError; `supervisor`, which only looks, holds it for a moment too."""
    for attempt in range(1, 7):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if attempt == 6:
                raise
        else:
            return
        time.sleep(0.02 * attempt)


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The process that holds a stack's lock; `since` is its start, as `noted` has it."""

    pid: int
    since: str | None


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths of one stack. `uid` is whose all of it must be."""

    data: Path
    uid: int = field(default_factory=os.geteuid)

    @classmethod
    def at(cls, data: Path, uid: int | None = None, *, making: bool = False) -> Folder:
        """The folder of the stack in `data`, whose symbolic links are followed.

        Raises NotOurs where there is a stack (or, `making` one, a folder for it) to which another
        user could have led us.
        """
        owner = os.geteuid() if uid is None else uid
        try:
            return cls(owned.way_to(data, owner, must_exist=False), owner)
        except OSError:
            pass  # opening it will say what is wrong
        except owned.NotOurs:
            if making or os.path.lexists(data / NAME):
                raise
        return cls(Path.cwd() / data, owner)

    @property
    def root(self) -> Path:
        """The folder `.rollcall`."""
        return self.data / NAME

    @property
    def lock(self) -> Path:
        """The supervisor's lock file."""
        return self.root / "lock"

    @property
    def stack_file(self) -> Path:
        """`stack.json`."""
        return self.root / "stack.json"

    @property
    def status_file(self) -> Path:
        """`status.json`."""
        return self.root / "status.json"

    @property
    def ports_file(self) -> Path:
        """`ports.json`."""
        return self.root / "ports.json"

    @property
    def mailbox(self) -> Path:
        """The Maildir."""
        return self.root / "mailbox"

    @property
    def behaviour_file(self) -> Path:
        """The file that makes the mailbox misbehave; usually it does not exist."""
        return self.root / "mailbox.json"

    def hold(self, services: Collection[str]) -> None:
        """Note which services are to stay stopped until they are started again."""
        if services or self.held():
            write_json(self._held_file, {"services": sorted(services)}, self.uid)

    def held(self) -> set[str]:
        """The services that `rollcall stop` has stopped."""
        return set(read_json(self._held_file, self.uid).get("services", ()))

    @property
    def _held_file(self) -> Path:
        return self.root / "held.json"

    def log(self, service: str) -> Path:
        """The log of a service; its replicas share it."""
        return self.root / "logs" / f"{service}.log"

    def make(self) -> None:
        """Make `.rollcall`, and look at what is in it. Raises StackError: that is not allowed."""
        try:
            self._make_data()
            with owned.opened(self.root, self.uid, make=True) as folder:
                # As root, Postgres's user has to pass through to what is its own.
                os.fchmod(folder, 0o711 if self.uid == 0 else 0o700)
                os.close(owned.open_below(folder, "logs", self.uid, make=True))
                self._check(folder)
            probe = self.root / ".probe"
            owned.replace(probe, b"", self.uid)
            owned.remove(probe, self.uid)
        except OSError as error:
            raise StackError(
                f"cannot write in {self.root} ({error.strerror}): use --data DIR, "
                "with a folder that is yours",
                exit_code=2,
            ) from error

    def _make_data(self) -> None:
        missing = [each for each in (self.data, *self.data.parents) if not each.exists()]
        if missing:
            owned.way_to(missing[-1].parent, self.uid)
        for each in reversed(missing):
            each.mkdir(mode=0o755, exist_ok=True)  # whatever the umask, closed to others

    def _check(self, folder: int) -> None:
        for name in os.listdir(folder):
            owned.check_entry(folder, name, self.root / name, self.uid, below=name in _TREES)

    def take(self) -> int:
        """Take the lock for the life of this process and return its descriptor.

        Raises StackError when another supervisor holds it.
        """
        with owned.opened(self.root, self.uid) as folder:
            descriptor = owned.open_file(
                folder, self.lock.name, os.O_RDWR, self.uid, make=True, shown=self.lock
            )
        try:
            _lock(descriptor)
        except OSError as error:
            holder = os.pread(descriptor, 64, 0).decode(errors="replace").splitlines()
            os.close(descriptor)
            raise StackError(
                f"a stack already runs in {self.root} "
                f"(supervisor's process {holder[0] if holder else 'not known yet'}): "
                f"stop it with `rollcall down --data {self.data}`",
                exit_code=2,
            ) from error
        os.ftruncate(descriptor, 0)
        mine = os.getpid()
        since = noted.started(mine) or ""
        os.pwrite(descriptor, f"{mine}\n{since}\n".encode(), 0)
        return descriptor

    def supervisor(self) -> Supervisor | None:
        """Return the supervisor that holds the lock, or None.

        Raises StackError when the folder is another user's, or the lock names a process that is
        not the supervisor.
        """
        try:
            with owned.opened(self.root, self.uid) as folder:
                descriptor = owned.open_file(
                    folder, self.lock.name, os.O_RDWR, self.uid, shown=self.lock
                )
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise owned.NotOurs(f"{self.root} belongs to another user") from error
        try:
            for attempt in range(1, 7):  # one that begins or ends says who it is, or lets go
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    if (found := self._holder(descriptor)) is not None:
                        return found
                    time.sleep(0.02 * attempt)
                else:
                    return None
        finally:
            os.close(descriptor)
        raise owned.NotOurs(f"{self.lock} is held by a process that it does not name")

    def _holder(self, descriptor: int) -> Supervisor | None:
        """Who the lock says holds it; None while it does not say so, or that one has ended."""
        lines = os.pread(descriptor, 64, 0).decode(errors="replace").splitlines()
        if not lines:
            return None
        pid = int(lines[0]) if lines[0].isdecimal() else 0
        found = Supervisor(pid, lines[1] if len(lines) > 1 else None)
        is_ours = noted.is_ours(pid, found.since or None, noted.is_supervisor, self.uid)
        return found if is_ours else None

    def exists(self) -> bool:
        """Whether there is a `.rollcall`. Raises NotOurs where it is not ours."""
        try:
            with owned.opened(self.root, self.uid):
                return True
        except FileNotFoundError:
            return False

    def remove(self) -> None:
        """Remove `.rollcall` and all that is in it. Raises NotOurs, OSError."""
        if self.exists():
            shutil.rmtree(self.root)

    def secrets(self, names: list[str]) -> dict[str, str]:
        """Return a random secret for each name, the same at every start."""
        kept = self.kept_secrets()
        missing = [name for name in names if name not in kept]
        if missing:
            kept |= {name: secrets.token_urlsafe(32) for name in missing}
            write_json(self._secrets_file, kept, self.uid)
        return {name: str(kept[name]) for name in names}

    def kept_secrets(self) -> dict[str, str]:
        """Every secret that has been made."""
        kept = read_json(self._secrets_file, self.uid)
        return {name: str(secret) for name, secret in kept.items()}

    @property
    def _secrets_file(self) -> Path:
        return self.root / "secrets.json"

    def ports(self, names: list[str], fixed: Mapping[str, int]) -> dict[str, int]:
        """Return a port for each name, the same at every start; `fixed` ones are the caller's."""
        before = {name: int(port) for name, port in read_json(self.ports_file, self.uid).items()}
        # A part that had what the caller now wants for another one moves.
        kept = {name: port for name, port in before.items() if port not in fixed.values()}
        kept |= fixed
        for name in names:
            if name not in kept:
                kept[name] = ports.choose(kept.values())
        if kept != before:
            write_json(self.ports_file, kept, self.uid)
        return {name: kept[name] for name in names}
