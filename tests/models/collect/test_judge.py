"""Judging lines: what is kept, what is refused and why, and that nothing is lost."""

from datetime import UTC, datetime

import pytest

from models.collect import Line, fingerprint, judge, normalise, source_id, source_row
from models.collect.language import language_of
from models.collect.safety import unsafe_words
from schemas.errors import SettingsError
from schemas.identity import raw_prompt_id
from schemas.records import OCCURRENCES, RAW_PROMPTS, REJECTIONS, SOURCES
from schemas.settings import CollectSettings, SourceSettings

ANY = CollectSettings(languages=(), safety=False)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def lines(*prompts: str) -> list[Line]:
    return [Line("source", n, text, "MIT") for n, text in enumerate(prompts, 1)]


def refusals(*prompts: str, rules: CollectSettings = ANY, **options) -> list[str]:
    """For each prompt the reason why it was refused, or ""."""
    judged = judge(lines(*prompts), rules, **options)
    by_line = {row["line"]: row["reason"] for row in judged.rejections.to_pylist()}
    return [by_line.get(n, "") for n in range(1, len(prompts) + 1)]


def test_tables_have_the_columns_of_the_records():
    judged = judge(lines("a cat", "a cat", "", "a dog"), ANY, len, 77, NOW)
    assert judged.raw_prompts.schema == RAW_PROMPTS
    assert judged.occurrences.schema == OCCURRENCES
    assert judged.rejections.schema == REJECTIONS
    assert judged.raw_prompts["text"].to_pylist() == ["a cat", "a dog"]
    assert judged.raw_prompts["tokens"].to_pylist() == [5, 5]
    # The exact duplicate is a second sighting of the first.
    cat = raw_prompt_id("a cat")
    assert judged.occurrences["raw_prompt_id"].to_pylist()[:2] == [cat, cat]
    assert judged.occurrences["licence"].to_pylist() == ["MIT"] * 3
    assert judged.occurrences["line"].to_pylist() == [1, 2, 4]


def test_each_rule_names_its_reason():
    rules = ANY.model_copy(update={"min_words": 2, "max_characters": 30})
    given = [
        "a cat",
        "cat",
        "",
        " \t ",
        "!?",
        "a " * 40,
        "x" * 500,
        "a\0cat",
        "a \ufffd",
        "a \ud800",
    ]
    assert refusals(*given, rules=rules) == [
        "",
        "too_short",
        "empty",
        "empty",
        "too_short",
        "too_long",
        "too_long",
        "not_text",
        "not_text",
        "not_text",
    ]


def test_the_budget_of_the_text_encoder_is_the_last_token_that_fits():
    def count(text: str) -> int:
        return len(text.split()) + 2

    fits = " ".join(["cat"] * 75)
    assert refusals(fits, fits + " cat", count_tokens=count, token_budget=77) == [
        "",
        "too_many_tokens",
    ]


def test_a_refused_line_can_be_printed():
    judged = judge(lines("a\0b\x1b[31m\ud800" + "x" * 9_000), ANY)
    (row,) = judged.rejections.to_pylist()
    assert row["text"].startswith("a\\x00b\\x1b[31m\\ud800x")
    assert len(row["text"]) == 2_000


@pytest.mark.parametrize(
    "prompt",
    [
        "(masterpiece:1.2), [blue|red] car BREAK a dog <lora:detail:0.8>",
        'a sign that says "Hello, World!"',
        "<script>alert(1)</script> & {{ 7 * 7 }} $(rm -rf /) '; DROP TABLE raw_prompts; --",
        "a cat --ar 16:9 --v 5",
        "a | b **bold** [x](y) ![z](w)",
        "family 👨‍👩‍👧 emoji",
    ],
)
def test_syntax_is_data(prompt):
    assert normalise(prompt) == prompt
    assert judge(lines(prompt), ANY).raw_prompts["text"].to_pylist() == [prompt]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  a \t cat\r\n on\u00a0a mat ", "a cat on a mat"),
        ("a cafe\u0301", "a caf\u00e9"),
        ("a cat\u200b\u202e", "a cat"),
        ("“smart” ‘quotes’", "\"smart\" 'quotes'"),
        ("a cafÃ©", "a café"),
        ("ﬁre", "fire"),
        ("bell\x07 cat", "bell cat"),
    ],
)
def test_one_spelling(raw, clean):
    assert normalise(raw) == clean


