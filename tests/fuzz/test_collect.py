"""Generated files and prompts through collect: no crash, nothing lost, nothing run.

500 examples in the normal suite, 10,000 in the slow one.  A source may only be refused with a
SourceError; a source that is read must give each of its lines back as a sighting or a rejection.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.collect import Judged, Line, judge, normalise, read_source, read_triples, settle
from models.collect.source import KINDS
from schemas.errors import SourceError
from schemas.settings import CollectSettings, SourceSettings

RULES = CollectSettings(languages=())  # refusals by language are fuzzed apart
SYNTAX = (
    '"', "'", ",", "\t", "\n", "\r\n", "\\", "{", "}", "[", "]", ":", "\0", "\ufeff", "\ufffd",
    "BREAK", "(word:1.2)", "<lora:x:0.8>", "<script>alert(1)</script>", "{{7*7}}", "${HOME}",
    "$(touch pwned)", "`touch pwned`", "'; DROP TABLE raw_prompts; --", "%s%n", "../../etc/passwd",
    "__import__('os').system('touch pwned')", "=cmd|' /C calc'!A0", "prompt", "text", "null",
    "a cat", "sitting on a mat", "\u202e", "\u200d", "Ã©", "😀", "e\u0301", "\x1b[31m", "NaN",
)  # fmt: skip
TEXT = st.one_of(
    st.text(max_size=40),
    st.lists(st.one_of(st.sampled_from(SYNTAX), st.text(max_size=8)), max_size=6).map("".join),
)
SURROGATES = st.text(st.characters(), max_size=40)  # with lone halves of pairs
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
ROWS = st.lists(st.fixed_dictionaries({"prompt": JSON}, optional={"id": JSON}) | JSON, max_size=5)


def _encoded(text: str) -> st.SearchStrategy[bytes]:
    known = ("utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-32", "shift_jis")
    return st.sampled_from(known).map(lambda encoding: text.encode(encoding, "replace"))


CONTENT = st.one_of(
    st.binary(max_size=300),
    TEXT.flatmap(_encoded),
    st.lists(TEXT, max_size=6).map("\n".join).flatmap(_encoded),
    st.lists(TEXT, max_size=6).map(lambda rows: "\n".join(["prompt", *rows]).encode()),
    st.lists(TEXT, max_size=6).map(lambda rows: "\n".join(["id\tprompt", *rows]).encode()),
    ROWS.map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    ROWS.map(lambda rows: json.dumps(rows, indent=1).encode()),
    st.tuples(ROWS, st.integers(0, 200), st.binary(max_size=3)).map(
        lambda given: _damage(json.dumps(given[0]).encode(), given[1], given[2])
    ),
)
SUFFIX = st.sampled_from([*KINDS, "", ".bin", ".txt.gz", ".JSON"])
RELAXED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def _damage(data: bytes, place: int, what: bytes) -> bytes:
    return data[:place] + what + data[place + 1 :]


def both(function: Callable) -> Callable[[int], Callable]:
    """The same property with another number of examples."""

    def with_examples(count: int) -> Callable:
        limits = {"max_examples": count, "deadline": None, "suppress_health_check": RELAXED}
        return settings(**limits)(function)

    return with_examples


@pytest.fixture
def nothing_runs(monkeypatch, tmp_path):
    """Any attempt to run a piece of the input fails the test."""

    def forbidden(*args, **kwargs):
        raise AssertionError(f"input was run: {args!r}")

    monkeypatch.chdir(tmp_path)
    for module, name in ((os, "system"), (subprocess, "Popen"), (os, "popen")):
        monkeypatch.setattr(module, name, forbidden)
    yield
    assert not (tmp_path / "pwned").exists()


def accounted(lines: list[Line]) -> Judged:
    """Judge and settle; every line is a sighting or a rejection, once."""
    settled = settle([judge(lines[:3], RULES, len, 77), judge(lines[3:], RULES, len, 77)])
    numbers = settled.occurrences["line"].to_pylist() + settled.rejections["line"].to_pylist()
    assert sorted(numbers) == [line.line for line in lines]
    ids = set(settled.raw_prompts["raw_prompt_id"].to_pylist())
    assert set(settled.occurrences["raw_prompt_id"].to_pylist()) == ids
    assert all(settled.rejections["reason"].to_pylist())
    for row in settled.rejections.to_pylist():
        assert len(row["text"]) <= 2_000
        row["text"].encode("utf-8")
    return settled


def _file_property(nothing_runs, tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("fuzz")

    @both
    @given(content=CONTENT, suffix=SUFFIX)
    def property_(content: bytes, suffix: str):
        path = folder / f"source{suffix}"
        path.write_bytes(content)
        source = SourceSettings(location=str(path))
        try:
            lines = list(read_source(source))
        except SourceError:
            pass
        else:
            assert lines
            accounted(lines)
        try:
            done = read_triples(path, rules=RULES, extract_units=lambda *texts: ())
        except SourceError:
            return
        rows = done["sources"]["lines"][0].as_py()
        assert len(done["occurrences"]) + len(done["rejections"]) == rows

    return property_


def _prompt_property():
    @both
    @given(prompts=st.lists(TEXT | SURROGATES, min_size=1, max_size=4))
    def property_(prompts: list[str]):
        lines = [Line("source", number, text) for number, text in enumerate(prompts, 1)]
        settled = accounted(lines)
        for text in settled.raw_prompts["text"].to_pylist():
            assert normalise(text) == text
            assert text == text.strip()
            assert "\n" not in text
            assert "\0" not in text

    return property_


def test_files(nothing_runs, tmp_path_factory):
    _file_property(nothing_runs, tmp_path_factory)(500)()


def test_prompts(nothing_runs):
    _prompt_property()(500)()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_files(nothing_runs, tmp_path_factory):
    _file_property(nothing_runs, tmp_path_factory)(10_000)()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_prompts(nothing_runs):
    _prompt_property()(10_000)()


def test_languages_of_any_text():
    @settings(max_examples=200, deadline=None)
    @given(TEXT)
    def property_(text: str):
        judged = judge([Line("source", 1, text)], CollectSettings())
        assert len(judged.occurrences) + len(judged.rejections) == 1

    property_()
