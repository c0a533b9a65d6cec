"""A connection, however it is written: form, JSON or URI, of whatever type."""

import json

import pytest

from airflow_provider_llmbatch.exceptions import InputError
from airflow_provider_llmbatch.hooks.openai import OpenAIBatchHook
from airflow_provider_llmbatch.hooks.settings import Settings, default_model
from airflow_provider_llmbatch.vendors import VENDORS, hook_class, load_hook
from tests.hooks.conftest import KEY


@pytest.fixture
def read(monkeypatch):
    """Set up a connection and return what the hook makes of it."""

    def settings(connection):
        text = connection if isinstance(connection, str) else json.dumps({"conn_type": "generic", **connection})
        monkeypatch.setenv("AIRFLOW_CONN_ONE", text)
        return OpenAIBatchHook("one").settings

    return settings


@pytest.mark.parametrize(
    ("connection", "base_url"),
    [
        pytest.param({}, None, id="the-vendors-own"),
        pytest.param({"host": ""}, None, id="empty-host"),
        pytest.param({"host": "https://gw.example/v1/"}, "https://gw.example/v1", id="whole-address"),
        pytest.param({"host": "http://127.0.0.1:8080/v1"}, "http://127.0.0.1:8080/v1", id="address-with-port"),
        pytest.param({"host": "http://127.0.0.1", "port": 8080}, "http://127.0.0.1:8080", id="port-apart"),
        pytest.param({"host": "http://gw/v1", "port": 8080}, "http://gw:8080/v1", id="port-apart-from-a-path"),
        pytest.param({"host": "gw.example"}, "https://gw.example", id="a-bare-host-is-https"),
        pytest.param({"host": "gw.example", "port": 8443}, "https://gw.example:8443", id="bare-host-and-port"),
        pytest.param({"host": "gw.example/v1"}, "https://gw.example/v1", id="bare-host-and-path"),
        pytest.param({"host": "gw.example", "schema": "http"}, "http://gw.example", id="protocol-in-schema"),
        pytest.param({"host": "gw.example", "schema": "v1"}, "https://gw.example/v1", id="path-in-schema"),
        pytest.param("openai://:k@gw.example:8443/v1", "https://gw.example:8443/v1", id="uri"),
        pytest.param("openai://http://:k@gw.example:8080/v1", "http://gw.example:8080/v1", id="uri-with-a-protocol"),
        pytest.param("openai://:k@http%3A%2F%2Fgw%3A8080%2Fv1/", "http://gw:8080/v1", id="uri-with-a-quoted-address"),
        pytest.param("openai://:k@/", None, id="uri-without-a-host"),
    ],
)
def test_base_url(read, connection, base_url):
    given = connection if isinstance(connection, str) else {"password": KEY, **connection}

    assert read(given).base_url == base_url


@pytest.mark.parametrize("conn_type", ["generic", "openai", "pydanticai", "http", "llmbatch_openai"])
def test_the_type_of_a_connection_does_not_matter(read, conn_type):
    assert read({"conn_type": conn_type, "password": KEY}).api_key == KEY


def test_a_uri_carries_a_key_that_needs_quoting(read):
    assert read("generic://:sk%2Fa%40b%3Ac@").api_key == "sk/a@b:c"


def test_a_connection_with_nothing_but_a_key_has_the_vendors_own_habits(read):
    assert read({"password": KEY}) == Settings(
        api_key=KEY, purpose="batch", completion_window="24h", list_mode="cursor", keep_remote_files=False
    )


EXTRA = {
    "admin_key": "sk-admin-1",
    "organization": "org-1",
    "project": "proj_1",
    "purpose": "batch-api",
    "completion_window": "1h",
    "list_mode": "offset",
    "max_requests": "100",
    "max_bytes": 1000,
    "keep_remote_files": True,
    "client_kwargs": {"max_retries": 5},
    "something_of_another_package": 1,
}


