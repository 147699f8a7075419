"""What is not ours is not opened, written, locked or removed, and gets no signal."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import Signals

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall_local.stack import hold, noted, owned
from rollcall_local.stack.errors import StackError
from rollcall_local.stack.folder import Folder, read_json
from rollcall_local.stack.kafka import jars as kafka_jars
from rollcall_local.stack.mails import read as read_mails
from rollcall_local.stack.owned import NotOurs
from rollcall_local.stack.postgres import native as postgres_native

NOBODY = 65534
ONLY_ROOT = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give a file to another user: run the tests as root too"
)
FILES = (
    *("lock", "stack.json", "status.json", "ports.json", "secrets.json", "held.json"),
    *("mailbox.json", "logs/supervisor.log", "logs/kafka.log", "kafka/server.properties"),
)
FOLDERS = ("logs", "kafka", "postgres", "mailbox", "kafka/data")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """The folder of a stack that has run."""
    made = Folder(tmp_path / "data")
    made.make()
    os.close(made.take())
    for name in FILES:
        path = made.root / name
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.write_text("{}" if path.suffix == ".json" else "")
    for name in FOLDERS:
        (made.root / name).mkdir(exist_ok=True, mode=0o700)
    return made


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of ours that nothing may change."""
    path = tmp_path / "not-for-you"
    path.write_text("as it was")
    return path


@pytest.fixture
def victim() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is none of the stack's."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def symbolic(path: Path, target: Path) -> None:
    path.symlink_to(target)


