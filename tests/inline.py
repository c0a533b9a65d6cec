"""Real Airflow in this process, for ``dag.test()``."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def make_database() -> None:
    """Make Airflow's database, where the settings say it is."""
    from airflow.utils.db import initdb

    initdb()
    if find_spec("airflow.sdk") is not None:
        _keep_the_api_server()


def dag_bag(folder: Path) -> Any:
    """Load a folder of DAGs."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before 3.2
        from airflow.models.dagbag import DagBag

    return DagBag(str(folder))


def _keep_the_api_server() -> None:
    """Let all tasks of a process talk to one API server, as newer Airflows do; 3.1 makes one for each, in seconds."""
    from airflow.sdk.execution_time import supervisor

    if not hasattr(supervisor.in_process_api_server, "cache_info"):
        supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)