@pytest.mark.parametrize("extra", [EXTRA, json.dumps(EXTRA)], ids=["mapping", "text"])
def test_what_a_look_alike_needs_stands_in_the_extra(read, extra):
    found = read({"password": KEY, "extra": extra})

    assert found == Settings(
        api_key=KEY,
        admin_key="sk-admin-1",
        organization="org-1",
        project="proj_1",
        purpose="batch-api",
        completion_window="1h",
        list_mode="offset",
        max_requests=100,
        max_bytes=1000,
        keep_remote_files=True,
        client_kwargs={"max_retries": 5},
    )


@pytest.mark.parametrize(
    ("written", "read_as"), [(True, True), ("true", True), ("True", True), (1, True), ("no", False), (False, False)]
)
def test_a_switch_may_be_written_as_people_write_it(read, written, read_as):
    assert read({"password": KEY, "extra": {"keep_remote_files": written}}).keep_remote_files is read_as


@pytest.mark.parametrize(
    "extra",
    [
        {"max_requests": "many"},
        {"max_requests": -1},
        {"max_bytes": [1]},
        {"client_kwargs": "max_retries=5"},
        {"list_mode": "sometimes"},
    ],
    ids=str,
)
def test_an_extra_that_does_not_fit_is_refused_before_anything_is_sent(read, extra):
    with pytest.raises(InputError, match=r"connection 'one': its host or extra does not fit.*Nothing was sent"):
        read({"password": KEY, "extra": extra})


def test_a_port_that_is_none_is_refused(read):
    with pytest.raises(InputError, match="its host or extra does not fit"):
        read({"password": KEY, "host": "http://gw:http", "port": 80})


@pytest.mark.parametrize("connection", [{}, {"password": ""}, {"password": None}, {"login": KEY}])
def test_a_connection_without_a_key_is_refused(read, connection):
    with pytest.raises(InputError, match=r"'one' holds no API key: its password is empty\. Nothing was sent"):
        read(connection)


def test_a_connection_that_is_not_there_is_named_with_how_to_create_it():
    with pytest.raises(InputError, match=r"'nowhere' cannot be read .*Nothing was sent.*AIRFLOW_CONN_NOWHERE="):
        _ = OpenAIBatchHook("nowhere").settings


def test_a_connection_is_read_once(read, monkeypatch):
    read({"password": KEY})
    hook = OpenAIBatchHook("one")
    first = hook.settings
    monkeypatch.delenv("AIRFLOW_CONN_ONE")

    assert hook.settings is first


def test_neither_a_key_nor_the_clients_arguments_are_shown(read):
    extra = {"admin_key": "sk-admin-1", "client_kwargs": {"default_headers": {"x-secret": "SECRET"}}}
    found = read({"password": KEY, "extra": extra})

    assert KEY not in repr(found)
    assert "sk-admin-1" not in repr(found)
    assert "SECRET" not in repr(found)


def test_a_connection_may_name_the_model(read):
    read({"password": KEY, "extra": {"model": "openai:gpt-6-luna"}})
    assert default_model("one") == "openai:gpt-6-luna"

    read({"password": KEY})
    assert default_model("one") == default_model(None) == ""

    with pytest.raises(InputError, match=r"'nowhere' cannot be read.*Nothing was sent"):
        default_model("nowhere")


# -- from a vendor's name to its hook ---------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_a_vendors_hook_is_loaded_by_its_name_with_its_usual_connection(vendor):
    hook = load_hook(vendor)

    assert type(hook) is hook_class(vendor)
    assert hook.vendor == vendor
    assert hook.conn_id == f"{vendor}_default"
    assert load_hook(vendor, "another").conn_id == "another"


@pytest.mark.parametrize(
    ("own", "requests", "size"),
    [({}, 50_000, 200_000_000), ({"max_requests": 10}, 10, 200_000_000), ({"max_bytes": 10**12}, 50_000, 200_000_000)],
)
def test_a_connections_limits_only_lower_the_vendors(read, own, requests, size):
    limits = read({"password": KEY, "extra": own}).lower(OpenAIBatchHook.LIMITS)

    assert (limits.max_requests, limits.max_bytes) == (requests, size)
