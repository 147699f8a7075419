"""The folder of a stack: `.rollcall` below `--data`, and the files in it.

lock            held by the supervisor as long as it lives (flock); its process id
stack.json      where everything is, for scripts (see stack_file)
status.json     what `rollcall status` shows
ports.json      ports, chosen once
held.json       services that `rollcall stop` has stopped
secrets.json    passwords and the invitation secret, made once; 0600
logs/           one file per service
kafka/ postgres/ mailbox/   data
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.operator.stack import ports
from services.operator.stack.errors import StackError

NAME = ".rollcall"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file (0600) in one step: a reader sees the old content or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the content, or an empty mapping when there is no such file.

    Raises StackError when the file holds something else than JSON.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StackError(f"{path} is damaged ({error}); remove it", exit_code=2) from error
    return dict(found)


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
class Folder:
    """Paths of one stack."""

    data: Path

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
        if services or self._held_file.exists():
            write_json(self._held_file, {"services": sorted(services)})

    def held(self) -> set[str]:
        """The services that `rollcall stop` has stopped."""
        return set(read_json(self._held_file).get("services", ()))

    @property
    def _held_file(self) -> Path:
        return self.root / "held.json"

    def log(self, service: str) -> Path:
        """The log of a service; its replicas share it."""
        return self.root / "logs" / f"{service}.log"

    def make(self) -> None:
        """Make `.rollcall`. Raises StackError when that is not allowed."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            # As root, Postgres's user has to pass through to what is its own.
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            (self.root / "logs").mkdir(mode=0o700, exist_ok=True)
            probe = self.root / f".probe.{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StackError(
                f"cannot write in {self.root} ({error.strerror}): use --data DIR, "
                "with a folder that is yours",
                exit_code=2,
            ) from error

    def take(self) -> int:
        """Take the lock for the life of this process and return its descriptor.

        Raises StackError when another supervisor holds it.
        """
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode().strip() or "not known yet"
            os.close(descriptor)
            raise StackError(
                f"a stack already runs in {self.root} (supervisor's process {holder}): "
                f"stop it with `rollcall down --data {self.data}`",
                exit_code=2,
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def supervisor(self) -> int | None:
        """Return the process id of the supervisor that holds the lock, or None.

        Raises StackError when the folder is another user's.
        """
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise StackError(f"{self.root} belongs to another user", exit_code=2) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            text = os.pread(descriptor, 32, 0).decode().strip()
            return int(text) if text else None
        finally:
            os.close(descriptor)
        return None

    def secrets(self, names: list[str]) -> dict[str, str]:
        """Return a random secret for each name, the same at every start."""
        path = self.root / "secrets.json"
        kept = read_json(path)
        missing = [name for name in names if name not in kept]
        if missing:
            kept |= {name: secrets.token_urlsafe(32) for name in missing}
            write_json(path, kept)
        return {name: str(kept[name]) for name in names}

    def ports(self, names: list[str], fixed: Mapping[str, int]) -> dict[str, int]:
        """Return a port for each name, the same at every start; `fixed` ones are the caller's."""
        before = {name: int(port) for name, port in read_json(self.ports_file).items()}
        # A part that had what the caller now wants for another one moves.
        kept = {name: port for name, port in before.items() if port not in fixed.values()}
        kept |= fixed
        for name in names:
            if name not in kept:
                kept[name] = ports.choose(kept.values())
        if kept != before:
            write_json(self.ports_file, kept)
        return {name: kept[name] for name in names}
