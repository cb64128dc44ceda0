"""`diffchat app`: the page on a port, for this machine unless told otherwise.

    diffchat app                                   # http://127.0.0.1:7860
    CHAT_AUTH=ann:secret diffchat app --host 0.0.0.0

The page is up before the models are: they load beside it, and the first turn waits for them.  The
voting page of the evaluation lives under /vote.  Leaves out TLS: put a proxy in front.
"""

import base64
import logging
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any

from app.consent import ConsentedTurns
from app.console import note
from app.parts import Workshop
from app.store import ChatStore
from app.web.gradio_import import import_gradio
from schemas.errors import DiffChatError, SettingsError
from schemas.settings import Settings, home
from warehouse import Warehouse

LOG = logging.getLogger(__name__)
LOCAL = ("127.0.0.1", "localhost", "::1")


def run_app(settings: Settings) -> None:
    """Serve until interrupted.  Raises SettingsError if the port is taken or the user is none."""
    started = time.monotonic()
    chat = settings.chat
    listening = listen(chat.host, chat.port)
    credentials = credentials_of(chat.auth_env)
    workshop = Workshop(settings, home(), ChatStore(home(), chat.stored_pictures))
    workshop.parts()  # what is wrong with the settings is said before anybody comes
    given = ConsentedTurns(settings, home())
    app = make_app(workshop, given, credentials)
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    listening.listen(128)  # whoever comes from now on waits a moment and is not turned away
    host, port = listening.getsockname()[:2]
    note(f"DiffChat is up after {time.monotonic() - started:.1f} s: http://{host}:{port}")
    if host not in LOCAL and credentials is None:
        note(f"Everybody who reaches {host} can use it: set {chat.auth_env}=user:password.")
    threading.Thread(target=warm, args=(workshop,), daemon=True).start()
    try:
        server.run(sockets=[listening])
    finally:
        given.close()


def listen(host: str, port: int) -> socket.socket:
    """A bound socket.  Raises SettingsError that says which port and what to do."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        raise SettingsError(
            f"Cannot listen on {host}:{port} ({error.strerror}): is `diffchat app` running "
            "already? Take another --port, or 0 for a free one."
        ) from None
    return bound


def warm(workshop: Workshop) -> None:
    """Load the models; what is wrong with them is said here and again at the first turn."""
    started = time.monotonic()
    try:
        workshop.warm()
    except DiffChatError as error:
        note(f"The models could not be loaded: {error}")
    else:
        note(f"The models are ready after {time.monotonic() - started:.1f} s more.")


def make_app(workshop: Workshop, given: ConsentedTurns, credentials: tuple[str, str] | None) -> Any:
    """The ASGI application: the page, the voting page, and a lock around both."""
    cache = workshop.store.root / "cache"
    # Read when Gradio is imported: uploads and what is shown go there and nowhere else.
    os.environ["GRADIO_TEMP_DIR"] = str(cache)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    gr = import_gradio()
    from fastapi import FastAPI

    from app.web.actions import Actions
    from app.web.page import build_page, style, theme

    settings = workshop.settings
    models = model_choices(workshop)
    tis_models = [settings.tis.model, *settings.chat.tis_models]
    undescribed: dict[str, Any] = {"openapi_url": None, "docs_url": None, "redoc_url": None}
    app = FastAPI(**undescribed)
    voting = mount_voting(app, workshop, given)
    page = build_page(Actions(workshop, given), models, tis_models, voting)
    app = gr.mount_gradio_app(
        app, page, path="/", theme=theme(), css=style(), footer_links=[], ssr_mode=False,
        allowed_paths=[], blocked_paths=[str(Path.cwd())] if _apart(cache) else [],
        max_file_size=f"{settings.chat.upload_megabytes:g}mb", show_error=True, pwa=False,
        mcp_server=False, enable_monitoring=False, run_history=False, app_kwargs=undescribed,
    )  # fmt: skip
    served = NoProxy(app)
    return BasicAuth(served, credentials) if credentials else served


def _apart(cache: Path) -> bool:
    """Whether the working directory can be blocked without blocking the page's own files."""
    return Path.cwd().resolve() not in cache.resolve().parents


def mount_voting(app: Any, workshop: Workshop, given: ConsentedTurns) -> bool:
    """The voting page on the latest evaluation; whether there is one."""
    if not Warehouse.exists(workshop.settings.warehouse, workshop.home):
        return False
    from fastapi.responses import RedirectResponse

    from app.evaluation import evaluation_row
    from app.voting import Ballot, voting_app

    try:
        ballot = Ballot(given.lake(), evaluation_row(given.lake(), "latest"))
    except SettingsError as error:  # nothing was evaluated yet: there is nothing to vote on
        LOG.info("no voting page: %s", error)
        return False
    if not ballot.pairs:
        return False
    # Without the slash Gradio, which lies at the root, would answer that there is no such page.
    app.add_api_route("/vote", lambda: RedirectResponse("vote/"))
    app.mount("/vote", voting_app(ballot))
    note(f"{len(ballot.pairs)} pairs to vote on under /vote")
    return True


TRAINED = """
SELECT model_id, method, trained_at, model_id = (
    SELECT model_id FROM aliases WHERE alias = 'champion' ORDER BY moved_at DESC LIMIT 1
) AS champion
FROM model_versions WHERE status = 'ok' ORDER BY trained_at DESC, model_id
"""


def model_choices(workshop: Workshop) -> list[tuple[str, str]]:
    """The list "Written by", as shown and as named: what was asked for, champion, base, others."""
    asked = workshop.model_name
    named = {asked: "best there is" if asked == "auto" else asked}
    if workshop.settings.chat.endpoint.base_url:
        return [(asked, asked)]
    rows: list[dict[str, Any]] = []
    if Warehouse.exists(workshop.settings.warehouse, workshop.home):
        with Warehouse.open(workshop.settings.warehouse, workshop.home, read_only=True) as lake:
            rows = lake.query(TRAINED).to_pylist()
    for row in rows:
        if row["champion"]:
            named.setdefault("champion", f"champion ({row['model_id'][:12]})")
    named.setdefault("base", "base (not fine-tuned)")
    for row in rows:
        model = row["model_id"][:12]
        named.setdefault(model, f"{row['method']} of {row['trained_at']:%Y-%m-%d %H:%M} ({model})")
    return [(shown, name) for name, shown in named.items()]


def credentials_of(variable: str) -> tuple[str, str] | None:
    """(user, password) of the variable, None where it is not set.  Raises SettingsError."""
    value = os.environ.get(variable, "")
    if not value:
        return None
    user, colon, password = value.partition(":")
    if not (user and colon and password):
        raise SettingsError(f"{variable} must hold user:password, with a colon between.")
    return user, password


class NoProxy:
    """Refuses the routes by which Gradio would fetch an address for whoever asks."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and ("/proxy=" in path or "file=http" in path):
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"Not from here."})
            return
        await self.app(scope, receive, send)


class BasicAuth:
    """Asks for user and password in front of everything, the page's files and uploads included."""

    def __init__(self, app: Any, credentials: tuple[str, str]) -> None:
        self.app = app
        self.expected = b"Basic " + base64.b64encode(":".join(credentials).encode())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if secrets.compare_digest(given, self.expected):
            await self.app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = [(b"www-authenticate", b'Basic realm="DiffChat", charset="UTF-8"'),
                   (b"content-type", b"text/plain; charset=utf-8")]  # fmt: skip
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"Say who you are."})
