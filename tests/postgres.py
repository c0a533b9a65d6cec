"""A PostgreSQL server on this machine, thrown away afterwards: real types, real transactions, real refusals."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "airflow"
DATABASE = "postgres"
_DEBIAN = Path("/usr/lib/postgresql")


def binaries() -> Path | None:
    """Return where ``initdb`` lies, of the newest release; ``None`` if PostgreSQL is not installed."""
    on_path = shutil.which("initdb")
    releases = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return Path(on_path).parent if on_path else releases[-1].parent if releases else None


@contextmanager
def server() -> Iterator[str]:
    """Start a server on a free port of 127.0.0.1, and stop it; yield the URI of an Airflow connection."""
    found = binaries()
    assert found is not None, "PostgreSQL is not installed"
    folder = Path(tempfile.mkdtemp(prefix="llmbatch-postgres-"))
    data, port = folder / "data", _free_port()
    try:
        if getpass.getuser() == "root":  # which PostgreSQL refuses to run as
            shutil.chown(folder, "postgres")
        _run(found / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        options = f"-h 127.0.0.1 -p {port} -k {folder} -F"
        _run(found / "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start")
        try:
            yield f"postgresql://{USER}@127.0.0.1:{port}/{DATABASE}"
        finally:
            _run(found / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str | Path) -> None:
    user = "postgres" if os.getuid() == 0 else None
    subprocess.run([str(word) for word in command], cwd="/", check=True, user=user, stdout=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
