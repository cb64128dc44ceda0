"""The served page from outside: what it gives away, whom it lets in, what it takes."""

import base64
import re
import socket
import threading
from contextlib import ExitStack

import httpx
import pytest

from app.web.limits import Line, RateLimit, Turns
from schemas.errors import ChatError, SettingsError
from tests.app.chat.web_server import served
from tests.app.conftest import ROOT

pytestmark = pytest.mark.xdist_group("web")
client = httpx.Client(timeout=60)  # a busy machine is no failure


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    home = tmp_path_factory.mktemp("web")
    (home / "secret.txt").write_text("top secret")
    with served(home, "--set", "chat.upload_megabytes=1") as running:
        yield running


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    with served(tmp_path_factory.mktemp("locked"), CHAT_AUTH="ann:s3cret") as running:
        yield running


def test_it_listens_on_this_machine_alone(app):
    port = int(app.url.rpartition(":")[2])
    other = socket.gethostbyname(socket.gethostname())
    if other.startswith("127."):
        pytest.skip("this machine has no other address")
    with (
        pytest.raises((ConnectionError, TimeoutError)),
        socket.create_connection((other, port), timeout=3),
    ):
        pass


def test_it_is_imported_without_type_stubs_being_written(tmp_path):
    """Gradio writes them at each import; that is half of what starting the page cost."""
    import os
    import subprocess
    import sys

    code = (
        "from app.web.gradio_import import import_gradio\n"
        "gradio = import_gradio()\n"
        "import gradio.component_meta as meta\n"
        "made = []\n"
        "meta.create_pyi = lambda code, events: made.append(code) or code\n"
        "meta.create_or_modify_pyi(gradio.Textbox, 'Textbox', [])\n"
        "print(gradio.Textbox(label='name').label, made)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          env=dict(os.environ))  # fmt: skip
    assert done.stdout == "name []\n", done.stderr


def test_the_page_fetches_nothing_from_elsewhere(app):
    page = client.get(app.url).text
    addresses = set(re.findall(r'(?:src|href)="(https?://[^"]+)"', page))
    assert not {a for a in addresses if not a.startswith(app.url)}


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "pyproject.toml", "{root}/pyproject.toml", "{home}/secret.txt",
        "{home}/warehouse/catalog.sqlite", "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd",
        "{home}/chat/sessions", "{home}/chat/cache/../../secret.txt", "//etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd", "file:///etc/passwd", "C:\\Windows\\win.ini",
    ],
)  # fmt: skip
def test_no_file_outside_its_own_folder_is_served(app, path):
    asked = path.format(home=app.home, root=ROOT)
    for prefix in (
        "/gradio_api/file=",
        "/file=",
        "/gradio_api/proxy=",
        "/static/",
        "/assets/",
        "/",
    ):
        answer = client.get(f"{app.url}{prefix}{asked}", follow_redirects=True)
        told = answer.text
        assert "root:" not in told
        assert "top secret" not in told
        assert "[project]" not in told
        assert "SQLite format" not in told


@pytest.mark.parametrize("route", ["file=", "proxy="])
def test_it_fetches_no_address_for_anybody(app, route):
    asked = len(app.endpoint.asked)
    for url in (app.endpoint.base_url, "http://169.254.169.254/latest/meta-data"):
        assert client.get(f"{app.url}/gradio_api/{route}{url}").status_code == 403
    assert len(app.endpoint.asked) == asked


def test_sessions_of_others_are_not_served(app):
    folder = app.home / "chat" / "sessions"
    (folder / f"{'a' * 32}.json").write_text('{"private": 1}')
    for prefix in ("/gradio_api/file=", "/file="):
        answer = client.get(f"{app.url}{prefix}{folder}/{'a' * 32}.json")
        assert answer.status_code in (403, 404)


def test_an_upload_over_the_limit_is_refused(app):
    files = {"files": ("big.png", b"\0" * (2 * 2**20), "image/png")}
    answer = client.post(f"{app.url}/gradio_api/upload", files=files)
    assert answer.status_code == 413
    small = {"files": ("../../../evil.png", b"\0" * 10, "image/png")}
    stored = client.post(f"{app.url}/gradio_api/upload", files=small)
    assert stored.status_code == 200
    assert str(app.home / "chat" / "cache") in stored.json()[0]
    assert not (app.home / "evil.png").exists()


