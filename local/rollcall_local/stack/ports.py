"""Choose free ports once and keep them.

Ports come from below the range that the system hands out to outgoing connections. A client that
keeps calling a broker that was killed could otherwise be given that very port as its own, connect
to itself, and so keep the broker from coming back.

Some time passes between the choice and the server that listens there. Until then a datagram socket
of the same number, which no server of ours uses, says to every other chooser on this machine that
the port is spoken for.
"""

from __future__ import annotations

import collections
import os
import random
import socket
from collections.abc import Iterable
from pathlib import Path

_LOWEST = 15000
_REMEMBERED = 256
"""Choices that a process holds; the oldest have their servers by then."""
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def _highest() -> int:
    try:
        lowest_outgoing = int(_RANGE_FILE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        lowest_outgoing = 32768
    return lowest_outgoing if lowest_outgoing > _LOWEST + 2000 else 32768


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server could listen on that port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection that lingers after its end does not take the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def is_open(port: int, host: str = "127.0.0.1", timeout_s: float = 0.5) -> bool:
    """Return whether a server accepts connections on that port."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def greets(port: int, host: str = "127.0.0.1", timeout_s: float = 1.0) -> bool:
    """Return whether the server on that port speaks first, as one for SMTP does."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            return connection.recv(100).startswith(b"220")
    except OSError:
        return False


_spoken_for: collections.deque[int] = collections.deque()
"""Descriptors of the datagram sockets, oldest first; the system closes them with the process."""


def _speak_for(port: int, host: str = "127.0.0.1") -> bool:
    """Hold the port for this process. Returns False where another process holds it."""
    mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        mark.bind((host, port))
    except OSError:
        mark.close()
        return False
    _spoken_for.append(mark.detach())
    while len(_spoken_for) > _REMEMBERED:
        os.close(_spoken_for.popleft())
    return True


def choose(taken: Iterable[int] = ()) -> int:
    """Return a port that is free now, not among `taken`, and given to nobody else meanwhile.

    It stays this process's while it runs, or until it has chosen 256 others.

    Raises RuntimeError when no free one is found, which takes a machine with thousands of servers.
    """
    unwanted = set(taken)
    picker = random.SystemRandom()
    for _ in range(500):
        port = picker.randrange(_LOWEST, _highest())
        if port not in unwanted and is_free(port) and _speak_for(port):
            return port
    raise RuntimeError("no free port found")
