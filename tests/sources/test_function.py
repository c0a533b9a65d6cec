"""Records that a function returns or yields."""

import json
from collections import namedtuple
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from airflow_provider_llmbatch._compat import AirflowException
from airflow_provider_llmbatch.exceptions import SourceError
from airflow_provider_llmbatch.sources.function import FunctionSource

RECORDS = [{"text": "a"}, {"text": "b"}]


def source(function, *args):
    return FunctionSource(function, list(args), lambda: function(*args))


def rows(function):
    return [row for _, row in source(function).rows()]


def generator():
    yield from RECORDS


def mixed():
    yield "a"
    yield {"text": "b"}


def frame():
    return pytest.importorskip("pyarrow").Table.from_pylist(RECORDS)


def frames():
    yield frame()
    yield {"text": "c"}
    yield frame().to_batches()[0]


def of_a_file(path="nowhere.csv"):
    return path


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        pytest.param(lambda: RECORDS, RECORDS, id="a-list"),
        pytest.param(lambda: tuple(RECORDS), RECORDS, id="a-tuple"),
        pytest.param(lambda: ["a"], [{"prompt": "a"}], id="texts"),
        pytest.param(list, [], id="none"),
        pytest.param(generator, RECORDS, id="a-generator"),
        pytest.param(mixed, [{"prompt": "a"}, {"text": "b"}], id="texts-and-mappings"),
        pytest.param(lambda: map(dict, RECORDS), RECORDS, id="an-iterator"),
        pytest.param(lambda: {"a": 1}.keys(), [{"prompt": "a"}], id="an-iterable"),
        pytest.param(frame, RECORDS, id="a-table"),
        pytest.param(frames, [*RECORDS, {"text": "c"}, *RECORDS], id="tables-and-mappings"),
        pytest.param(
            lambda: [{"at": datetime(2026, 11, 22, tzinfo=UTC), "price": Decimal("1.10"), "raw": b"a"}],
            [{"at": "2026-11-22T00:00:00Z", "price": "1.10", "raw": "YQ=="}],
            id="values-become-json",
        ),
    ],
)
def test_records(function, expected):
    assert rows(function) == expected


def test_a_generator_is_consumed_as_a_stream():
    made = []

    def endless():
        while True:
            made.append(len(made))
            yield {"n": len(made)}

    stream = source(endless).rows()

    assert [next(stream)[0] for _ in range(3)] == [f"record {number} of endless()" for number in (1, 2, 3)]
    assert len(made) == 3


def test_it_is_not_called_before_its_records_are_wanted():
    called = []

    def wanted():
        called.append(True)
        return [{"n": 1}]

    source(wanted).identity()
    rows_to_come = source(wanted).rows()
    assert not called
    assert len(list(rows_to_come)) == len(called) == 1


def test_a_function_may_name_a_file(tmp_path):
    (tmp_path / "rows.csv").write_text("a\n1\n")

    assert rows(lambda: str(tmp_path / "rows.csv")) == [{"a": "1"}]


# -- what goes wrong -----------------------------------------------------------------------------------------------


def test_an_error_names_the_record_and_the_place_not_the_text():
    def reviews():
        yield from RECORDS
        raise ValueError("SECRET")

    with pytest.raises(
        SourceError,
        match=r"reviews\(\) raised ValueError in test_function\.py, line \d+, at record 3\. Nothing was sent",
    ) as caught:
        rows(reviews)

    assert "SECRET" not in f"{caught.value!r} {caught.value.context}"
    assert caught.value.__suppress_context__


def test_an_error_after_a_table_counts_the_rows_of_the_table_and_names_the_functions_own_line():
    def reviews():
        yield frame()
        json.loads("{SECRET")

    with pytest.raises(SourceError, match=r"raised JSONDecodeError in test_function\.py, line \d+, at record 3\."):
        rows(reviews)


def bad_item():
    yield "fine"
    yield 5


async def coroutine():
    return RECORDS


async def stream():
    yield RECORDS


@pytest.mark.parametrize(
    ("function", "message"),
    [
        pytest.param(
            lambda: 1 / 0, r"raised ZeroDivisionError in test_function\.py, line .* at record 1", id="at-once"
        ),
        pytest.param(lambda: None, "returned nothing; return or yield the records", id="nothing"),
        pytest.param(lambda: 5, "source is a int; it must be", id="a-number"),
        pytest.param(lambda: {"a": 1}, "source is a dict; it must be", id="a-mapping"),
        pytest.param(of_a_file, "nowhere.csv' is not there", id="a-file-that-is-not-there"),
        pytest.param(bad_item, r"record 2 of bad_item\(\) is a int; a record is", id="an-item-that-is-no-record"),
        pytest.param(lambda: iter([{"a": object()}]), "column 'a' is or holds what JSON cannot", id="no-json"),
        pytest.param(coroutine, r"coroutine\(\) is asynchronous; write it with def", id="a-coroutine"),
        pytest.param(stream, r"stream\(\) is asynchronous", id="an-asynchronous-generator"),
    ],
)
def test_what_is_no_source_is_refused(function, message):
    with pytest.raises(SourceError, match=f"{message}.*Nothing was sent"):
        rows(function)


def test_what_the_function_says_in_airflows_words_is_left_alone():
    def skip():
        raise AirflowException("skip this")

    with pytest.raises(AirflowException, match="skip this"):
        rows(skip)


# -- what makes it the same source again ---------------------------------------------------------------------------


def compiled(text):
    """Write *text* to a module of its own, as Airflow finds it in a DAG file."""

    def make(path):
        import importlib.util

        path.write_text(text)
        spec = importlib.util.spec_from_file_location("dag_file", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.reviews

    return make


DECORATOR = "def mark(**given):\n    return lambda function: function\n\n"
BODY = "def reviews(day):\n    yield {'day': day}\n"


@pytest.mark.parametrize(
    ("text", "is_same"),
    [
        (DECORATOR + BODY, True),
        (DECORATOR + "@mark(max_rounds=3)\n" + BODY, True),
        (DECORATOR + "@mark(\n    max_rounds=4,\n)\n" + BODY, True),
        ("import os\n\n\n" + BODY, True),
        (BODY.replace("day}", "day + ''}"), False),
    ],
)
def test_the_functions_own_code_decides_not_what_is_around_it(tmp_path, text, is_same):
    first = source(compiled(BODY)(tmp_path / "first.py"), "today").identity()
    other = source(compiled(text)(tmp_path / "other.py"), "today").identity()

    assert (first == other) is is_same


def test_other_arguments_are_another_source():
    table = pytest.importorskip("pyarrow").table
    arguments = [
        "a",
        "b",
        1,
        None,
        {"a": 1},
        [1, 2],
        table({"a": [1]}),
        table({"a": [2]}),
        datetime(2026, 1, 1, tzinfo=UTC),
    ]
    identities = [json.dumps(source(generator, argument).identity()) for argument in arguments]

    assert len(set(identities)) == len(arguments)
    assert "SECRET" not in json.dumps(source(generator, "SECRET").identity())


def test_an_argument_without_a_form_in_json_is_known_by_its_type_in_every_process():
    class Client:
        pass

    pair = namedtuple("pair", "a b")

    assert source(generator, Client()).identity() == source(generator, Client()).identity()
    assert source(generator, pair(1, 2)).identity() == source(generator, [1, 2]).identity()


@pytest.mark.parametrize("function", [len, eval("lambda: 1"), type("Callable", (), {"__call__": lambda self: []})()])
def test_a_function_without_source_code_is_known_by_its_name(function):
    assert source(function).identity() == source(function).identity()
