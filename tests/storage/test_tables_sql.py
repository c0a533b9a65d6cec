"""Rows in a table of a database: those of one job replace each other, and a load that fails changes nothing."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
import sqlalchemy

from airflow_provider_llmbatch.core.outputs import header
from airflow_provider_llmbatch.core.rows import COLUMNS
from airflow_provider_llmbatch.exceptions import OutputError, RunError
from airflow_provider_llmbatch.storage.tables import check_output, writing
from airflow_provider_llmbatch.storage.tables.columns import Columns
from tests import postgres
from tests.storage.test_tables import OURS, halves, rows_of

JOB, OTHER = "0123456789", "fedcba9876"
NEEDS_POSTGRES = pytest.mark.skipif(postgres.binaries() is None, reason="PostgreSQL is not installed")


@pytest.fixture(scope="module")
def postgres_uri():
    with postgres.server() as uri:
        yield uri


@pytest.fixture(
    params=["sqlite", pytest.param("postgres", marks=[pytest.mark.slow, NEEDS_POSTGRES])],
)
def database(request, tmp_path, monkeypatch):
    """An empty database behind the connection ``warehouse``."""
    pytest.importorskip(f"airflow.providers.{request.param}")
    if request.param == "sqlite":
        uri = f"sqlite:///{tmp_path}/warehouse.db"
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": uri[10:]}))
    else:
        uri = request.getfixturevalue("postgres_uri")
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", uri)
    engine = sqlalchemy.create_engine(uri)
    if request.param == "postgres":
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
    yield engine
    engine.dispose()


def load(rows, job=JOB, uri="sql://warehouse/labels"):
    own = list(dict.fromkeys(name for row in rows for name in row if not name.startswith("llm_")))
    with writing(uri, Columns(header(own)), job) as put:
        put(*halves(*rows))


def table(engine, name="labels"):
    with engine.connect() as connection:
        found = connection.exec_driver_sql(f'SELECT * FROM "{name}" ORDER BY llm_job, llm_index')
        return [dict(row) for row in found.mappings()]


def execute(engine, *statements):
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_a_table_that_is_not_there_is_made_with_the_types_of_the_rows(database):
    records = [{"n": 1, "x": 0.1, "yes": True, "tags": ["a"], "größe (cm)": "ü"}, {"n": 2**62, "x": 2}]
    check_output("sql://warehouse/labels")

    load(rows_of(records))

    first, second = table(database)
    assert list(first) == ["llm_job", *records[0], *COLUMNS]
    assert {**first, "llm_cost_usd": Decimal(first["llm_cost_usd"])} == {
        **OURS,
        **records[0],
        "tags": '["a"]',
        "llm_job": JOB,
        "llm_index": 0,
        "llm_output": "fine",
        "llm_cost_usd": Decimal(OURS["llm_cost_usd"]),
    }
    assert (second["n"], second["x"], second["tags"]) == (2**62, 2.0, None)


def test_the_rows_of_a_job_replace_each_other_and_leave_those_of_others_alone(database):
    load(rows_of([{"n": n} for n in range(2_500)]))
    load(rows_of([{"n": 7}]), job=OTHER)
    before = table(database)

    load(rows_of([{"n": n} for n in range(2_500)]))
    assert table(database) == before

    load(rows_of([{"n": 8}]))
    assert [(row["llm_job"], row["n"]) for row in table(database)] == [(JOB, 8), (OTHER, 7)]


def test_a_load_that_fails_leaves_what_was_there_and_tells_nothing_of_the_rows(database):
    execute(
        database,
        "CREATE TABLE labels (llm_job varchar(64), llm_index bigint, n bigint NOT NULL, text varchar(99), "
        "CHECK (n < 1500))",
    )
    load(rows_of([{"n": 1, "text": "kept"}]))

    with pytest.raises(
        RunError, match=r"were not loaded .*; its rows are as they were\. Everything paid is kept"
    ) as told:
        load(rows_of([{"n": n, "text": "secret"} for n in range(2_000)]))

    assert "secret" not in str(told.value)
    assert told.value.__suppress_context__
    assert [(row["n"], row["text"]) for row in table(database)] == [(1, "kept")]


@pytest.mark.parametrize(
    "database", [pytest.param("postgres", marks=[pytest.mark.slow, NEEDS_POSTGRES])], indirect=True
)
def test_jobs_that_end_at_the_same_time_share_a_new_table(database):
    jobs = [f"{number:010}" for number in range(6)]

    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(lambda _: check_output("sql://warehouse/labels"), jobs))
        list(pool.map(lambda job: load(rows_of([{"n": n} for n in range(50)]), job), jobs))

    assert [row["llm_job"] for row in table(database)] == [job for job in jobs for _ in range(50)]


def test_a_source_that_breaks_off_loads_nothing(database):
    with pytest.raises(KeyboardInterrupt), writing("sql://warehouse/labels", Columns(header([])), JOB) as put:  # noqa: PT012
        put(*halves(rows_of([{}])[0]))
        raise KeyboardInterrupt

    assert not sqlalchemy.inspect(database).has_table("labels")


def test_a_table_of_the_users_own_takes_the_columns_that_it_has(database, caplog):
    execute(
        database,
        "CREATE TABLE labels (llm_job varchar(64), llm_index bigint, llm_output json, note text DEFAULT 'mine', "
        "llm_cost_usd numeric(20, 12))",
    )
    check_output("sql://warehouse/labels")

    load(rows_of([{"n": 1}, {"n": 2}], [{"label": "good"}, None]))

    good, bad = table(database)
    answer = good["llm_output"]
    assert (json.loads(answer) if isinstance(answer, str) else answer) == {"label": "good"}
    assert bad["llm_output"] is None
    with database.connect() as connection:
        nulls = connection.exec_driver_sql("SELECT count(*) FROM labels WHERE llm_output IS NULL")
        assert nulls.scalar() == 1  # and not JSON's own null
    assert good["note"] == "mine"
    assert float(good["llm_cost_usd"]) == pytest.approx(1.23e-5)
    assert "has no column n, llm_key" in caplog.text


@pytest.mark.parametrize("name", ['la"bels', "Labels; DROP TABLE x", "größe", "select", "a%b"])
def test_a_name_is_a_name_and_never_a_statement(database, name):
    uri = f"sql://warehouse/{name}"
    rows = rows_of([{'a"b': 1, "c; --": "x", "d%(e)s": 2, "f:g": 3, "H": 4}])
    check_output(uri)

    load(rows, uri=uri)
    load(rows, uri=uri)

    with database.connect() as connection:
        found = sqlalchemy.Table(name, sqlalchemy.MetaData(), autoload_with=database)
        assert [dict(row) for row in connection.execute(found.select()).mappings()] == [
            {**rows[0], "llm_job": JOB, "llm_cost_usd": found.c.llm_cost_usd.type.python_type(OURS["llm_cost_usd"])}
        ]


def test_a_text_that_the_database_cannot_hold_does_not_stop_the_rows(database):
    load(rows_of([{"text": "a\0b"}], ["c\0d"]))

    row = table(database)[0]
    assert (row["text"], row["llm_output"]) == ("a\ufffdb", "c\ufffdd")


def test_a_schema_stands_before_the_table(database):
    schema = "public" if database.name == "postgresql" else "main"
    check_output(f"sql://warehouse/{schema}.labels")

    load(rows_of([{}]), uri=f"sql://warehouse/{schema}.labels")

    assert len(table(database)) == 1


# -- before anything is sent ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        pytest.param("sql://nowhere/labels", "nowhere", id="no-such-connection"),
        pytest.param("sql://files/labels", "'files' is of no database", id="a-connection-of-no-database"),
        pytest.param("sql://lost/labels", "OperationalError", id="a-database-that-cannot-be-opened"),
        pytest.param("sql://warehouse/narrow", "no column llm_job and no llm_index", id="a-table-without-our-key"),
        pytest.param("sql://warehouse/elsewhere.labels", "(?:unknown database|does not exist)", id="no-such-schema"),
    ],
)
def test_an_output_that_cannot_be_loaded_is_refused(database, monkeypatch, uri, reason):
    monkeypatch.setenv("AIRFLOW_CONN_FILES", json.dumps({"conn_type": "fs"}))
    monkeypatch.setenv("AIRFLOW_CONN_LOST", json.dumps({"conn_type": "sqlite", "host": "/nowhere/at/all.db"}))
    execute(database, "CREATE TABLE narrow (n integer)")

    with pytest.raises(OutputError, match=rf"cannot be written \(.*{reason}.*\)\. Nothing was sent"):
        check_output(uri)


def test_a_check_leaves_nothing_behind(database):
    check_output("sql://warehouse/labels")
    assert sqlalchemy.inspect(database).get_table_names() == []

    load(rows_of([{}]))
    check_output("sql://warehouse/labels")
    assert sqlalchemy.inspect(database).get_table_names() == ["labels"]
    assert len(table(database)) == 1


@pytest.mark.slow
@NEEDS_POSTGRES
@pytest.mark.parametrize("right", ["INSERT", "DELETE", "CREATE"])
def test_a_right_that_is_missing_is_found_before_anything_is_sent(postgres_uri, monkeypatch, right):
    engine = sqlalchemy.create_engine(postgres_uri)
    execute(
        engine,
        "DROP SCHEMA IF EXISTS reports CASCADE",
        "CREATE SCHEMA reports",
        "DROP ROLE IF EXISTS clerk",
        "CREATE ROLE clerk LOGIN",
        "GRANT USAGE ON SCHEMA reports TO clerk",
        "CREATE TABLE reports.labels (llm_job varchar(64), llm_index bigint)",
        f"GRANT SELECT, {'DELETE' if right == 'INSERT' else 'INSERT'} ON reports.labels TO clerk",
    )
    engine.dispose()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", postgres_uri.replace("airflow@", "clerk@"))

    with pytest.raises(OutputError, match=r"InsufficientPrivilege, SQLSTATE 42501.*Nothing was sent"):
        check_output(f"sql://warehouse/reports.{'new' if right == 'CREATE' else 'labels'}")
