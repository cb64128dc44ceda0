"""`diffchat evaluate` and what it leaves, as a person meets them: command line, page, votes."""

import json
import shutil
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from schemas.settings import WarehouseSettings
from tests.app import evaluated
from warehouse import Warehouse

pytestmark = [pytest.mark.xdist_group("evaluation"), pytest.mark.timeout(900)]
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shared_prefect) -> Path:
    return tmp_path_factory.mktemp("evaluated")


@pytest.fixture(scope="module")
def result(folder) -> dict:
    evaluated.prepare(folder)
    done = evaluated.run(folder / "home", *evaluated.words(folder), "--json")
    return json.loads(done.stdout) | {"home": folder / "home"}


def test_every_method_has_a_column_and_one_that_is_down_says_so(result):
    assert result["new"]
    assert [column["name"] for column in result["columns"]] == [
        "raw", "raw + instruction", "teacher", "miniature", "best of two", "edited",
        "endpoint gone",
    ]  # fmt: skip
    [down] = [row for row in result["failures"] if row["method"] == "endpoint gone"]
    assert (down["failed"], down["of"]) == (6, 6)
    assert "no connection to http://127.0.0.1:9/v1" in down["error"]
    summary = json.loads(Path(result["report"]).with_name("summary.json").read_text())
    means = {(row["method"], row["metric"]): row for row in summary["means"]}
    assert means["endpoint gone", "overflow"]["mean"] == 1.0
    assert means["teacher", "integrity"]["mean"] > means["raw", "integrity"]["mean"]
    assert means["raw", "held_out"]["cases"] == means["edited", "held_out"]["cases"] == 6
    assert ("edited", "integrity") not in means, "an edited picture has no prompt"


def test_the_same_numbers_lie_beside_the_page(result):
    report = Path(result["report"])
    summary = json.loads(report.with_name("summary.json").read_text())
    assert pq.read_table(report.with_name("means.parquet")).to_pylist() == summary["means"]
    cases = pq.read_table(report.with_name("cases.parquet")).to_pylist()
    own = [r["value"] for r in cases if (r["method"], r["metric"]) == ("teacher", "integrity")]
    [mean] = [r for r in summary["means"]
              if (r["method"], r["metric"]) == ("teacher", "integrity")]  # fmt: skip
    assert sum(own) / len(own) == pytest.approx(mean["mean"], abs=1e-5)
    assert report.parent.parent.joinpath("latest").resolve() == report.parent
    assert not [p for p in report.parent.parent.iterdir() if p.name.startswith(".")]


def test_a_second_run_renders_nothing_and_gives_up_on_what_stays_down(folder, result):
    def counts():
        with Warehouse.open(WarehouseSettings(), result["home"], read_only=True) as lake:
            return [
                lake.query(f"SELECT count(*) AS n FROM {table}").column(0)[0].as_py()
                for table in ("renders", "scores", "evaluations")
            ]

    before = counts()
    evaluated.run(result["home"], *evaluated.words(folder), "--json")  # asks the endpoint again
    last = json.loads(evaluated.run(result["home"], *evaluated.words(folder), "--json").stdout)
    assert (last["new"], counts()) == (False, before)


