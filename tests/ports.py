"""A port for a server that needs its number before it starts."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST: Final = 10_000


def free_port() -> int:
    """Return a port of loopback that is free, and stays so until the server takes it, seconds later.

    The kernel gives the ports of its own range to every connection and to every server that asks for any port, of
    which the tests beside this one have many. So this one is below that range; processes begin at different places.
    """
    end = int(_RANGE.read_text().split()[0])
    n_ports = end - _FIRST
    for step in range(n_ports):
        port = _FIRST + (97 * os.getpid() + step) % n_ports
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError(f"a server listens on every port from {_FIRST} to {end}")
