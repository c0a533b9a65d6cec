"""The environment of every test: a fresh AIRFLOW_HOME, set before anything imports Airflow."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import ssl
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from airflow_provider_llmbatch.emulator import Emulator
    from tests.bench import Bench
    from tests.s3 import Server

HOME = Path(tempfile.mkdtemp(prefix="llmbatch-tests-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
SEED = 7
REPO = Path(__file__).resolve().parent.parent

os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    AIRFLOW__CORE__DAGS_FOLDER=str(REPO / "example_dags"),
    # Airflow 2 refuses the local executor on SQLite; Airflow 3 has no sequential one.
    AIRFLOW__CORE__EXECUTOR="SequentialExecutor" if version("apache-airflow").startswith("2.") else "LocalExecutor",
    AIRFLOW__LOGGING__LOGGING_LEVEL="INFO",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{HOME / 'airflow.db'}",
)
for name in [name for name in os.environ if name.startswith("AIRFLOW_CONN_")]:
    del os.environ[name]

# The same on a slow machine as on a fast one; and fewer where the whole number is tried elsewhere.
settings.register_profile("untimed", deadline=None)
settings.register_profile("few", deadline=None, max_examples=20)
settings.load_profile("untimed")


AIRFLOW = ("system", "examples")
"""Folders whose tests share an Airflow."""
LONG = (*AIRFLOW, "benchmarks", "operators", "engine")
"""Folders with tests that take long: they start first, so that no process works alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long ones."""
    items.sort(key=lambda item: LONG.index(item.path.parent.name) if item.path.parent.name in LONG else len(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in one process, where tests run in several, and those that share an Airflow in one.

    ``--dist loadgroup`` would do, but pytest 9.2 no longer lets pytest-xdist 3.8 put a group into a test's name.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = Path(nodeid.partition("::")[0])
            return path.parent.name if path.parent.name in AIRFLOW else str(path)

    return Together(config, log)


@pytest.fixture(scope="session", autouse=True)
def _read_once() -> Iterator[None]:
    """Keep what every new hook and client reads from the disk: entry points and certificates. No test speaks TLS.

    Reading them takes longer than most steps of a job.
    """
    from airflow_provider_llmbatch import vendors

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vendors, "entry_points", functools.cache(vendors.entry_points))
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(autouse=True)
def _our_loggers_speak() -> None:
    """Airflow's database set-up, in whatever test ran before, switches off every logger that it does not know."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("airflow_provider_llmbatch") and isinstance(logger, logging.Logger):
            logger.disabled = False


@pytest.fixture(scope="session")
def _emulator() -> Iterator[Emulator]:
    from airflow_provider_llmbatch.emulator import Emulator

    with Emulator(port=0, seed=SEED) as running:
        yield running


@pytest.fixture
def emulator(_emulator: Emulator) -> Emulator:
    """A clean emulator: no batches, no faults, an empty bill, and the options it began with."""
    from airflow_provider_llmbatch.emulator.options import Options

    _emulator.reset()
    _emulator.clear_faults()
    _emulator.set_options(**asdict(Options(seed=SEED)))
    return _emulator


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    """The only S3 of a test run: Airflow keeps one client per connection for as long as the process lives."""
    for module in ("moto", "airflow.providers.amazon"):
        pytest.importorskip(module, reason="the group `storage` is not installed")
    from tests.s3 import Server

    server = Server()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """An empty bucket, and the connection to it."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", s3_server.connection)
    s3_server.control("reset")
    return s3_server


@pytest.fixture(params=["anthropic", "openai", "toy"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Every vendor in turn; the toy is registered by the one line that any third vendor needs."""
    from airflow_provider_llmbatch.vendors import VENDORS
    from tests.bench import MODELS, Bench

    monkeypatch.setitem(VENDORS, "toy", "tests.contract.toy:ToyBatchHook")
    if request.param == "toy":
        (tmp_path / "toy").mkdir()
        found = Bench("toy", MODELS["toy"], f"file://{tmp_path}/toy", lambda: time.sleep(0.35), monkeypatch)
    else:
        emulator = request.getfixturevalue("emulator")
        host = emulator.openai_url if request.param == "openai" else emulator.anthropic_url
        found = Bench(request.param, MODELS[request.param], host, lambda: emulator.advance(3600), monkeypatch)
    found.connect()
    return found
