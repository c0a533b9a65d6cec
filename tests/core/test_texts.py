"""Tokens are counted by script and by kind of text, whichever vendor the request is for."""

import pytest

from airflow_provider_llmbatch.core.texts import DOCUMENT, PER_MESSAGE, PICTURE, weigh

ENGLISH = "Sort this review, please. "  # 26 characters


def user(content):
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("body", "characters", "tokens"),
    [
        pytest.param({"model": "m", "max_tokens": 5, "user": "someone"}, 0, 0, id="settings-are-no-text"),
        pytest.param(user(ENGLISH * 4), 104, 26 + PER_MESSAGE, id="english"),
        pytest.param(user("评论很好"), 4, 4 + PER_MESSAGE, id="chinese"),
        pytest.param(user("한국어 리뷰"), 6, 5 + 1 / 4 + PER_MESSAGE, id="korean"),
        pytest.param(user("отзыв"), 5, 2 + PER_MESSAGE, id="cyrillic"),
        pytest.param(user("Größe"), 5, 5 / 4 + PER_MESSAGE, id="accents"),
        pytest.param(user([{"type": "text", "text": "abcd"}]), 4, 1 + PER_MESSAGE, id="a-text-in-parts"),
        pytest.param({"system": "abcd" * 10}, 40, 10, id="anthropics-system"),
        pytest.param({"system": [{"type": "text", "text": "abcd", "cache_control": {"ttl": "1h"}}]}, 4, 1, id="marked"),
        pytest.param({"instructions": "abcd", "input": "abcd"}, 8, 2, id="responses"),
        pytest.param({"input": ["abcd", "abcd", "abcd"]}, 12, 3, id="embeddings"),
        pytest.param({"input": [11, 12, 13]}, 0, 3, id="tokens-by-number"),
        pytest.param({"tools": [{"name": "f"}]}, 14, 14 / 3, id="tools-are-json"),
        pytest.param({"text": {"format": 1}}, 12, 4, id="a-schema-is-json"),
    ],
)
def test_a_body_weighs(body, characters, tokens):
    weight = weigh(body)

    assert weight.characters == characters
    assert weight.tokens == pytest.approx(tokens)
    assert weight.guessed == 0


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        pytest.param(
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9999}}, PICTURE, id="openai"
        ),
        pytest.param({"type": "image", "source": {"type": "base64", "data": "A" * 9999}}, PICTURE, id="anthropic"),
        pytest.param(
            {"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}}, DOCUMENT, id="pdf"
        ),
    ],
)
def test_pictures_and_documents_are_guessed_and_never_counted_by_their_bytes(part, tokens):
    weight = weigh(user([part, {"type": "text", "text": "abcd"}]))

    assert (weight.guessed, weight.tokens) == (tokens, tokens + 1 + PER_MESSAGE)


def test_a_document_that_is_text_is_counted():
    part = {"type": "document", "source": {"type": "text", "data": "abcd" * 25}}

    assert weigh(user([part])) == (100, 25 + PER_MESSAGE, 0)
