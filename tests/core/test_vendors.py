"""The part before the colon: which vendors there are, and how a model names one."""

import pytest

from airflow_provider_llmbatch import vendors as registry
from airflow_provider_llmbatch.exceptions import InputError, UnknownVendorError
from airflow_provider_llmbatch.vendors import VENDORS, hook_path, split_model, vendors


class Point:
    """An entry point as the standard library gives it."""

    def __init__(self, name, value):
        self.name = name
        self.value = value


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("openai:gpt-6-luna", ("openai", "gpt-6-luna")),
        ("anthropic:claude-haiku-5-5", ("anthropic", "claude-haiku-5-5")),
        ("openai:ft:gpt-4o:acme::abc", ("openai", "ft:gpt-4o:acme::abc")),
        ("openai:", ("openai", "")),
    ],
    ids=["openai", "anthropic", "fine-tuned", "the-connections-own-model"],
)
def test_split_model(model, parts):
    assert split_model(model) == parts


@pytest.mark.parametrize("model", ["", "gpt-6-luna", ":gpt-6-luna", ":"])
def test_a_model_without_a_vendor_is_refused_with_an_example(model):
    with pytest.raises(InputError, match=r"must read '<vendor>:<model>', for example 'openai:.*Nothing was sent"):
        split_model(model)


@pytest.mark.parametrize("vendor", ["nobody", "OpenAI", "openai "])
def test_an_unknown_vendor_is_refused_with_those_there_are(vendor):
    with pytest.raises(UnknownVendorError, match=r"there are anthropic, openai.*Nothing was sent") as caught:
        split_model(f"{vendor}:m")

    assert caught.value.context == {"vendor": vendor}


def test_another_package_can_add_a_vendor_and_cannot_replace_ours(monkeypatch):
    points = [Point("third", "elsewhere.hooks:ThirdHook"), Point("openai", "elsewhere.hooks:NotOurs")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)

    assert vendors() == VENDORS | {"third": "elsewhere.hooks:ThirdHook"}
    assert split_model("third:m") == ("third", "m")


@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_a_vendors_hook_lives_in_a_module_of_its_name(vendor):
    module, _, name = hook_path(vendor).partition(":")

    assert module == f"airflow_provider_llmbatch.hooks.{vendor}"
    assert name.endswith("BatchHook")
