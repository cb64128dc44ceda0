"""Decide: which triples are accepted, or the first reason why not, in SQL over stored scores.

Recomputed whole for a set of rules and a state of the inputs; the answer is materialised in
`decisions` under an id that hashes both, so the same question is answered once.  No score, call or
render is made here: new thresholds cost one query.

Rules in order: a rule check of the text failed (`violation:…`), `target_too_long`, `duplicate`
(same three texts, smallest id stays); then, with renders, `not_scored`, `preference` and
`aesthetics` by kind of edit (DESIGN.md, "Decide"); last `near_duplicate` among what is left, so
that a refused row never hides a good one.  Without renders the text rules decide alone.

Left out: the held-out scorer, which nothing here reads.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import duckdb

from schemas.errors import WarehouseError
from schemas.identity import decision_set_id, settings_hash
from schemas.settings import DecideSettings
from schemas.units import LOOKS_KINDS
from warehouse.commits import Committer
from warehouse.connection import first_row, sql_text
from warehouse.state import changed_at

_SQL = files("warehouse") / "sql" / "decide"
INPUTS = ("triples", "renders", "scores", "removals")


@dataclass(frozen=True)
class Question:
    """What is decided: the rules, and which renders and scores they read."""

    rules: DecideSettings
    tis_id: str | None = None  # None: decided by the text rules alone
    seeds: tuple[int, ...] = ()
    aesthetics_id: str | None = None  # scorer ids
    preference_id: str | None = None
    recipe_ids: tuple[str, ...] = ()  # empty: triples of any recipe

    def __post_init__(self) -> None:
        if self.tis_id and not (self.aesthetics_id and self.preference_id and self.seeds):
            raise WarehouseError(
                "Deciding by renders needs seeds, an aesthetics and a preference scorer; without "
                "them use `--no-render`, which decides by the text rules alone."
            )

    def canonical(self) -> str:
        """The question as JSON; its hash names the rules."""
        return json.dumps(
            {
                "rules": self.rules.model_dump(mode="json"),
                "tis_id": self.tis_id,
                "seeds": sorted(self.seeds),
                "aesthetics_id": self.aesthetics_id,
                "preference_id": self.preference_id,
                "recipe_ids": sorted(self.recipe_ids),
            },
            sort_keys=True,
        )

    def rule_hash(self) -> str:
        return settings_hash(json.loads(self.canonical()))


def known_set(connection: duckdb.DuckDBPyConnection, question: Question) -> str | None:
    """The decision set of this question if the inputs have not changed since, else None."""
    # Literals, not parameters: binding one makes DuckDB import pandas, half of what a rerun with
    # nothing to do takes. Both are ours, a hex digest and an integer.
    row = first_row(
        connection,
        f"SELECT decision_set_id FROM decision_sets WHERE rule_hash = "
        f"{sql_text(question.rule_hash())} AND snapshot_id >= {changed_at(connection, INPUTS)} "
        "ORDER BY snapshot_id DESC LIMIT 1",
    )
    return row[0] if row else None


def is_answered(
    connection: duckdb.DuckDBPyConnection, question: Question, decision_set: str
) -> bool:
    """Whether a decision set answers the question for what is in the lake now."""
    known = known_set(connection, question) or _decision_set(connection, question)
    return known == decision_set


def decide(connection: duckdb.DuckDBPyConnection, commits: Committer, question: Question) -> str:
    """Answer the question, or find it answered; returns the decision set's id.

    `connection` is the committer's own: temporary tables are read inside its transaction.
    """
    known = known_set(connection, question)
    if known:
        return known

    def work(connection: duckdb.DuckDBPyConnection) -> str:
        known = known_set(connection, question)  # another process may have been faster
        if known:
            return known
        snapshot = first_row(connection, "SELECT id FROM lake.current_snapshot()")
        seen = _decision_set(connection, question)
        number = snapshot[0] if snapshot else 0
        # The same inputs under a later snapshot (files were merged): the answer stands.
        again = first_row(
            connection,
            "UPDATE decision_sets SET snapshot_id = ? WHERE decision_set_id = ?",
            [number, seen],
        )
        if again and again[0]:
            return seen
        _judge(connection, question)
        connection.execute(
            "INSERT INTO decision_sets BY NAME SELECT ? AS decision_set_id, ? AS rule_hash, "
            "? AS rules, ? AS snapshot_id, now() AS created_at",
            [seen, question.rule_hash(), question.canonical(), number],
        )
        connection.execute(
            "INSERT INTO decisions BY NAME SELECT ? AS decision_set_id, triple_id, "
            "reason IS NULL AS accepted, coalesce(reason, 'accepted') AS reason, "
            "aesthetic_gain, preference_gain FROM judged",
            [seen],
        )
        return seen

    try:
        return commits.transaction(work)
    finally:
        for name in ("looks", "liked", "judged", "near_rows", "near_pairs"):
            connection.execute(f"DROP TABLE IF EXISTS temp.{name}")


# Trainings and evaluations render and score prompts that are of no triple: those are not read.
# By hash, as in 010_gains.sql; '' stands for the scorers that read no intent.
_WANTED = """
WITH triples_read AS (
    SELECT triple_id, raw_prompt, target_prompt, intent FROM live_triples
    WHERE len($recipes::VARCHAR[]) = 0 OR list_contains($recipes::VARCHAR[], recipe_id)
),
wanted AS (
    SELECT DISTINCT
        md5_number(prompt) AS prompt, md5_number(unnest([coalesce(intent, ''), ''])) AS intent
    FROM (SELECT unnest([raw_prompt, target_prompt]) AS prompt, intent FROM triples_read)
),
pictures AS (
    SELECT render_id, md5_number(prompt) AS prompt FROM renders
    WHERE status = 'ok' AND tis_id = $tis AND list_contains($seeds::BIGINT[], seed)
)
"""
_INPUTS = (
    "hash(triple_id)) FROM triples_read",
    "hash(render_id)) FROM pictures WHERE prompt IN (SELECT prompt FROM wanted)",
    """hash(score_id, value)) FROM (
        SELECT s.score_id, s."value", p.prompt, md5_number(coalesce(s.intent, '')) AS intent
        FROM scores AS s JOIN pictures AS p USING (render_id)
        WHERE s.status = 'ok' AND s.scorer_id IN ($looks, $liked)
    ) SEMI JOIN wanted USING (prompt, intent)""",
)


def _decision_set(connection: duckdb.DuckDBPyConnection, question: Question) -> str:
    """Id of the answer: the rules, and hashes of the rows they read in whatever order and files."""
    params = {
        "recipes": list(question.recipe_ids), "tis": question.tis_id,
        "seeds": list(question.seeds), "looks": question.aesthetics_id,
        "liked": question.preference_id,
    }  # fmt: skip
    found = []
    for rest in _INPUTS:
        asked = f"{_WANTED} SELECT count(*), bit_xor({rest}"
        count, total = first_row(connection, asked, _used(asked, **params)) or (0, 0)
        found.append(f"{count}:{total or 0}")
    return decision_set_id(question.rule_hash(), found)


def _judge(connection: duckdb.DuckDBPyConnection, question: Question) -> None:
    """Fill the temporary table `judged`: triple_id, gains, reason (null: accepted)."""
    for statement in _statements("010_gains.sql"):
        connection.execute(
            statement,
            _used(
                statement,
                tis=question.tis_id,
                seeds=list(question.seeds),
                aesthetics=question.aesthetics_id,
                preference=question.preference_id,
            ),
        )
    rules = question.rules
    for statement in _statements("020_judged.sql"):
        connection.execute(
            statement,
            _used(
                statement,
                recipes=list(question.recipe_ids),
                rendered=question.tis_id is not None,
                reads_intent=_reads_intent(connection, question.preference_id),
                looks_kinds=sorted(LOOKS_KINDS),
                max_target_tokens=rules.max_target_tokens or 2**31 - 1,
                looks_min_aesthetic_gain=rules.looks_min_aesthetic_gain,
                content_min_preference_gain=rules.content_min_preference_gain,
                content_min_aesthetic_sigma=rules.content_min_aesthetic_sigma,
            ),
        )
    if rules.near_duplicates:
        _mark_near_duplicates(connection, rules.near_duplicate_bands)


def _mark_near_duplicates(connection: duckdb.DuckDBPyConnection, agreeing: int) -> None:
    """Refuse rows that share `agreeing` bands with a row of smaller id.

    Band by band: all bands at once would hold 16 hashes a row in memory, 16 million at a million
    rows.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE near_rows AS SELECT triple_id, minhash AS bands, "
        "row_number() OVER (ORDER BY triple_id)::INTEGER AS place "
        "FROM judged JOIN triples USING (triple_id) WHERE reason IS NULL AND len(minhash) > 0"
    )
    connection.execute("CREATE OR REPLACE TEMP TABLE near_pairs(place INTEGER, other INTEGER)")
    row = first_row(connection, "SELECT coalesce(max(len(bands)), 0) FROM near_rows")
    insert = _statements("030_near.sql")[0]
    for band in range(1, (row[0] if row else 0) + 1):
        connection.execute(insert, {"band": band})
    connection.execute(
        "UPDATE judged SET reason = 'near_duplicate' WHERE triple_id IN ("
        "SELECT triple_id FROM near_rows JOIN ("
        "SELECT place FROM near_pairs GROUP BY place, other HAVING count(*) >= ?"
        ") USING (place))",
        [agreeing],
    )


def _reads_intent(connection: duckdb.DuckDBPyConnection, scorer: str | None) -> bool:
    row = first_row(
        connection, "SELECT bool_or(reads_intent) FROM scorers WHERE scorer_id = ?", [scorer]
    )
    return bool(row and row[0])


def _statements(name: str) -> Sequence[str]:
    """The statements of a file, without its comments."""
    lines = (_SQL / name).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    return [part.strip() for part in text.split(";\n") if part.strip(" ;\n")]


def _used(statement: str, **values: Any) -> dict[str, Any]:
    """Only the parameters that the statement names: DuckDB refuses others."""
    return {name: value for name, value in values.items() if f"${name}" in statement}