def test_the_id_of_a_sighting_follows_its_text_not_only_its_line():
    first = judge(lines("a cat", "a dog"), ANY).occurrences["occurrence_id"].to_pylist()
    moved = judge(lines("new", "a cat", "a dog"), ANY).occurrences["occurrence_id"].to_pylist()
    grown = judge(lines("a cat", "a dog", "new"), ANY).occurrences["occurrence_id"].to_pylist()
    assert grown[:2] == first
    assert not set(moved) & set(first)


def test_ordinary_words_are_safe_and_others_are_not():
    unsafe = unsafe_words(("unicorn", "purple rain"))
    for prompt in (
        "a cock-eyed optimist in Scunthorpe",
        "view from the cockpit, classic cars",
        "a pipe organ, gates of hell, a pot of rum",
        "a blue tit on a strip of lawn",
        "an assassin in Essex",
        "purple rains",
    ):
        assert unsafe(prompt) is None, prompt
    assert unsafe("a Unicorn!") == "unicorn"
    assert unsafe("under the PURPLE  rain, dancing") == "purple rain"
    assert unsafe("full frontal nude") == "nude"
    assert unsafe_words((), library=False)("nude") is None
    assert refusals("a nude", "a cat", rules=CollectSettings()) == ["unsafe", ""]


def test_single_words_and_names_are_not_refused():
    for prompt in ("bond", "element", "Salvador Dalí", "a shiba inu", "42", "Fibonacci number"):
        language = language_of(prompt, ("en",))
        assert language.code == "en" or not language.sure, prompt


FOREIGN = (
    """
un gato negro durmiendo en una silla roja|retrato de una mujer con sombrero
ein rotes Auto vor einem alten Haus|ein kleiner Hund spielt mit einem Ball im Garten
une femme avec un chapeau bleu dans la forêt|un château sur la colline au coucher du soleil
un paesaggio di montagna al tramonto|una donna che legge un libro in giardino
een oude man met een hond op het strand|een huis aan het water met bomen
um cachorro correndo na praia ao pôr do sol|uma menina com vestido vermelho
yaşlı bir adam ve köpeği sahilde|stary zamek na wzgórzu we mgle
портрет девушки в красном платье|кот|старый дом в лесу
一只猫坐在沙发上|猫|赤いドレスを着た女性|고양이가 의자에 앉아 있다
قطة سوداء على كرسي|एक बिल्ली कुर्सी पर बैठी है|γάτα σε καρέκλα|חתול על כיסא|แมวนั่งบนเก้าอี้
""".strip()
    .replace("\n", "|")
    .split("|")
)


def test_foreign_prompts_are_refused():
    missed = [
        prompt
        for prompt, why in zip(FOREIGN, refusals(*FOREIGN, rules=CollectSettings()), strict=True)
        if why != "language"
    ]
    assert len(missed) <= len(FOREIGN) // 10, missed


def test_languages_can_be_chosen():
    rules = CollectSettings(languages=("de",), safety=False)
    given = ["ein rotes Auto vor einem alten Haus", "a red car in front of an old house"]
    assert refusals(*given, rules=rules) == ["", "language"]
    assert refusals(*given, "一只猫坐在沙发上") == ["", "", ""]
    with pytest.raises(SettingsError, match="'klingon'"):
        judge([], CollectSettings(languages=("klingon",)))


def test_real_prompts_are_kept(public_data):
    from models.collect import read_source

    source = SourceSettings(location=str(public_data / "parti_prompts.tsv"))
    judged = judge(read_source(source), CollectSettings())
    refused = judged.rejections.to_pylist()
    assert [row["text"] for row in refused if row["reason"] in ("language", "unsafe")] == []
    assert len(judged.occurrences) + len(refused) == 1_632


def test_a_source_is_known_by_its_content(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("a cat\n")
    source = SourceSettings(location=str(path), licence="MIT")
    before = fingerprint(source)
    assert fingerprint(source) == before
    assert fingerprint(source, 1) != before
    row = source_row(source, 1, NOW)
    assert row.schema == SOURCES
    assert row["fingerprint"][0].as_py() == before
    assert row["name"][0].as_py() == "p"
    path.write_text("a dog\n")
    assert fingerprint(source) != before
    assert source_id(source) == row["source_id"][0].as_py()
    assert source_id(source.model_copy(update={"column": "x"})) != source_id(source)
