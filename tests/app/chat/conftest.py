"""Parts of a turn that need no model: rewrites by rule, pictures that are names."""

import pytest

from app.session import Session
from app.turns import Parts
from models.collect.safety import unsafe_words
from schemas.errors import ModelError
from schemas.identity import render_id
from tests.app.chat.fakes import endpoint, rewritten, sampled


@pytest.fixture
def session() -> Session:
    return Session(session_id="0" * 32, seed=7)


@pytest.fixture
def fake_endpoint():
    with endpoint() as server:
        yield server


@pytest.fixture
def parts() -> Parts:
    def render(prompt, seed, on_step):
        on_step(1, 2)
        if "too large" in prompt:
            raise ModelError("Out of memory while rendering a single picture: lower tis.width.")
        return render_id(prompt, "t", seed)

    return Parts(
        model="rules",
        rewrite=lambda messages: iter([rewritten(messages)]),
        sample=lambda messages, n, seed: (sampled(messages, seed + i) for i in range(n)),
        tis="tiny",
        tis_id="t",
        count_tokens=lambda text: len(text.split()),
        token_budget=20,
        render=render,
        score=lambda key, intent: {"aesthetics": float(int(key[:2], 16))},
        unsafe=unsafe_words(),
    )


@pytest.fixture
def talk(parts):
    """Run a turn to its end: talk(edit, session, "…") → the new session."""

    def run(kind, session, *words, **options):
        for step in kind(session, *words, options.pop("parts", parts), **options):
            if isinstance(step, Session):
                session = step
        return session

    return run
