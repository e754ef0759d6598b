"""A real PostgreSQL server of the tests, from Debian's packages, that can be stopped and started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

_DEBIAN: Final = Path("/usr/lib/postgresql")
_SETTINGS: Final = {"fsync": "off", "max_connections": "40", "listen_addresses": "127.0.0.1"}


def find_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`; None if PostgreSQL is not installed."""
    versions = sorted(_DEBIAN.glob("*/bin"), key=lambda path: int(path.parent.name.partition(".")[0]))
    if versions:
        return versions[-1]
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Postgres:
    """A server with one database, `graft`, and its superuser `graft`.

    Args:
        programs: Where its programs are.
        root: An empty folder that any user can reach.
    """

    def __init__(self, programs: Path, root: Path) -> None:
        self._programs = programs
        self._root = root
        self._data = root / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        if not os.geteuid():  # PostgreSQL refuses to run as root
            shutil.chown(root, "nobody", "nogroup")
        self._call("initdb", "--username=graft", "--auth=trust", "--no-sync", str(self._data))
        self.start()

    @property
    def url(self) -> str:
        """The database."""
        return f"postgresql://graft@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
        options = f"-p {self.port} -k {self._root} {settings}"
        self._call("pg_ctl", "-D", str(self._data), "-l", str(self._root / "log"), "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop the server; its connections are lost."""
        self._call("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def _call(self, program: str, *arguments: str) -> None:
        user = {} if os.geteuid() else {"user": "nobody", "group": "nogroup", "extra_groups": ()}
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            cwd=self._root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program == "initdb" else None,
            **user,  # type: ignore[call-overload]
        )
