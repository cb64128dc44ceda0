"""What a careless model does to a prompt, and what the person gets."""

import pytest

from app.changes import changes
from app.protecting import clean_answer, fit, protect
from schemas.errors import ChatError, PromptTooLong


@pytest.mark.parametrize(
    ("old", "answered", "wanted"),
    [
        ("a (red hat:1.2), night", "a red hat, dawn", "a (red hat:1.2), dawn"),
        ("a (red hat:1.2), night", "a (red hat:1.4), dawn", "a (red hat:1.2), dawn"),
        ("a ((red hat)), night", "a Red Hat, dawn", "a ((red hat)), dawn"),
        ("a cat <lora:ink:0.8>", "a cat at dawn", "a cat at dawn <lora:ink:0.8>"),
        ("a cat <lora:ink:0.8>", "a cat <lora:ink:1>, dawn", "a cat <lora:ink:0.8>, dawn"),
        ("a cat BREAK a dog, dawn", "a cat, a dog, noon", "a cat, BREAK a dog, noon"),
        ('a sign "OPEN"', 'a sign "Open" at dawn', 'a sign "OPEN" at dawn'),
        ("a cat --ar 16:9", "a cat at dawn", "a cat at dawn --ar 16:9"),
        ("a {cat|dog} --v 6", "a cat --v 6", "a cat, {cat|dog} --v 6"),
    ],
)
def test_syntax_is_put_back_letter_by_letter(old, answered, wanted):
    found = protect(old, answered, "make it dawn")
    assert found.prompt == wanted
    assert found.restored


def test_untouched_syntax_is_left_alone():
    old = '(red hat:1.2) BREAK <lora:a:1> "x" [b] --ar 1:1'
    assert protect(old, f"{old}, dawn", "make it dawn") == (f"{old}, dawn", ())


@pytest.mark.parametrize(
    ("old", "answered", "instruction"),
    [
        ("a (red hat:1.2), night", "a man, night", "remove the hat"),
        ("a cat <lora:ink:0.8>", "a cat", "drop <lora:ink:0.8>"),
        ('a sign "OPEN"', 'a sign "CLOSED"', "change OPEN to CLOSED"),
    ],
)
def test_what_the_instruction_asks_away_may_go(old, answered, instruction):
    assert protect(old, answered, instruction).prompt == answered


def test_a_locked_phrase_never_goes():
    found = protect("a red car, oil painting", "a bus", "replace the car by a bus", ["red car"])
    assert found == ("a bus, red car", ("red car",))
    assert protect("a red car", "a red car, dawn", "dawn", ["red car", "blue"]).restored == ()


@pytest.mark.parametrize(
    ("answer", "prompt"),
    [
        ('Prompt: "a cat"', "a cat"),
        ("```\na cat,\n at night\n```", "a cat, at night"),
        ("New prompt: a cat", "a cat"),
        ('a sign "OPEN"', 'a sign "OPEN"'),
        ("a\x1b[31m cat\x00", "a [31m cat"),
    ],
)
def test_an_answer_is_reduced_to_its_prompt(answer, prompt):
    assert clean_answer(answer, "a dog") == prompt


def test_an_answer_without_words_is_refused():
    with pytest.raises(ChatError, match="nothing"):
        clean_answer(" ``` ... ``` ", "a dog")


def test_fit_drops_from_the_end_but_not_what_is_needed():
    def count(text):
        return len(text.split())

    fitted = fit(
        "a cat, in fog, (very nice:1.2), soft light, at night", count, 8, ["at night"], "t"
    )
    assert fitted.prompt == "a cat, in fog, (very nice:1.2), at night"
    assert fitted.dropped == ("soft light",)
    with pytest.raises(PromptTooLong, match="t reads 1"):
        fit("a cat", count, 1, [], "t")


def test_coloured_pieces_are_both_prompts_letter_by_letter():
    old, new = "a red car, at  night", "A blue car at night, rain"
    pieces = changes(old, new)
    assert "".join(p.text for p in pieces if p.change != "removed") == new
    assert next(p.text for p in pieces if p.change == "removed") == "red"
    assert {p.text for p in pieces if p.change == "added"} >= {"blue"}


@pytest.mark.parametrize(
    "answer",
    [
        "a blue car" + ", single blue car" * 20,
        "a" + "hip" * 40,
        "the tree beside " * 9,
        "a red car, " * 6 + "a re",  # cut off in the middle
    ],
)
def test_an_answer_that_runs_in_circles_is_none(answer):
    with pytest.raises(ChatError, match="repeat itself"):
        clean_answer(answer, "a red car")


@pytest.mark.parametrize(
    "answer",
    ["a very very very very big car", "a cat!!!!!!!!!!!!", "a cat ------------", "hahahaha, a cat"],
)
def test_emphasis_is_no_loop(answer):
    assert clean_answer(answer, "a cat") == answer


def test_what_the_person_repeats_the_model_may_repeat():
    prompt = "car " * 12 + "car"
    assert clean_answer(f"blue {prompt}", prompt) == f"blue {prompt}"
