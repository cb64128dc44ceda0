"""Near duplicates: who stays, whatever the order and the borders of the shards."""

import random

import pyarrow as pa
import pytest

from models.collect import Line, band_hashes, judge, read_source, settle
from models.collect.minhash import shingles, similarity
from schemas.identity import raw_prompt_id
from schemas.settings import CollectSettings, SourceSettings

ANY = CollectSettings(languages=(), safety=False)
LONG = "a very old lighthouse keeper reading a letter by the window while a storm rages outside"


def lines(prompts: list[str]) -> list[Line]:
    return [Line("s", n, text) for n, text in enumerate(prompts, 1)]


def stored(judged) -> pa.Table:
    return judged.raw_prompts.select(["raw_prompt_id", "text", "minhash"])


def test_near_duplicates_become_rejections_that_name_the_one_that_stays():
    prompts = [LONG, LONG + " today", "a cat on a mat", LONG.upper() + "!", LONG]
    settled = settle([judge(lines(prompts), ANY)])
    (stays,) = set(settled.raw_prompts["text"].to_pylist()) - {"a cat on a mat"}
    assert stays in prompts
    rows = settled.rejections.to_pylist()
    assert {row["reason"] for row in rows} == {"near_duplicate"}
    assert all(raw_prompt_id(stays) in row["detail"] for row in rows)
    assert len(settled.occurrences) + len(rows) == len(prompts)


def test_short_prompts_that_differ_by_a_word_both_stay():
    prompts = ["a red car", "a blue car", "red car", "cat", "cats"]
    assert len(settle([judge(lines(prompts), ANY)]).raw_prompts) == 5


def test_the_outcome_does_not_depend_on_shards():
    rng = random.Random(7)
    words = ["old", "keeper", "reads", "letter", "near", "window", "storm", "sea", "light", "ship"]
    prompts = [" ".join(rng.choices(words, k=12)) for _ in range(40)]
    prompts += [f"{rng.choice(prompts)} {rng.choice(words)}" for _ in range(80)]
    given = lines(prompts)
    whole = settle([judge(given, ANY)])
    assert 40 < len(whole.raw_prompts) < 120
    for size in (1, 7, 50):
        parts = [given[i : i + size] for i in range(0, len(given), size)]
        rng.shuffle(parts)
        other = settle([judge(part, ANY) for part in parts])
        assert other.raw_prompts["text"].equals(whole.raw_prompts["text"])
        for table in ("occurrences", "rejections"):
            one, two = getattr(whole, table), getattr(other, table)
            key = [name for name in one.column_names if name != "collected_at"]
            assert one.select(key).sort_by("line").equals(two.select(key).sort_by("line"))


def test_the_warehouse_wins():
    first = settle([judge(lines([LONG]), ANY)])
    asked = []

    def existing(new: pa.Table) -> pa.Table:
        asked.append(new.column_names)
        return stored(first)

    again = settle([judge(lines([LONG + " today", LONG, "a cat"]), ANY)], existing)
    assert asked == [["raw_prompt_id", "minhash"]]
    assert [row["line"] for row in again.rejections.to_pylist()] == [1]
    assert set(again.raw_prompts["text"].to_pylist()) == {LONG, "a cat"}


def test_lines_collected_before_keep_their_outcome():
    given = lines(["a cat", "a dog", ""])
    first = judge(given, ANY)
    have = first.occurrences["occurrence_id"].to_pylist()
    have += first.rejections["rejection_id"].to_pylist()
    stricter = CollectSettings(languages=(), blocked_words=("cat",))
    grown = judge([*given, Line("s", 4, "a cat"), Line("s", 5, "a bird")], stricter)
    settled = settle([grown], known=lambda ids: set(ids) & set(have))
    assert settled.occurrences["line"].to_pylist() == [5]
    assert settled.rejections["line"].to_pylist() == [4]
    assert settled.raw_prompts["text"].to_pylist() == ["a bird"]


def test_a_threshold_of_one_switches_it_off():
    prompts = [LONG, LONG + " today"]
    assert len(settle([judge(lines(prompts), ANY)], threshold=1).raw_prompts) == 2


def test_nothing_in_nothing_out():
    settled = settle([])
    assert [len(table) for table in settled] == [0, 0, 0]


def test_stored_bands_keep_their_meaning():
    # Bands are stored for years: another version of the library must not change them in silence.
    bands = band_hashes(["a cat on a mat", "A cat, on a mat!", "a dog"]).to_pylist()
    assert bands[0] == bands[1]
    assert bands[0][:2] == [-6815390789668442621, 8654206848014730581]
    assert not set(bands[0]) & set(bands[2])
    assert {len(row) for row in bands} == {16}


def test_bands_find_what_is_similar():
    rng = random.Random(3)
    found = near = far = 0
    for _ in range(300):
        words = [f"w{rng.randrange(10_000)}" for _ in range(30)]
        other = [*words[:-2], "x", "y"]
        one, two = (shingles(" ".join(text)) for text in (words, other))
        assert similarity(one, two) > 0.8
        a, b, c = band_hashes([" ".join(words), " ".join(other), " ".join(words[::-1])]).to_pylist()
        found += 1
        near += bool(set(a) & set(b))
        far += bool(set(a) & set(c))
    assert near > 0.95 * found
    assert far == 0


def test_real_prompts(public_data):
    source = SourceSettings(location=str(public_data / "pickapic_prompts.txt"))
    judged = judge(read_source(source), ANY)
    settled = settle([judged])
    lost = len(judged.raw_prompts) - len(settled.raw_prompts)
    assert 100 < lost < 600
    assert len(settled.occurrences) + len(settled.rejections) == len(list(read_source(source)))
    again = settle([judged], lambda new: stored(settled))
    assert again.raw_prompts["raw_prompt_id"].equals(settled.raw_prompts["raw_prompt_id"])


@pytest.mark.parametrize("text", ["", "!!!", "\U0001f600", "one", "one two"])
def test_short_texts_have_shingles(text):
    assert len(shingles(text)) == 1