def test_there_is_no_public_api_beside_the_page(app):
    info = client.get(f"{app.url}/gradio_api/info").json()
    assert not info.get("named_endpoints")
    assert client.get(f"{app.url}/openapi.json").status_code == 404


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/vote", "/theme.css"])
def test_without_the_password_nothing_is_shown(locked, path):
    assert client.get(locked.url + path).status_code == 401
    assert client.get(locked.url + path, auth=("ann", "wrong")).status_code == 401


def test_an_upload_without_the_password_is_refused(locked):
    files = {"files": ("a.png", b"\0", "image/png")}
    assert client.post(f"{locked.url}/gradio_api/upload", files=files).status_code == 401


def test_with_the_password_the_page_is_there(locked):
    assert "DiffChat" in client.get(locked.url, auth=("ann", "s3cret")).text
    odd = {"Authorization": "Basic " + base64.b64encode(b"ann").decode()}
    assert client.get(locked.url, headers=odd).status_code == 401


def test_a_password_without_a_user_is_refused_before_it_listens(monkeypatch):
    from app.web.serve import credentials_of

    monkeypatch.setenv("CHAT_AUTH", "justaword")
    with pytest.raises(SettingsError, match="user:password"):
        credentials_of("CHAT_AUTH")


def test_the_rate_is_limited_for_each_by_itself():
    rate = RateLimit(2, window_s=60)
    rate.take("a"), rate.take("a"), rate.take("b")
    with pytest.raises(ChatError, match="wait 60 s"):
        rate.take("a")
    rate.take("b")


def test_a_session_has_one_turn_at_a_time():
    turns = Turns()
    with turns.one("a"), turns.one("b"):
        with pytest.raises(ChatError, match="already at work"), turns.one("a"):
            pass
        assert turns.stop("a")
        assert (turns.stopped("a"), turns.stopped("b")) == (True, False)
    with turns.one("a"):
        assert not turns.stopped("a")
    assert not turns.stop("a")


def test_who_waits_knows_their_place_and_moves_up_when_somebody_leaves():
    line = Line(at_once=1, most=2)
    with ExitStack() as first, ExitStack() as second, ExitStack() as third:
        places = [who.enter_context(line.place()) for who in (first, second, third)]
        assert [ahead(0) for ahead in places] == [0, 1, 2]
        with pytest.raises(ChatError, match="2 people are waiting already"), line.place():
            pass
        second.close()  # somebody in the middle gives up
        assert places[2](0) == 1
        threading.Timer(0.2, first.close).start()
        assert places[2](30) == 0  # is told at once, not after thirty seconds


def test_each_address_is_counted_by_itself():
    """Gradio gives a request to a parameter it finds, and is silent otherwise."""
    from gradio.helpers import special_args

    from app.web.page import streamed

    seen = {}

    def act(session_id, message, address):
        seen.update(session_id=session_id, message=message, address=address)
        yield []

    class Request:
        client = type("Client", (), {"host": "10.0.0.7"})

    inputs, *_ = special_args(streamed(act), ["id", "a cat"], Request())
    list(streamed(act)(*inputs))
    assert (seen["session_id"], seen["message"], seen["address"]) == ("id", "a cat", "10.0.0.7")


def test_work_that_blocks_is_seen_from_outside():
    from app.web.beside import beside

    go, left = threading.Event(), threading.Event()

    def items():
        yield "writing"
        go.wait(20)
        yield "drawn"

    heard = beside(items(), 0.05, left)
    assert next(heard) == "writing"
    assert next(heard) is None
    go.set()
    assert [item for item in heard if item] == ["drawn"]

    def fails():
        yield "writing"
        raise ValueError("no memory")

    with pytest.raises(ValueError, match="no memory"):
        list(beside(fails(), 0.05, threading.Event()))

    def until_left():
        yield "writing"
        assert left.wait(20)
        yield "never heard"
        ended.set()

    left, ended = threading.Event(), threading.Event()
    heard = beside(until_left(), 0.05, left)
    assert next(heard) == "writing"
    heard.close()
    assert ended.wait(20), "the work goes on when nobody listens"


