"""One record's text: the record is data, the template is the author's, and neither reaches further."""

import re

import pytest

from airflow_provider_llmbatch.core.prompts import Prompt
from airflow_provider_llmbatch.core.records import Record
from airflow_provider_llmbatch.exceptions import TemplateError

SECRET = "the patient's diagnosis"


def render(template, context=None, **fields):
    return Prompt(template, context).render(Record(3, "sku-1", fields))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        pytest.param("{{ record.text }}", "good", id="attribute"),
        pytest.param("{{ record['text'] }}", "good", id="item"),
        pytest.param("{{ record.meta.colour }}", "red", id="nested"),
        pytest.param("{% for tag in record.tags %}{{ tag.n }};{% endfor %}", "1;2;", id="loop"),
        pytest.param("{{ record.nope | default('-') }}", "-", id="default-of-a-missing-field"),
        pytest.param("{{ record.meta.nope | default('-') }}", "-", id="default-of-a-missing-nested-field"),
        pytest.param("{% if record.nope is defined %}yes{% else %}no{% endif %}", "no", id="is-defined"),
        pytest.param("{% if 'text' in record %}yes{% endif %}", "yes", id="in"),
        pytest.param("{{ ds }}", "2026-11-22", id="context"),
        pytest.param("a\n{{ record.text }}\n", "a\ngood\n", id="newlines-are-kept"),
        pytest.param("{{ record.none }}", "None", id="null"),
        pytest.param("{{ record.html }}", "<b>&</b>", id="nothing-is-escaped"),
        pytest.param("{{ record.html | tojson }}", '"<b>&</b>"', id="json-is-not-escaped-for-html"),
        pytest.param("{{ record.meta | tojson }}", '{"colour": "red", "items": "ours"}', id="json-keeps-the-order"),
        pytest.param("{{ record.meta['items'] }}", "ours", id="a-nested-field-named-like-a-method"),
        pytest.param("{% for k, v in record.meta.items() %}{{ k }}{% endfor %}", "colouritems", id="a-method-called"),
    ],
)
def test_render(template, text):
    fields = {
        "text": "good",
        "meta": {"colour": "red", "items": "ours"},
        "tags": [{"n": 1}, {"n": 2}],
        "none": None,
        "html": "<b>&</b>",
    }

    assert render(template, {"ds": "2026-11-22"}, **fields) == text


@pytest.mark.parametrize("name", ["items", "keys", "get", "index", "values", "_x", "_row", "record", "format"])
def test_a_column_may_have_any_name(name):
    assert render(f"{{{{ record.{name} }}}} {{{{ record['{name}'] }}}}", **{name: "mine"}) == "mine mine"


@pytest.mark.parametrize("template", ["{{ record }}", "{{ record | tojson }}"])
def test_a_whole_record_is_written_as_json(template):
    assert render(template, name="Größe", n=1) == '{"name": "Größe", "n": 1}'


@pytest.mark.parametrize("text", ["{{ 7 * 7 }}", "{% raw %}", "{{ record.__class__ }}", "{# #}", "{{", "%}"])
def test_text_of_a_record_is_never_rendered(text):
    assert render("<{{ record.text }}>", text=text) == f"<{text}>"


def test_the_record_wins_over_a_name_of_the_context():
    assert render("{{ record.text }}", {"record": "another"}, text="mine") == "mine"


# -- what is missing -------------------------------------------------------------------------------------------

EVERY_USE = [
    "{{ record.nope }}",
    "{{ record['nope'] }}",
    "{{ record.nope.deeper.still }}",
    "{{ record.nope['deeper'] }}",
    "{{ record.nope() }}",
    "{{ record.nope + 1 }}",
    "{{ 1 + record.nope }}",
    "{{ -record.nope }}",
    "{{ record.nope * 2 }}",
    "{{ 'a' ~ record.nope }}",
    "{{ '%s' | format(record.nope) }}",
    "{{ record.nope | upper }}",
    "{{ record.nope | length }}",
    "{{ record.nope | int }}",
    "{{ record.nope | tojson }}",
    "{{ [record.nope] | tojson }}",
    "{{ record.nope | join }}",
    "{% if record.nope %}{% endif %}",
    "{% if record.nope > 3 %}{% endif %}",
    "{% if record.nope == 3 %}{% endif %}",
    "{% if 'a' in record.nope %}{% endif %}",
    "{% for one in record.nope %}{% endfor %}",
    "{% set x = record.nope %}{{ x }}",
]


