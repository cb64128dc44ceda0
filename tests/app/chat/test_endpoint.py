"""An endpoint that answers, one that cannot stream, and all those that fail."""

import pytest

from app.endpoint import ask
from schemas.chat import messages_of
from schemas.chatting import EndpointSettings
from schemas.errors import EndpointError, SettingsError
from tests.app.chat.fakes import endpoint

MESSAGES = messages_of("a red car", "make it blue")


def answer(url: str, **settings) -> str:
    return "".join(ask(EndpointSettings(base_url=url, **settings), MESSAGES))


def test_the_answer_comes_in_pieces_and_the_body_is_the_chat_format(fake_endpoint):
    pieces = list(ask(EndpointSettings(base_url=fake_endpoint.base_url, model="m"), MESSAGES))
    assert "".join(pieces) == "a blue car"
    assert len(pieces) == 3
    assert fake_endpoint.asked[0]["messages"] == MESSAGES
    assert fake_endpoint.asked[0]["model"] == "m"


def test_an_endpoint_that_cannot_stream_is_asked_without():
    with endpoint(streams=False) as server:
        assert answer(f"{server.base_url}/chat/completions/") == "a blue car"


def test_the_key_is_sent_and_never_shown(fake_endpoint, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    fake_endpoint.fails = 401, {"error": {"message": "bad key"}}
    with pytest.raises(EndpointError, match="MY_KEY") as caught:
        answer(fake_endpoint.base_url, api_key_env="MY_KEY")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        ((404, {"error": {"message": "no such model"}}), "no such model.*model name"),
        ((429, {"error": {"message": "slow down"}}), "wait a moment"),
        ((500, {"detail": "oops"}), "answered 500"),
        ((200, {"no": "choices"}), "no chat completion"),
        ((200, [1, 2]), "no chat completion"),
        ((200, {"error": {"message": "overloaded"}}), "broke off"),
        ((200, {"choices": [{"message": {"content": "x" * 2_000_000}}]}), "longer than any"),
        ((200, {"choices": [{"message": {"content": None, "refusal": "I cannot"}}]}), "refused"),
        ((302, {}), "answered 302"),
    ],
)
def test_what_goes_wrong_is_said(fake_endpoint, fails, said):
    fake_endpoint.fails = fails
    with pytest.raises(EndpointError, match=said):
        answer(fake_endpoint.base_url)


def test_a_closed_endpoint_says_where_it_was_and_what_to_do():
    with endpoint() as server:
        url = server.base_url
    with pytest.raises(EndpointError, match=r"cannot be reached.*session is kept"):
        answer(url)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/v1", "http://user:pw@x/v1", ""])
def test_an_address_that_is_none_is_refused_without_its_password(url):
    with pytest.raises(SettingsError, match="http://host:port/v1") as caught:
        answer(url)
    assert "pw" not in str(caught.value)