def test_the_list_of_models_names_the_champion(home):
    from app.parts import Workshop
    from app.store import ChatStore
    from app.web.serve import model_choices
    from schemas.settings import load_settings
    from tasks.plan import now, one_row
    from warehouse import Warehouse

    settings = load_settings("embedded")
    workshop = Workshop(settings, home, ChatStore(home))
    untrained = [("best there is", "auto"), ("base (not fine-tuned)", "base")]
    assert model_choices(workshop) == untrained
    with Warehouse.open(settings.warehouse, home) as lake:
        for name in "ab":
            row = one_row("model_versions", model_id=name * 32, method="sft", status="ok",
                          trained_at=now())  # fmt: skip
            lake.append("model_versions", row)
        assert [name for _, name in model_choices(workshop)][2:] == ["b" * 12, "a" * 12]
        moved = {"move_id": "c" * 32, "alias": "champion", "model_id": "a" * 32}
        lake.append("aliases", one_row("aliases", **moved, reason="best", moved_at=now()))
    assert ("champion (aaaaaaaaaaaa)", "champion") in model_choices(workshop)


def test_a_turn_says_which_model_wrote_it_and_not_by_which_name_it_was_asked(home, tmp_path):
    from app.parts import Workshop
    from app.store import ChatStore
    from schemas.settings import load_settings
    from tasks.plan import now, one_row
    from warehouse import Warehouse

    settings = load_settings("embedded")
    assert Workshop(settings, home, ChatStore(home)).parts().model == "base"
    folder = f"models/{'a' * 32}/final"
    (home / folder).mkdir(parents=True)
    with Warehouse.open(settings.warehouse, home) as lake:
        row = one_row("model_versions", model_id="a" * 32, method="ppo", status="ok", base="b",
                      base_hash="h", folder=folder, trained_at=now())  # fmt: skip
        lake.append("model_versions", row)
    workshop = Workshop(settings, home, ChatStore(home))
    assert [workshop.parts(name).model for name in ("auto", "latest", "base")] == [
        "a" * 12, "a" * 12, "base"
    ]  # fmt: skip


def test_words_sent_before_the_page_has_opened_are_given_back(home):
    """Else `open`, answering late, would put an empty session in the place of the turn's."""
    from app.consent import ConsentedTurns
    from app.parts import Workshop
    from app.store import ChatStore
    from app.web.actions import OUTPUTS, Actions
    from schemas.settings import load_settings

    settings, store = load_settings("embedded"), ChatStore(home)
    actions = Actions(Workshop(settings, home, store), ConsentedTurns(settings, home))
    (shown,) = actions.send("", "a red car", "auto", settings.tis.model, 0, True, "", False)
    values = dict(zip(OUTPUTS, shown, strict=True))
    assert "still opening" in values["status"]
    assert values["unsent"] == "a red car"
    assert values["session_id"], "the next words have a session, even if opening never ends"


def test_a_fault_of_the_program_is_said_and_the_session_goes_on(home, monkeypatch, parts):
    from app.consent import ConsentedTurns
    from app.parts import Workshop
    from app.store import ChatStore
    from app.web.actions import OUTPUTS, Actions
    from schemas.settings import load_settings

    settings, store = load_settings("embedded"), ChatStore(home)
    workshop = Workshop(settings, home, store)
    actions = Actions(workshop, ConsentedTurns(settings, home))

    def shown(session_id: str, text: str) -> tuple[list[dict], Exception | None]:
        seen = []
        try:
            tis = settings.tis.model
            for values in actions.send(session_id, text, "m", tis, 0, True, "", False):
                seen.append(dict(zip(OUTPUTS, values, strict=True)))
        except Exception as error:
            return seen, error
        return seen, None

    def broken(messages):
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(workshop, "parts", lambda model, tis: parts)
    seen, _ = shown(store.new().session_id, "a red car")
    session_id = seen[-1]["session_id"]
    monkeypatch.setattr(workshop, "parts", lambda model, tis: parts._replace(rewrite=broken))
    seen, error = shown(session_id, "make it blue")
    assert isinstance(error, ZeroDivisionError)  # for the log and Gradio's own message
    assert "ZeroDivisionError" in seen[-1]["status"]
    assert "alert" in seen[-1]["status"]
    monkeypatch.setattr(workshop, "parts", lambda model, tis: parts)
    assert "Turn 2 of 2" in shown(session_id, "make it blue")[0][-1]["status"]
