"""Become another program that cannot outlive its parent. Run by `process`, never imported.

    python -I -S launch.py PARENT UID GID COMMAND…

Linux tells a process when its parent dies (PR_SET_PDEATHSIG), even of a SIGKILL that the parent
never sees. The mark is lost when the user changes and kept by exec, hence the order here. It is
set in a process of its own and not between fork and exec, where Python code can deadlock if the
parent has threads. Then this process *is* the command: same id, nothing in between.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Drop to the user (a negative UID: stay), mark, exec."""
    parent, uid, gid = (int(each) for each in sys.argv[1:4])
    command = sys.argv[4:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it died before the mark was set
            sys.exit(1)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, exec would pass that on
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
