"""What the artifacts say, read the way a browser would."""

import re

import pytest
from markdown_it import MarkdownIt

from tasks.artifacts import examples_markdown, funnel_rows, plain

NASTY = (
    "<script>alert(1)</script> | **bold** [x](javascript:alert(1)) ![i](http://a.b/c.png)\n\n"
    "# head `code` &lt; https://evil.example www.evil.example a_b_c {{ 7*7 }} \x1b[31m"
)


def html_of(markdown: str) -> str:
    return MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(markdown)


def example(**changes):
    return {
        "raw_prompt": "a red car",
        "instruction": "make it blue",
        "target_prompt": "a blue car",
        "edit_kind": "attribute",
        "aesthetic_gain": 0.25,
        "preference_gain": None,
        "raw_webp": b"RIFF raw",
        "target_webp": b"RIFF target",
    } | changes


def test_pictures_stand_side_by_side_in_one_row():
    page = html_of(examples_markdown([example()]))
    assert page.count("<tr>") == 2
    assert re.findall(r'<img src="data:image/webp;base64,[^"]+" alt="(\w+)"', page) == [
        "raw",
        "target",
    ]
    assert "aesthetics +0.250" in page
    assert "preference" not in page


def test_prompts_are_never_markup():
    nasty = example(
        raw_prompt=NASTY, instruction=NASTY, target_prompt=NASTY, raw_webp=None, target_webp=None
    )
    page = html_of(examples_markdown([nasty, nasty]))
    assert set(re.findall(r"<(\w+)", page)) == {"p", "strong", "hr"}
    assert page.count("<strong>") == 2
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | **bold**" in page
    assert "\x1b" not in page


@pytest.mark.parametrize("text", ["1. a list", "- another", "+ one", "# head", "    code", "---"])
def test_no_prompt_starts_a_block(text):
    page = html_of(examples_markdown([example(raw_prompt=text, raw_webp=None)]))
    assert set(re.findall(r"<(\w+)", page)) == {"p", "strong"}


def test_what_a_person_reads_has_no_entities():
    """Prefect's page shows `&#44;` as it is written."""
    shown = examples_markdown([example(instruction="Blue, please: it's better (really)!")])
    assert "&" not in shown


def test_a_long_prompt_is_cut():
    assert len(plain("x" * 10_000)) < 600


def test_the_funnel_has_a_row_a_step_and_a_row_a_reason():
    funnel = {"collected": 5, "refused_lines": {"empty": 2, "unsafe": 1}, "rendered": None}
    assert funnel_rows(funnel) == [
        {"step": "collected", "reason": "", "rows": 5},
        {"step": "refused lines", "reason": "empty", "rows": 2},
        {"step": "refused lines", "reason": "unsafe", "rows": 1},
        {"step": "rendered", "reason": "", "rows": None},
    ]
