"""Standard output that is gone: nothing raises, and the process ends as it would have."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CODE = """
import sys
from rollcall.observability import output
gone = []
output.survive(on_gone=lambda: gone.append(1))
if sys.stdin.readline() != "the other end has left\\n":
    sys.exit(3)
for n in range(20_000):
    print("a line that nobody reads", n, flush=n % 100 == 0)
    print("and an error", file=sys.stderr)
open(sys.argv[1], "w").write(str(len(gone)))
"""


def closed_pipe() -> tuple[int, Callable[[], None]]:
    """The writing end of a pipe, and what closes the other one."""
    reader, writer = os.pipe()
    return writer, lambda: os.close(reader)


def closed_terminal() -> tuple[int, Callable[[], None]]:
    """A terminal, and what makes it go away."""
    master, slave = pty.openpty()
    return slave, lambda: os.close(master)


def full_disk() -> tuple[int, Callable[[], None]]:
    """A file that takes nothing."""
    return os.open("/dev/full", os.O_WRONLY), lambda: None


def run(code: str, stream: int, leave: Callable[[], None], note: Path) -> int:
    """The exit status of the code, which goes on once the other end has left."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(note)],
        stdin=subprocess.PIPE,
        stdout=stream,
        stderr=stream,
        start_new_session=True,
        text=True,
    )
    os.close(stream)
    leave()
    process.communicate("the other end has left\n", timeout=60)
    return process.returncode


@pytest.mark.parametrize(
    ("make", "times"), [(closed_pipe, "1"), (closed_terminal, "1"), (full_disk, "0")]
)
def test_a_process_continues_when_its_output_has_no_reader(
    make: Callable[[], tuple[int, Callable[[], None]]], times: str, tmp_path: Path
) -> None:
    """It ends with 0, and hears once that the reader is gone; a full disk may come back."""
    stream, leave = make()

    code = run(CODE, stream, leave, tmp_path / "note")

    assert code == 0
    assert (tmp_path / "note").read_text() == times


def test_a_stream_that_was_closed_before_the_start_leads_nowhere(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom rollcall.observability import output\noutput.survive()\n"
        "print('x', sys.stdout.isatty())\nopen(sys.argv[1], 'w').write('done')\n"
    )
    note = tmp_path / "note"

    done = subprocess.run(
        ["bash", "-c", 'exec "$0" -c "$1" "$2" >&- 2>&-', sys.executable, code, str(note)],
        timeout=60,
        check=False,
    )

    assert done.returncode == 0
    assert note.read_text() == "done"


@pytest.mark.parametrize("make", [closed_pipe, closed_terminal, full_disk])
def test_a_service_logs_into_a_log_that_is_gone(
    make: Callable[[], tuple[int, Callable[[], None]]], tmp_path: Path
) -> None:
    """Its own lines and the libraries'."""
    code = CODE.replace(
        'print("and an error", file=sys.stderr)',
        'logger.info("batch.applied", n=n); library.warning("line %d", n)',
    )
    code = (
        "import logging as standard\nfrom rollcall.observability import logging\n"
        "logging.configure('ingress', level='info', log_format='json')\n"
        "logger = logging.get_logger()\nlibrary = standard.getLogger('a.library')\n"
    ) + code.replace("20_000", "200")
    stream, leave = make()

    assert run(code, stream, leave, tmp_path / "note") == 0
    assert (tmp_path / "note").exists()
