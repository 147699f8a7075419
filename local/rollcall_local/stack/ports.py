"""Choose free ports once and keep them.

Ports come from below the range that the system hands out to outgoing connections. A client that
keeps calling a broker that was killed could otherwise be given that very port as its own, connect
to itself, and so keep the broker from coming back.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable
from pathlib import Path

_LOWEST = 15000
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


def choose(taken: Iterable[int] = ()) -> int:
    """Return a port that is free now and not among `taken`.

    Raises RuntimeError when no free one is found, which takes a machine with thousands of servers.
    """
    unwanted = set(taken)
    picker = random.SystemRandom()
    for _ in range(500):
        port = picker.randrange(_LOWEST, _highest())
        if port not in unwanted and is_free(port):
            return port
    raise RuntimeError("no free port found")
