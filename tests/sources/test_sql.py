"""Records that a query finds, on SQLite."""

import json
import pickle
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from airflow_provider_llmbatch._compat import BaseOperator
from airflow_provider_llmbatch.exceptions import SourceError
from airflow_provider_llmbatch.operators.job import LLMBatchJobOperator
from airflow_provider_llmbatch.sources import SqlSource, open_source
from airflow_provider_llmbatch.sources.sql import FETCHED

pytest.importorskip("airflow.providers.sqlite")

ROWS = [(1, "good", 4.5, b"\x00\xff"), (2, None, None, None), (3, "größe 東京", -1.0, b"")]


@pytest.fixture
def database(tmp_path, monkeypatch):
    """A table of reviews behind the connection ``shop``."""
    path = tmp_path / "shop.db"
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    monkeypatch.setenv("AIRFLOW_CONN_VENDOR", json.dumps({"conn_type": "llmbatch_openai", "password": "x"}))
    monkeypatch.setenv("AIRFLOW_CONN_ODD", json.dumps({"conn_type": "no-such-type"}))
    with closing(sqlite3.connect(path)) as shop:
        shop.execute("create table reviews (id integer, text text, stars real, picture blob)")
        shop.executemany("insert into reviews values (?, ?, ?, ?)", ROWS)
        shop.commit()
    return path


def rows(*given):
    return list(SqlSource("shop", *given).rows())


def test_rows_have_the_columns_of_the_query_in_their_order(database):
    found = rows("select text, id, stars as rating, picture from reviews order by id")

    assert found == [
        ("row 1 of the query on 'shop'", {"text": "good", "id": 1, "rating": 4.5, "picture": "AP8="}),
        ("row 2 of the query on 'shop'", {"text": None, "id": 2, "rating": None, "picture": None}),
        ("row 3 of the query on 'shop'", {"text": "größe 東京", "id": 3, "rating": -1.0, "picture": ""}),
    ]
    assert list(found[0][1]) == ["text", "id", "rating", "picture"]


def test_more_rows_than_the_database_answers_at_once(database):
    query = f"with recursive n(n) as (select 0 union all select n + 1 from n where n < {2 * FETCHED}) select n from n"

    assert [row["n"] for _, row in rows(query)] == list(range(2 * FETCHED + 1))


@pytest.mark.parametrize("parameters", [(2,), [2], {"least": 2}])
def test_the_driver_puts_in_the_parameters(database, parameters):
    place = ":least" if isinstance(parameters, dict) else "?"

    assert [row["id"] for _, row in rows(f"select id from reviews where id >= {place}", parameters)] == [2, 3]


def test_a_query_that_finds_nothing_has_no_records(database):
    assert rows("select * from reviews where id > 9") == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("shop", "select id, id from reviews"), "it returns 'id' more than once.*with AS"),
        (("shop", "select id, id from reviews where id > 9"), "it returns 'id' more than once"),
        (("shop", "create table more (id integer)"), "it returns no rows by its nature"),
        (("shop", "select id from reviews where id > ?", (1, 2)), "ProgrammingError: Incorrect number of bindings"),
        (("nowhere", "select 1"), "the connection cannot be read, or the provider of its type is not installed"),
        (("odd", "select 1"), "the connection cannot be read, or the provider of its type is not installed"),
        (("vendor", "select 1"), "does not lead to a database"),
    ],
)
def test_what_cannot_be_a_source_is_told_before_anything_is_sent(database, given, message):
    with pytest.raises(SourceError, match=f"the query on '{given[0]}': .*{message}.*Nothing was sent"):
        list(SqlSource(*given).rows())


def test_an_error_that_may_pass_is_left_to_airflows_retries(database):
    """SQLite calls a missing table what it also calls a locked file."""
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        rows("select * from nowhere")


def test_a_query_is_known_by_its_text_not_by_what_it_finds(database):
    identity = SqlSource("shop", "select * from reviews").identity()
    with closing(sqlite3.connect(database)) as shop:
        shop.execute("delete from reviews")
        shop.commit()

    assert SqlSource("shop", "select * from reviews").identity() == identity
    assert identity == {"kind": "sql", "conn_id": "shop", "sql": "select * from reviews", "parameters": None}
    others = [("shop", "select 1"), ("store", "select * from reviews"), ("shop", "select * from reviews", (1,))]
    assert all(SqlSource(*other).identity() != identity for other in others)
    assert json.dumps(SqlSource("shop", "select 1", {"at": datetime(2026, 11, 22, tzinfo=UTC)}).identity())


def test_it_is_a_value():
    source = SqlSource(conn_id="shop", sql="select 1")

    assert pickle.loads(pickle.dumps(source)) == source
    assert open_source(source) is source
    assert len({source, SqlSource("shop", "select 1")}) == 1
    with pytest.raises(AttributeError):
        source.sql = "select 2"


def test_airflow_renders_its_texts_for_each_task_anew():
    source = SqlSource("{{ params.shop }}", "select * from reviews where day = '{{ ds }}'", {"least": "{{ ds }}"})

    def rendered(day):
        task = LLMBatchJobOperator(task_id="ask", model="openai:gpt-6-luna", source=source)
        assert isinstance(task, BaseOperator)
        task.render_template_fields({"ds": day, "params": {"shop": "shop"}})
        return task.source

    assert rendered("2026-11-22") == SqlSource(
        "shop", "select * from reviews where day = '2026-11-22'", {"least": "2026-11-22"}
    )
    assert rendered("2026-11-23").parameters == {"least": "2026-11-23"}
    assert isinstance(rendered("2026-11-22"), SqlSource)
    assert source.conn_id == "{{ params.shop }}"