def hard(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def fifo(path: Path, target: Path) -> None:
    os.mkfifo(path)


def folder_instead(path: Path, target: Path) -> None:
    path.mkdir()


TRAPS = (symbolic, hard, fifo, folder_instead)
Trap = Callable[[Path, Path], None]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("name", FILES)
def test_a_start_refuses_what_was_laid_where_a_file_is_to_be(
    folder: Folder, secret: Path, name: str, trap: Trap
) -> None:
    (folder.root / name).unlink()
    trap(folder.root / name, secret)

    if trap is not folder_instead:  # an empty folder harms nobody; it is found when it is used
        with pytest.raises(NotOurs, match=name):
            folder.make()

    assert secret.read_text() == "as it was"
    assert secret.stat().st_mode & 0o777 == 0o644


@pytest.mark.timeout(20)
@pytest.mark.parametrize("trap", TRAPS)
def test_nothing_is_read_or_written_through_a_trap(
    folder: Folder, secret: Path, trap: Trap
) -> None:
    """A FIFO would wait for its other end; a link would change another file."""
    uses: dict[str, Callable[[], object]] = {
        "lock": folder.take,
        "status.json": lambda: read_json(folder.status_file),
        "secrets.json": lambda: folder.secrets(["postgres"]),
        "ports.json": lambda: folder.ports(["postgres"], {}),
        "held.json": folder.held,
        "logs/kafka.log": lambda: owned.open_log(folder.log("kafka")),
    }
    for name, use in uses.items():
        (folder.root / name).unlink()
        trap(folder.root / name, secret)

        with pytest.raises(NotOurs):
            use()

    with pytest.raises(NotOurs):
        folder.supervisor()
    assert owned.tail(folder.log("kafka")) == ""
    assert secret.read_text() == "as it was"


@pytest.mark.parametrize("trap", [symbolic, hard, fifo])
def test_a_file_that_is_replaced_leaves_a_link_s_target_alone(
    folder: Folder, secret: Path, trap: Trap
) -> None:
    """The draft's name can be guessed, and a link may lie there too."""
    for name in ("stack.json", f".stack.json.{os.getpid()}"):
        (folder.root / name).unlink(missing_ok=True)
        trap(folder.root / name, secret)

    owned.replace(folder.stack_file, b"new")

    assert folder.stack_file.read_bytes() == b"new"
    assert secret.read_text() == "as it was"


@pytest.mark.parametrize("name", FOLDERS)
def test_a_start_refuses_a_link_where_a_folder_is_to_be(
    folder: Folder, tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (folder.root / name).rename(elsewhere)
    (folder.root / name).symlink_to(elsewhere)

    with pytest.raises(NotOurs, match=name):
        folder.make()


def test_the_stack_s_folder_itself_may_be_no_link(folder: Folder, tmp_path: Path) -> None:
    folder.root.rename(tmp_path / "real")
    folder.root.symlink_to(tmp_path / "real")

    for use in (folder.make, folder.supervisor, folder.remove):
        with pytest.raises(NotOurs):
            use()

    assert (tmp_path / "real" / "secrets.json").exists()


@pytest.mark.parametrize("mode", [0o777, 0o722, 0o702, 0o720])
def test_a_folder_in_which_others_may_write_is_refused(folder: Folder, mode: int) -> None:
    os.chown(folder.root, -1, os.getgid())
    folder.root.chmod(mode)
    is_private = mode == 0o720 and owned._is_only(os.getgid(), os.geteuid())

    if is_private:
        folder.make()
    else:
        with pytest.raises(NotOurs, match="write"):
            folder.make()


def test_so_is_a_way_that_others_may_change_unless_it_is_sticky(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    folder = Folder(shared / "data")
    (shared / "data").mkdir()

    with pytest.raises(NotOurs, match="shared"):
        folder.make()
    shared.chmod(0o1777)
    folder.make()


def test_a_folder_of_another_user_is_refused_whatever_its_mode(tmp_path: Path) -> None:
    """The expected user is a parameter, so this needs no second one."""
    mine = Folder(tmp_path)
    mine.make()
    theirs = Folder(tmp_path, uid=os.geteuid() + 1)

    for use in (theirs.make, theirs.supervisor, theirs.held, theirs.remove):
        with pytest.raises(NotOurs, match="belongs to"):
            use()
    assert mine.root.is_dir()


@ONLY_ROOT
@pytest.mark.parametrize("what", [".", ".rollcall"])
def test_root_uses_nothing_of_a_stranger_s(folder: Folder, what: str) -> None:
    os.chown(folder.data / what, NOBODY, NOBODY)

    for use in (folder.make, folder.supervisor, folder.held, folder.remove, folder.take):
        with pytest.raises(NotOurs, match="belongs to"):
            use()
    assert (folder.root / "secrets.json").exists()


@ONLY_ROOT
@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
def test_root_starts_nothing_over_a_stranger_s_file(folder: Folder, name: str) -> None:
    os.chown(folder.root / name, NOBODY, NOBODY)

    with pytest.raises(NotOurs, match="belongs to"):
        folder.make()


@ONLY_ROOT
def test_root_does_not_follow_a_stranger_s_link_to_a_folder_of_its_own(
    folder: Folder, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder.data)
    assert Folder.at(link).data == folder.data
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)

    with pytest.raises(NotOurs, match="symbolic link"):
        Folder.at(link)


def test_a_folder_without_a_stack_is_left_alone(tmp_path: Path) -> None:
    """Commands with settings in the environment may be given anywhere."""
    tmp_path.chmod(0o777)

    assert Folder.at(tmp_path).supervisor() is None
    assert not Folder.at(tmp_path).exists()


@pytest.mark.parametrize(
    "named",
    [
        *("/", "/root", "", "../..", "/var/lib/rollcall", "/var/lib/rollcall/.."),
        "/srv/postgres-0123456789abcdef",
        "/var/lib/rollcall/postgres-0123456789abcdef/../../../../srv",
    ],
)
def test_only_a_place_that_we_could_have_made_is_removed(folder: Folder, named: str) -> None:
    (folder.root / "postgres" / "elsewhere").write_text(f"{named}\n")

    with pytest.raises(StackError, match="elsewhere"):
        postgres_native.remove(folder.root / "postgres")

    assert (folder.root / "postgres").is_dir()


@given(named=st.text(max_size=60))
def test_no_text_is_a_place_of_ours_but_one_of_the_form(
    named: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("noted")
    (folder / "elsewhere").write_bytes(named.encode(errors="replace"))

    with pytest.raises(StackError):
        postgres_native._noted(folder)


def test_jars_are_not_taken_from_a_cache_that_others_may_change(tmp_path: Path) -> None:
    (tmp_path / "kafka" / "repository").mkdir(parents=True)
    (tmp_path / "kafka").chmod(0o777)

    with pytest.raises(StackError, match="XDG_CACHE_HOME") as refused:
        kafka_jars.find_jars(cache=tmp_path)

    assert refused.value.exit_code == 2
    assert "--data" not in str(refused.value)


def test_a_mail_that_is_a_link_is_not_shown(folder: Folder, secret: Path) -> None:
    (folder.mailbox / "new").mkdir(mode=0o700)
    (folder.mailbox / "new" / "1.mail").symlink_to(secret)

    with pytest.raises(NotOurs):
        read_mails(folder.mailbox)


def holding(folder: Folder, text: str) -> int:
    """The lock, held by us, with this in it."""
    folder.lock.write_text(text)
    descriptor = os.open(folder.lock, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def rollcall(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "rollcall_operator", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "form",
    ["{pid}\n", "{pid}\n{other}\n", "{pid}\n\n", "-1\n", "0\n", "x\n", "1\n", "", "4194304\n"],
)
def test_down_signals_no_process_but_the_supervisor(
    folder: Folder, victim: "subprocess.Popen[bytes]", form: str
) -> None:
    lock = holding(folder, form.format(pid=victim.pid, other=noted.started(os.getpid())))
    try:
        done = rollcall("down", "--remove", "--data", str(folder.data))
    finally:
        os.close(lock)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert victim.poll() is None
    assert folder.root.is_dir()


@pytest.mark.parametrize("since", [None, "1"])
def test_stop_signals_no_process_but_the_service(
    folder: Folder, victim: "subprocess.Popen[bytes]", since: str | None
) -> None:
    part = {"service": "ingress", "pid": victim.pid, "state": "ready"}
    part |= {} if since is None else {"started": since}
    folder.status_file.write_text(json.dumps({"parts": [part]}))
    lock = folder.take()
    try:
        with pytest.raises(NotOurs):
            hold.stop(folder.data, ["ingress"])
        with pytest.raises(NotOurs), hold.frozen(folder.data, "ingress"):
            pytest.fail("it is frozen")
    finally:
        os.close(lock)

    assert victim.poll() is None


def test_a_noted_process_gets_its_signal(victim: "subprocess.Popen[bytes]") -> None:
    since = noted.started(victim.pid)

    assert noted.send(victim.pid, since, Signals.SIGTERM, noted.is_supervisor)
    assert victim.wait(10) == -Signals.SIGTERM
    assert not noted.send(victim.pid, since, Signals.SIGTERM, noted.is_supervisor)


def test_a_note_of_an_earlier_release_is_believed_of_our_command_line() -> None:
    code = "import time; print(flush=True); time.sleep(600)"
    command = [sys.executable, "-c", code, "rollcall_ingress"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        assert noted.is_ours(process.pid, None, noted.is_module("rollcall_ingress"))
        with pytest.raises(NotOurs):
            noted.is_ours(process.pid, None, noted.is_module("rollcall_notifier"))
        process.kill()


@pytest.mark.parametrize("uid", [os.geteuid() + 1, NOBODY])
def test_a_process_of_another_user_gets_no_signal(
    victim: "subprocess.Popen[bytes]", uid: int
) -> None:
    since = noted.started(victim.pid)

    with pytest.raises(NotOurs):
        noted.send(victim.pid, since, Signals.SIGTERM, lambda _: True, uid)
    assert victim.poll() is None


@pytest.mark.parametrize("pid", [0, -1, -os.getpid()], ids=["group", "all", "a group"])
def test_a_number_that_means_many_processes_is_none(pid: int) -> None:
    with pytest.raises(NotOurs):
        noted.send(pid, None, Signals.SIGTERM, lambda _: True)


def test_both_ways_to_ask_the_system_agree() -> None:
    mine = os.getpid()
    by_ps, by_proc = noted._from_ps(mine), noted._from_proc(mine)

    assert by_ps is not None
    assert by_proc is not None
    assert by_ps.uid == by_proc.uid == os.geteuid()
    assert noted._from_ps(mine) == by_ps
    assert noted._from_proc(mine) == by_proc


def test_an_old_lock_names_the_supervisor_without_its_start(folder: Folder) -> None:
    """A stack that was started by the release before can still be stopped."""
    code = (
        "import fcntl, os, sys\n"
        "lock = os.open(sys.argv[1], os.O_RDWR)\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "os.ftruncate(lock, 0)\n"
        "os.pwrite(lock, f'{os.getpid()}\\n'.encode(), 0)\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    script = folder.data / "rollcall"
    script.write_text(code)
    command = [sys.executable, str(script), str(folder.lock), "up"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        done = rollcall("down", "--data", str(folder.data))

        assert (done.returncode, done.stderr) == (0, "")
        assert process.wait(10) == -Signals.SIGTERM


def test_a_second_start_looks_at_a_folder_whose_files_are_being_replaced(folder: Folder) -> None:
    """The stack that runs there writes its status whenever something changes."""
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            owned.replace(folder.status_file, b"{}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(200):
            folder.make()
    finally:
        is_over.set()
        writer.join(10)


@ONLY_ROOT
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "words",
    ["up", "up --detach", "down --remove", "status", "stop ingress", "mails", "demo", "org list"],
)
def test_every_command_of_root_s_leaves_a_stranger_s_stack_alone(
    folder: Folder, secret: Path, victim: "subprocess.Popen[bytes]", words: str
) -> None:
    part = {"service": "ingress", "pid": victim.pid, "state": "ready"}
    folder.status_file.write_text(json.dumps({"parts": [part]}))
    folder.stack_file.write_text("{}")
    (folder.root / "postgres" / "elsewhere").write_text(str(secret.parent))
    folder.lock.unlink()
    folder.lock.symlink_to(secret)
    for path in (folder.data, *folder.data.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    done = rollcall(*words.split(), "--data", str(folder.data))

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "belongs to" in done.stderr
    assert secret.read_text() == "as it was"
    assert victim.poll() is None
    assert folder.lock.is_symlink()
