"""Files and folders of the user who runs the stack, which no other local user can replace.

Another user may own the folder that we are given, or one above it, and may put symbolic links, hard
links and FIFOs where our files are to be. So a folder is opened only after every folder on the way
to it was found to belong to us or to root and to be closed to others (in a sticky one, like /tmp,
users cannot replace what belongs to others). A file is opened relative to that folder, without
following a link, and is used only if it is a regular file of ours with one name. `uid` is the
required owner; the default is the user that we run as.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from rollcall_local.stack.errors import StackError

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# One may pass through a folder that one may not list.
_ABOVE: Final = _FOLDER | getattr(os, "O_PATH", 0)
# Opening a FIFO does not wait for the other end: it is looked at, and refused.
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_LINKS: Final = 40
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_REMEDY: Final = "use --data DIR, with a folder that is yours"


class NotOurs(StackError):
    """A file, a folder or a process is not ours, or not only ours; it is left alone.

    `fact` is the line without what to do about it.
    """

    def __init__(self, fact: str, remedy: str = "") -> None:
        super().__init__(f"{fact}: {remedy}" if remedy else fact, exit_code=2)
        self.fact = fact


def way_to(path: Path, uid: int | None = None, *, must_exist: bool = True) -> Path:
    """Return the folder that `path` leads to, without symbolic links, for what will be opened.

    Raises NotOurs where another user could lead us elsewhere: by a folder on the way or the last
    one, or by a symbolic link; OSError where there is no such folder. Without `must_exist` the end
    of the way may be missing, and is returned as it is.
    """
    owner = os.geteuid() if uid is None else uid
    here = Path("/")
    _check_step(here, os.lstat(here), owner)
    todo = deque((Path.cwd() / path).parts[1:])
    links = 0
    while todo:
        name = todo.popleft()
        if name == "..":
            here = here.parent
            continue
        step = here / name
        try:
            found = os.lstat(step)
        except FileNotFoundError:
            if must_exist:
                raise
            return step.joinpath(*todo)
        if not stat.S_ISLNK(found.st_mode):
            _check_step(step, found, owner)
            here = step
            continue
        links += 1
        if found.st_uid not in (0, owner) or links > _MOST_LINKS:
            raise NotOurs(f"the symbolic link {step} is {_whose(found.st_uid)}", _REMEDY)
        target = step.readlink()
        if target.is_absolute():
            here = Path("/")
        todo.extendleft(part for part in reversed(target.parts) if part != "/")
    return here


def _check_step(path: Path, found: os.stat_result, owner: int) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    if found.st_uid not in (0, owner):
        raise NotOurs(f"{path} belongs to {_name(found.st_uid)}", _REMEDY)
    if not found.st_mode & stat.S_ISVTX and _is_open_to_others(found, owner):
        raise NotOurs(f"others may write in {path}", f"close it (`chmod go-w`), or {_REMEDY}")


def _is_open_to_others(found: os.stat_result, owner: int) -> bool:
    others = found.st_mode & _OTHERS
    return bool(others) and (others != stat.S_IWGRP or not _is_only(found.st_gid, owner))


def _is_only(gid: int, owner: int) -> bool:
    """Whether a group is its user's private one, as systems with a umask of 002 make them."""
    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(owner)
    except KeyError:
        return False
    is_private = group.gr_name == user.pw_name and gid == user.pw_gid
    return is_private and set(group.gr_mem) <= {user.pw_name}


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _whose(uid: int) -> str:
    return f"{_name(uid)}'s" if uid != os.geteuid() else "one of too many"


def open_folder(path: Path, uid: int | None = None, *, make: bool = False) -> int:
    """Open a folder of ours and return its descriptor; with `make`, make it (0700) if missing.

    Raises NotOurs: it is a symbolic link or no folder, another user's, or others may write in it;
    OSError: there is none, or it cannot be made.
    """
    owner = os.geteuid() if uid is None else uid
    if not make:
        os.lstat(path)  # a folder that does not exist has no owner to check
    above = os.open(way_to(path.parent, owner), _ABOVE)
    try:
        return open_below(above, path.name, owner, make=make, shown=path)
    finally:
        os.close(above)


