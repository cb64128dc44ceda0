"""Every query of docs/sql.md runs, and those that should find something do."""

import re
from pathlib import Path

from schemas.settings import DecideSettings
from tests.warehouse import rows

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sql.md"
EMPTY = {  # nothing of the kind is in the small lake below
    "Calls that failed, and how",
}


def queries():
    title = ""
    for part in re.split(r"(?m)^(?=### |```sql\n)", PAGE.read_text()):
        if part.startswith("### "):
            title = part.splitlines()[0].removeprefix("### ")
        elif part.startswith("```sql\n"):
            yield title, part.removeprefix("```sql\n").split("```")[0]


def test_every_query_of_the_cookbook_answers(lake):
    hat = rows.triple("a cat", "add a hat", "a cat with a hat")
    later = rows.triple(
        "a cat with a hat", "in oil", "a cat with a hat, oil", "style", root="a cat"
    )
    later |= {"turn": 2, "parent_triple_id": hat["triple_id"]}
    bad = rows.triple("a cat", "nothing", "a cat", violations=["unchanged"])
    found = {"source_id": "source", "fingerprint": "f", "name": "mine"}
    lake.append("sources", rows.table("sources", [found]))
    refused = {"rejection_id": "r", "source_id": "source", "line": 3, "reason": "empty"}
    lake.append("rejections", rows.table("rejections", [refused]))
    rows.collect(lake, ["a cat"])
    lake.append("teacher_calls", rows.table("teacher_calls", [rows.call("a cat")]))
    lake.append("triples", rows.triples(hat, bad))
    assert lake.publish(lake.decide(DecideSettings())) == 1
    lake.append("triples", rows.triples(later))
    rows.render_all(lake)
    rows.score_all(lake, lambda prompt, scorer: float(len(prompt)))
    assert lake.publish(lake.decide(DecideSettings(), **rows.READS)) == 2
    asked = list(queries())
    assert len(asked) > 15
    for title, sql in asked:
        answer = lake.query(sql)
        assert answer.num_rows or title in EMPTY, title
