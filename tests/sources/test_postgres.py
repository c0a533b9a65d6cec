"""Records that a query finds, on a real PostgreSQL that lives as long as these tests."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from airflow_provider_llmbatch.exceptions import SourceError
from airflow_provider_llmbatch.sources import SqlSource

pytest.importorskip("airflow.providers.postgres", reason="apache-airflow-providers-postgres is not installed")
PLACES = [Path(place) for place in os.get_exec_path()] + sorted(Path("/usr/lib/postgresql").glob("*/bin"))
BIN = next((place for place in reversed(PLACES) if (place / "initdb").exists()), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BIN is None, reason="PostgreSQL is not installed (apt-get install postgresql)"),
]
USER = "postgres"


def run(*command: str) -> None:
    """Run one of PostgreSQL's programs; it refuses to be root."""
    as_user = ["runuser", "-u", USER, "--"] if getpass.getuser() == "root" else []
    given = [*as_user, str(BIN / command[0]), *command[1:]]
    subprocess.run(given, check=True, capture_output=True, timeout=60, cwd="/")


@pytest.fixture(scope="module")
def server():
    """A new cluster on a free port of this machine; return the port."""
    with tempfile.TemporaryDirectory(prefix="llmbatch-postgres-") as folder:  # pytest's own are closed to others
        if getpass.getuser() == "root":
            shutil.chown(folder, USER)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        run("initdb", "-D", f"{folder}/data", "-U", USER, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
        yield port
        run("pg_ctl", "-D", f"{folder}/data", "-w", "-m", "immediate", "stop")


@pytest.fixture
def database(server, monkeypatch):
    """The connection ``shop``, and a way to ask the server something beside the source."""
    document = {"conn_type": "postgres", "host": "127.0.0.1", "port": server, "login": USER, "schema": USER}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(document))
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    return PostgresHook("shop")


def rows(*given):
    return [row for _, row in SqlSource("shop", *given).rows()]


def test_every_type_becomes_what_json_has(database):
    assert rows(
        """
        select 1 as number, 2.50::numeric as price, 'größe' as text, null as nothing, true as truth,
               'NaN'::float as nan, timestamp '2026-11-22 12:00' as at, date '2026-11-22' as day,
               '\\x00ff'::bytea as raw, '{"a": [1, null]}'::jsonb as json, array['x', 'y'] as list,
               interval '1 day 2 seconds' as span, '00000000-0000-0000-0000-000000000003'::uuid as id
        """
    ) == [
        {
            "number": 1,
            "price": "2.50",
            "text": "größe",
            "nothing": None,
            "truth": True,
            "nan": None,
            "at": "2026-11-22T12:00:00",
            "day": "2026-11-22",
            "raw": "AP8=",
            "json": {"a": [1, None]},
            "list": ["x", "y"],
            "span": "P1DT2S",
            "id": "00000000-0000-0000-0000-000000000003",
        }
    ]


def test_the_rows_wait_at_the_server_until_they_are_wanted(database):
    """The server's own list of open cursors tells: a plain one would have sent a million rows before the first."""
    stream = SqlSource("shop", "select n, repeat('x', 1000) as text from generate_series(1, 1000000) n").rows()
    first = next(stream)
    open_transactions = database.get_first(
        "select count(*) from pg_stat_activity where state = 'idle in transaction' and query like 'FETCH%'"
    )
    stream.close()

    assert first[1]["n"] == 1
    assert open_transactions[0] == 1


def test_all_rows_arrive_in_their_order(database):
    assert [row["n"] for row in rows("select n from generate_series(1, 10001) n")] == list(range(1, 10_002))


@pytest.mark.parametrize("parameters", [(3,), {"least": 3}])
def test_the_driver_puts_in_the_parameters(database, parameters):
    place = "%(least)s" if isinstance(parameters, dict) else "%s"

    assert [row["n"] for row in rows(f"select n from generate_series(1, 4) n where n >= {place}", parameters)] == [3, 4]


def test_a_query_that_finds_nothing_has_no_records(database):
    assert rows("select 1 as a where false") == []


@pytest.mark.parametrize("cursor", ["dictcursor", "namedtuplecursor"])
def test_the_connections_own_kind_of_row_makes_no_difference(database, monkeypatch, server, cursor):
    document = {"conn_type": "postgres", "host": "127.0.0.1", "port": server, "login": USER, "schema": USER}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({**document, "extra": {"cursor": cursor}}))

    assert rows("select 1 as a, 'x' as b") == [{"a": 1, "b": "x"}]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select * from nowhere", r'UndefinedTable: relation "nowhere" does not exist'),
        ("selec 1", "SyntaxError: syntax error at or near"),
        ("create table t (a int)", "SyntaxError"),
        ("select 1 as a, 2 as a", "it returns 'a' more than once"),
    ],
)
def test_a_wrong_query_is_told_in_the_databases_words(database, query, message):
    with pytest.raises(SourceError, match=f"(?s)the query on 'shop': {message}.*Nothing was sent"):
        rows(query)


def test_an_error_about_the_data_does_not_quote_it(database):
    with pytest.raises(SourceError, match=r"InvalidTextRepresentation.*Nothing was sent") as caught:
        rows("select cast(text as integer) from (values ('SECRET')) t(text)")

    assert "SECRET" not in str(caught.value)