def look(page_path: Path, size: tuple[int, int], picture: Path):
    """What a browser says of a page: messages, requests, width, charts, pictures."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "dialog", lambda dialog: (said.append(f"dialog {dialog.message}"), dialog.dismiss())
        )
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_path.as_uri())
        page.wait_for_selector("body[data-drawn]", timeout=60_000)
        found = page.evaluate(
            """() => ({
                width: document.documentElement.scrollWidth,
                charts: [...document.querySelectorAll('.chart')].map(c => {
                    const svg = c.querySelector('svg');
                    return svg ? svg.querySelectorAll('path, line, text').length : 0; }),
                narrow: [...document.querySelectorAll('.chart svg')]
                    .filter(s => s.getBoundingClientRect().right > innerWidth + 1).length,
                images: [...document.images].map(i => i.complete && i.naturalWidth > 0),
                scripts: [...document.scripts].filter(s => s.textContent.includes('alert(1)')
                    && s.type !== 'application/json').length,
                text: document.body.innerText })"""
        )
        page.screenshot(path=str(picture), full_page=True)
        browser.close()
    outside = [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    return found | {"said": said, "outside": outside}


@pytest.mark.needs_system("chromium")
@pytest.mark.parametrize("name", WIDTHS)
def test_the_page_in_a_browser(result, tmp_path, name):
    found = look(Path(result["report"]), WIDTHS[name], tmp_path / f"{name}.png")
    assert found["said"] == []
    assert found["outside"] == []
    assert found["width"] <= WIDTHS[name][0], "the page must not scroll sideways"
    assert len(found["charts"]) >= 10
    assert min(found["charts"]) > 3, "a chart is not drawn"
    assert found["narrow"] == 0
    assert found["images"]
    assert all(found["images"])
    assert found["scripts"] == 0
    assert "<script>alert(1)</script> a boat at sea" in found["text"]
    assert "<img src=x onerror=alert(2)> make it night" in found["text"]


class Page:
    """The voting page in a thread of its own, on a free port."""

    def __init__(self, result):
        import uvicorn

        from app.evaluation import evaluation_row
        from app.voting import Ballot, voting_app

        self.lake = Warehouse.open(WarehouseSettings(), result["home"])
        self.ballot = Ballot(self.lake, evaluation_row(self.lake, "latest"))
        config = uvicorn.Config(voting_app(self.ballot), port=0, log_level="error")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self):
        import time

        self.thread.start()
        while not self.server.started:
            time.sleep(0.05)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join(10)
        self.lake.close()

    def votes(self, voter: str) -> list[dict]:
        return self.lake.query("FROM votes WHERE voter = $v", {"v": voter}).to_pylist()


def wait_done(page, count: int) -> None:
    page.wait_for_function(f"document.body.dataset.done === '{count}'", timeout=30_000)


@pytest.mark.needs_system("chromium")
def test_two_voters_with_reload_double_click_and_back_lose_and_double_nothing(result):
    playwright = pytest.importorskip("playwright.sync_api")
    with Page(result) as site, playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        people = {}
        for name in ("ann", "bob"):
            page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
            page.goto(site.url)
            page.fill("#name", name)
            page.keyboard.press("Enter")
            wait_done(page, 0)
            people[name] = page
        ann, bob = people["ann"], people["bob"]
        assert "teacher" not in ann.content()
        ann.keyboard.press("ArrowLeft")
        bob.locator(".rest [data-choice=tie]").dblclick()
        wait_done(ann, 1)
        bob.wait_for_function("Number(document.body.dataset.done) >= 1")
        bob.wait_for_timeout(500)
        done = int(bob.evaluate("document.body.dataset.done"))
        assert (
            len({vote["pair_id"] for vote in site.votes("bob")}) == len(site.votes("bob")) == done
        )
        ann.reload()
        wait_done(ann, 1)
        seen = ann.evaluate("document.body.dataset.pair")
        ann.keyboard.press("s")
        wait_done(ann, 2)
        ann.goto(f"{site.url}next?voter=x")
        ann.go_back()
        wait_done(ann, 2)
        ann.keyboard.press("ArrowRight")
        wait_done(ann, 3)
        assert [v["choice"] for v in site.votes("ann") if v["pair_id"] == seen] == ["skip"]
        assert len(site.votes("ann")) == 3
        # The same vote twice, as a page that was left open would send it.
        assert site.ballot.vote("ann", seen, "left") is False
        assert len(site.votes("ann")) == 3
        browser.close()


@pytest.mark.needs_system("chromium")
def test_the_ballot_lies_in_the_app_and_takes_votes_there(result):
    from tests.app.chat.web_server import served

    playwright = pytest.importorskip("playwright.sync_api")
    with served(result["home"]) as app, playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(app.url)
        with page.expect_popup() as opened:  # the conversation stays where it is
            page.click("text=judge pictures in pairs")
        page = opened.value
        page.wait_for_url("**/vote/")
        page.fill("#name", "carol")
        page.keyboard.press("Enter")
        wait_done(page, 0)
        for side in ("left", "right"):
            assert page.locator(f"#{side}").evaluate("i => i.decode().then(() => i.naturalWidth)")
        page.keyboard.press("ArrowLeft")
        wait_done(page, 1)
        page.goto(f"{app.url}/vote")  # as people type it
        wait_done(page, 1)
        browser.close()
    with Warehouse.open(WarehouseSettings(), result["home"], read_only=True) as lake:
        votes = lake.query("FROM votes WHERE voter = 'carol'").to_pylist()
    assert [vote["left_method"] in (vote["first_method"], vote["second_method"])
            for vote in votes] == [True]  # fmt: skip


def test_votes_come_into_the_report(result):
    from app.evaluation import evaluation_row
    from app.voting import Ballot

    with Warehouse.open(WarehouseSettings(), result["home"]) as lake:
        ballot = Ballot(lake, evaluation_row(lake, "latest"))
        for name in list(ballot.pairs)[:4]:
            for voter in ("cem", "dia"):
                assert ballot.vote(voter, name, "left")
        sides = {v["left_method"] == v["first_method"]
                 for v in lake.query("FROM votes").to_pylist()}  # fmt: skip
    assert sides == {True, False}, "sides must be shuffled"
    out = json.loads(evaluated.run(result["home"], "report", "--json").stdout)
    people = json.loads(Path(out["report"]).with_name("summary.json").read_text())["people"]
    assert people["votes"] >= 8
    assert people["agreement"]["voters"] >= 2
    assert people["ranking"]


def test_a_report_outlives_its_model_and_says_why_it_is_not_written_again(folder, result):
    page = Path(result["report"])
    before = page.read_bytes()
    (folder / "student").rename(folder / "gone")
    try:
        done = evaluated.run(result["home"], "report", "--json")
        asked = evaluated.run(result["home"], *evaluated.words(folder), code=6)
    finally:
        (folder / "gone").rename(folder / "student")
    assert json.loads(done.stdout)["report"] == str(page.resolve())
    assert "The report stands as it was written" in done.stderr
    assert "There is no model" in asked.stderr
    assert page.read_bytes() == before


def test_what_is_wrong_is_said_and_leaves_no_report(folder, result, tmp_path):
    home = result["home"]
    before = sorted(p.name for p in (home / "reports").iterdir())
    (tmp_path / "bad.csv").write_text("prompt,target\na,b\n")
    for words, code, said in (
        (("--cases", str(tmp_path / "bad.csv")), 2, "column 'instruction' is missing"),
        (("nobody", "--cases", str(folder / "cases.jsonl")), 6, "There is no model 'nobody'"),
        ((), 2, "There is no published dataset version"),
        (("--set", "evaluation.dataset_version=9"), 3, "There is no dataset version 9"),
        (("champion", "--cases", str(folder / "cases.jsonl")), 6, "No model is champion yet"),
    ):
        done = evaluated.run(home, "evaluate", *words, code=code)
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    assert sorted(p.name for p in (home / "reports").iterdir()) == before