def open_below(
    above: int, name: str, uid: int | None = None, *, make: bool = False, shown: Path | None = None
) -> int:
    """Open a folder inside one that is open already; `shown` is its name in an error."""
    owner = os.geteuid() if uid is None else uid
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=above)
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=above)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise NotOurs(
                f"{shown or name} is no folder, or a symbolic link", "remove it"
            ) from error
        raise
    try:
        found = os.fstat(descriptor)
        if found.st_uid != owner:
            raise NotOurs(f"{shown or name} belongs to {_name(found.st_uid)}", _REMEDY)
        if _is_open_to_others(found, owner):
            raise NotOurs(f"others may write in {shown or name}", _REMEDY)
    except NotOurs:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def opened(path: Path, uid: int | None = None, *, make: bool = False) -> Iterator[int]:
    """`open_folder` for the length of a block."""
    descriptor = open_folder(path, uid, make=make)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(
    folder: int,
    name: str,
    flags: int,
    uid: int | None = None,
    *,
    make: bool = False,
    shown: Path | None = None,
) -> int:
    """Open a plain file of ours in an open folder; with `make`, make it (0600) if missing.

    `flags` say reading or writing, and `O_APPEND`. Raises NotOurs: it is a link, a FIFO or the
    like, another user's, or has a second name; OSError: there is none, or it cannot be opened.
    """
    owner = os.geteuid() if uid is None else uid
    where = shown or name
    for _ in range(3):  # made by us, or by another command of ours at the same time
        try:
            descriptor = os.open(name, flags | _FILE, dir_fd=folder)
            break
        except FileNotFoundError:
            if not make:
                raise
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EMLINK):
                raise NotOurs(f"{where} is no plain file", "remove it") from error
            raise
        with suppress(FileExistsError):
            descriptor = os.open(name, flags | _FILE | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
            break
    else:
        raise NotOurs(f"{where} comes and goes")
    try:
        _check_file(os.fstat(descriptor), owner, where)
    except NotOurs:
        os.close(descriptor)
        raise
    return descriptor


def _check_file(found: os.stat_result, owner: int, where: Path | str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotOurs(f"{where} is no plain file", "remove it")
    if found.st_uid != owner:
        raise NotOurs(f"{where} belongs to {_name(found.st_uid)}", "remove it")
    if found.st_nlink > 1:
        raise NotOurs(f"{where} has a second name (a hard link)", "remove it")


def read_bytes(path: Path, uid: int | None = None) -> bytes:
    """The content of a file of ours. Raises NotOurs, OSError."""
    with opened(path.parent, uid) as folder:
        descriptor = open_file(folder, path.name, os.O_RDONLY, uid, shown=path)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def listed(path: Path, uid: int | None = None) -> list[Path]:
    """What lies in a folder of ours; nothing where there is no folder. Raises NotOurs, OSError."""
    try:
        with opened(path, uid) as folder:
            return [path / name for name in os.listdir(folder)]  # noqa: PTH208 of a descriptor
    except FileNotFoundError:
        return []


def replace(path: Path, content: bytes, uid: int | None = None) -> None:
    """Write a file (0600) in one step, in place of whatever is there.

    A link is replaced and not followed. Raises NotOurs, OSError, which names `path`.
    """
    draft = f".{path.name}.{os.getpid()}"
    try:
        with opened(path.parent, uid) as folder:
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=folder)
            try:
                descriptor = open_file(folder, draft, os.O_WRONLY, uid, make=True)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                os.rename(draft, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                with suppress(FileNotFoundError):
                    os.unlink(draft, dir_fd=folder)
                raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def remove(path: Path, uid: int | None = None) -> None:
    """Remove a file, if it is there: the name itself, never what a link leads to.

    Raises NotOurs, OSError.
    """
    with suppress(FileNotFoundError), opened(path.parent, uid) as folder:
        os.unlink(path.name, dir_fd=folder)


def open_log(path: Path, uid: int | None = None) -> int:
    """Open a log for appending, readable by its owner only, and return the descriptor.

    Its folder is made if it is missing. Raises NotOurs, OSError.
    """
    with opened(path.parent, uid, make=True) as folder:
        return open_file(folder, path.name, os.O_WRONLY | os.O_APPEND, uid, make=True, shown=path)


def tail(path: Path, lines: int = 20, limit_bytes: int = 16384) -> str:
    """The last lines of a log of ours, or an empty text when it cannot be read."""
    try:
        with opened(path.parent) as folder:
            descriptor = open_file(folder, path.name, os.O_RDONLY)
    except (OSError, NotOurs):
        return ""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - limit_bytes))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def check_entry(
    folder: int, name: str, shown: Path, uid: int | None = None, *, below: bool = True
) -> None:
    """Check what lies in an open folder, for programs that open it by themselves.

    With `below`, all that is in it too. What is gone by then is well. Raises NotOurs, OSError.
    """
    owner = os.geteuid() if uid is None else uid
    with suppress(FileNotFoundError):  # a stack that runs, or still ends, replaces files
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            _check_file(found, owner, shown)
            return
        inner = open_below(folder, name, owner, shown=shown)
        try:
            for each in os.listdir(inner) if below else ():  # noqa: PTH208 of a descriptor
                check_entry(inner, each, shown / each, owner)
        finally:
            os.close(inner)