@pytest.mark.parametrize("template", EVERY_USE)
def test_a_missing_field_is_named_whatever_is_done_with_it(template):
    with pytest.raises(TemplateError) as caught:
        render(template, text=SECRET, n=1)

    expected = "prompt: record 3 (key 'sku-1') has no field 'nope'; it has 'text', 'n'."
    assert str(caught.value).startswith(expected)
    assert "Nothing was sent" in str(caught.value)
    assert caught.value.context == {"index": 3, "field": "nope"}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        pytest.param("{{ record.meta.nope }}", "no field 'nope' in a dict", id="nested"),
        pytest.param("{% for t in record.tags %}{{ t.nope }}{% endfor %}", "no field 'nope' in a dict", id="in-a-loop"),
        pytest.param(
            "{{ record.tags | map(attribute='nope') | join }}", "no field 'nope' in a dict", id="through-a-filter"
        ),
        pytest.param("{{ text }}", "asked for 'text', which is no name here.*record.text", id="record-forgotten"),
        pytest.param("{{ record['the text'] }}", r"write \{\{ record\['the text'\] \| default", id="name-with-blank"),
        pytest.param("{{ record[5] }}", "by a name that the template computes", id="by-position"),
        pytest.param("{{ record.meta.items }}", r"items is a method here.*Write \['items'\]", id="a-method-printed"),
        pytest.param("{{ record.text.title }}", "title is a method here", id="a-method-of-text-printed"),
        pytest.param("{{ 1 / 0 }}", "failed with ZeroDivisionError", id="another-failure"),
    ],
)
def test_what_went_wrong_is_said(template, message):
    with pytest.raises(TemplateError, match=message):
        render(template, text="a", meta={"items": 1}, tags=[{"n": 1}])


def test_no_columns_at_all_is_said_too():
    with pytest.raises(TemplateError, match="has no field 'text'; it has none"):
        render("{{ record.text }}")


# -- what must not get out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{{ record[record.text] }}",
        "{{ record.meta[record.text] }}",
        "{{ record.text | int + record.meta }}",
        "{{ record.meta | format(record.text) }}",
        "{{ record.text | nothing_here }}",
        "{{ {}[record.text].deeper }}",
        "{{ record.text | round }}",
        "{{ record.text.nope }}",
        "{{ record.text.__class__ }}",
        "{% include record.text %}",
        "{{ ''.join(record.text, record.text) }}",
    ],
)
def test_an_error_never_quotes_the_records_text(template):
    with pytest.raises(TemplateError) as caught:
        render(template, text=SECRET, meta={})

    told = f"{caught.value!s} {caught.value!r} {caught.value.context}"
    assert SECRET not in told
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "template",
    [
        "{{ record.__class__ }}",
        "{{ record.__init__.__globals__ }}",
        "{{ record._RecordView__row }}",
        "{{ record.__json__() }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ record.text.__class__.__base__.__subclasses__() }}",
        "{{ '{0.__class__}'.format(record) }}",
        "{{ '{0.__class__}'.format_map({'0': record}) }}",
        "{{ record | attr('__class__') }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ record.tags.append(1) }}",
        "{{ record.meta.update({'a': 1}) }}",
        "{{ record.meta.clear() }}",
        "{% for i in range(1000000000) %}{% endfor %}",
        "{{ function.__code__ }}",
        "{{ function }}",
    ],
)
def test_a_template_cannot_leave_the_sandbox(template):
    fields = {"text": "a", "tags": [1], "meta": {"b": 2}}

    with pytest.raises(TemplateError):
        render(template, {"function": render}, **fields)

    assert fields == {"text": "a", "tags": [1], "meta": {"b": 2}}


@pytest.mark.parametrize(
    ("template", "line"),
    [("{{ record.text", 1), ("one\n{% if %}", 2), ("{{ x | no_such_filter }}", 1), ("{% unknown %}", 1)],
)
def test_a_malformed_template_is_refused_at_once_with_its_line(template, line):
    with pytest.raises(TemplateError, match=rf"^system, line {line}: .*\. Nothing was sent\.$"):
        Prompt(template, what="system")


def test_the_parameter_is_named():
    with pytest.raises(TemplateError, match=re.escape("system: record 3 (key 'sku-1') has no field 'a'")):
        Prompt("{{ record.a }}", what="system").render(Record(3, "sku-1", {}))
