"""Blind pairwise voting: a small local page, and each vote a row of the warehouse.

    diffchat vote                       (then open http://127.0.0.1:8410)

`voting_app` is an ASGI app that can be mounted in another (`other.mount("/vote", voting_app(…))`).
The page knows neither method nor prompt, only two pictures of one case; which is left, and the
order of the pairs, depend on voter and pair, so a reload goes on where the voter was.  A vote's id
is voter and pair: a double click, a second tab or the back button change nothing.

Leaves out: passwords.  It is a page for people in one room; a voter is the name they type.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from app.console import note
from schemas.errors import SettingsError
from schemas.identity import content_id, tis_id
from schemas.settings import Settings, home
from warehouse import Warehouse

MOST_PAIRS = 400  # of one evaluation, by hash: about an hour of a voter's time
Row = dict[str, Any]
Choice = Literal["left", "right", "tie", "skip"]

PICTURES = """
SELECT o.method_id, o.case_id, c.raw_prompt, c.instruction, any_value(r.image_sha256) AS sha
FROM pictured_outputs($cases, $methods::VARCHAR[]) AS o
JOIN evaluation_cases AS c ON c.case_id = o.case_id AND c.case_set_id = $cases
JOIN renders AS r ON r.prompt = o.prompt AND r.tis_id = $tis AND r.status = 'ok' AND r.seed = $seed
GROUP BY ALL
"""


def pairs_of(lake: Warehouse, evaluation: Mapping[str, Any]) -> dict[str, Row]:
    """pair id → case, the two methods in the order of their ids, and their pictures.

    Pairs whose pictures are the same leave nothing to judge and are left out.
    """
    provenance = json.loads(evaluation["summary"])["provenance"]
    main, seed = evaluation["tis_ids"][0], evaluation["seeds"][0]
    by_case: dict[str, list[Row]] = {}
    for method in provenance["methods"]:
        edits = method["settings"]["kind"] == "edit"
        canvas = tis_id(method["method_id"], {"edits": main}) if edits else main
        rows = lake.query(PICTURES, {"cases": evaluation["case_set_id"], "tis": canvas,
                                     "methods": [method["method_id"]], "seed": seed})  # fmt: skip
        for row in rows.to_pylist():
            by_case.setdefault(row["case_id"], []).append(row)
    pairs: dict[str, Row] = {}
    for case_id, rows in by_case.items():
        rows.sort(key=lambda row: row["method_id"])
        for i, first in enumerate(rows):
            for second in rows[i + 1 :]:
                if first["sha"] != second["sha"]:
                    ids = (first["method_id"], second["method_id"])
                    name = content_id("pair", case_id, main, seed, *ids)
                    pairs[name] = {"pair_id": name, "case_id": case_id, "seed": seed,
                                   "first": first, "second": second}  # fmt: skip
    chosen = sorted(pairs, key=lambda name: content_id("chosen", name))[:MOST_PAIRS]
    return {name: pairs[name] for name in chosen}


def vote_id(voter: str, pair_id: str) -> str:
    """A vote is who judged what."""
    return content_id("vote", voter, pair_id)


def left_is_first(voter: str, pair_id: str) -> bool:
    """Whether this voter sees the first method on the left: half of the pairs, by hash."""
    return int(content_id("side", voter, pair_id)[:8], 16) % 2 == 0


class Ballot:
    """The pairs of one evaluation and the votes on them; safe to share between threads."""

    def __init__(self, lake: Warehouse, evaluation: Mapping[str, Any]):
        self.lake, self.evaluation_id = lake, evaluation["evaluation_id"]
        self.pairs = pairs_of(lake, evaluation)
        sides = ("first", "second")
        self.pictures = {pair[side]["sha"] for pair in self.pairs.values() for side in sides}

    def judged(self, voter: str) -> set[str]:
        """The pairs that a voter has judged or skipped."""
        sql = "SELECT pair_id FROM votes WHERE voter = $voter"
        found = self.lake.query(sql, {"voter": voter}).column(0).to_pylist()
        return set(found) & set(self.pairs)

    def next(self, voter: str) -> Row:
        """The next pair of a voter and how far they are; `pair` is None at the end."""
        done = self.judged(voter)
        left = [name for name in self.pairs if name not in done]
        state: Row = {"done": len(done), "total": len(self.pairs), "pair": None}
        if left:
            pair = self.pairs[min(left, key=lambda name: content_id("order", voter, name))]
            shown = self._sides(voter, pair)
            state["pair"] = {
                "id": pair["pair_id"],
                "raw_prompt": pair["first"]["raw_prompt"],
                "instruction": pair["first"]["instruction"],
                "left": shown[0]["sha"],
                "right": shown[1]["sha"],
            }
        return state

    def vote(self, voter: str, pair_id: str, choice: Choice) -> bool:
        """Keep a vote; False if this voter has judged this pair before.  KeyError: no such pair."""
        from datetime import UTC, datetime

        import pyarrow as pa

        from schemas.records import VOTES

        pair = self.pairs[pair_id]
        left = self._sides(voter, pair)[0]
        first_is_left = left is pair["first"]
        said = {"left": "first" if first_is_left else "second",
                "right": "second" if first_is_left else "first"}.get(choice, choice)  # fmt: skip
        row = {
            "vote_id": vote_id(voter, pair_id),
            "voter": voter,
            "pair_id": pair_id,
            "evaluation_id": self.evaluation_id,
            "case_id": pair["case_id"],
            "first_method": pair["first"]["method_id"],
            "second_method": pair["second"]["method_id"],
            "seed": pair["seed"],
            "left_method": left["method_id"],
            "choice": said,
            "voted_at": datetime.now(UTC),
        }
        return self.lake.append("votes", pa.Table.from_pylist([row], schema=VOTES)) > 0

    def _sides(self, voter: str, pair: Row) -> tuple[Row, Row]:
        two = pair["first"], pair["second"]
        return two if left_is_first(voter, pair["pair_id"]) else (two[1], two[0])


def voting_app(ballot: Ballot) -> Any:
    """The page and its three questions, as an ASGI app."""
    from fastapi import FastAPI, HTTPException, Query, Response
    from fastapi.responses import HTMLResponse
    from pydantic import BaseModel, Field

    class Vote(BaseModel):
        voter: str = Field(min_length=1, max_length=60)
        pair: str
        choice: Choice

    app = FastAPI(title="DiffChat voting", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return page_html()

    @app.get("/next")
    def next_pair(response: Response, voter: str = Query(min_length=1, max_length=60)) -> Row:
        # A browser that goes back would otherwise show what it was answered before.
        response.headers["Cache-Control"] = "no-store"
        return ballot.next(voter.strip())

    @app.post("/vote")
    def vote(vote: Vote) -> Row:
        if vote.pair not in ballot.pairs:
            raise HTTPException(404, "There is no such pair in this evaluation.")
        recorded = ballot.vote(vote.voter.strip(), vote.pair, vote.choice)
        return {"recorded": recorded} | ballot.next(vote.voter.strip())

    @app.get("/picture/{sha}")
    def picture(sha: str) -> Response:
        if sha not in ballot.pictures:
            raise HTTPException(404, "No pair shows this picture.")
        png = ballot.lake.images.get(sha)
        return Response(png, media_type="image/png", headers={"Cache-Control": "max-age=3600"})

    return app


@cache
def page_html() -> str:
    """The page; it loads nothing from elsewhere."""
    return (files("app") / "pages" / "voting.html").read_text(encoding="utf-8")


def serve(settings: Settings, name: str, host: str, port: int) -> None:
    """Serve the page until Ctrl-C."""
    import socket

    import uvicorn

    from app.evaluation import evaluation_row

    with Warehouse.open(settings.warehouse, home()) as lake:
        ballot = Ballot(lake, evaluation_row(lake, name))
        if not ballot.pairs:
            raise SettingsError("This evaluation has no two different pictures of one case.")
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise SettingsError(f"Port {port} of {host} cannot be used: {error}.") from None
        address = f"http://{host}:{listener.getsockname()[1]}"
        note(f"{len(ballot.pairs)} pairs to judge at {address}   (Ctrl-C ends; votes are kept)")
        config = uvicorn.Config(voting_app(ballot), log_level="warning")
        uvicorn.Server(config).run(sockets=[listener])
    note("the votes are kept; `diffchat report` puts them into the report")
