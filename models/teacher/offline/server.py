"""A local OpenAI-compatible HTTP server with the rule-based editor behind it.

`POST /v1/chat/completions` and `GET /v1/models`; errors have OpenAI's shape.  Needs no key and
takes any.  Leaves out streaming, tools and everything else of the API.

    python -m models.teacher.offline --port 8011
"""

import asyncio
import gc
import json
import os
from typing import Any

from models.teacher.offline.answering import MODEL, BadRequest, complete
from schemas.errors import TeacherError

MAX_BODY = 16 * 2**20  # bytes
PARENT_CHECK_S = 1.0


def make_app() -> Any:
    """The aiohttp application; the editor's word lists are loaded before it is ready."""
    from aiohttp import web

    async def completions(request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
            return _json(complete(body))
        except BadRequest as error:
            return _error(400, str(error), error.param)
        except (ValueError, RecursionError):
            return _error(400, "The body is not valid JSON.")

    async def models(_: web.Request) -> web.Response:
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "diffchat"}
        return _json({"object": "list", "data": [model]})

    async def not_found(request: web.Request) -> web.Response:
        return _error(404, f"There is no {request.method} {request.path}; "
                           "this server has /v1/chat/completions and /v1/models.")  # fmt: skip

    def _json(data: Any, status: int = 200) -> web.Response:
        body = json.dumps(data, ensure_ascii=True).encode()
        return web.Response(body=body, status=status, content_type="application/json")

    def _error(status: int, message: str, param: str | None = None) -> web.Response:
        error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
        return _json({"error": error}, status)

    complete({"messages": [{"role": "user", "content": "a small dog in a park"}]})  # loads lists
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post("/v1/chat/completions", completions)
    app.router.add_get("/v1/models", models)
    app.router.add_route("*", "/{path:.*}", not_found)
    return app


def serve(host: str = "127.0.0.1", port: int = 8011, *, parent: int | None = None) -> None:
    """Serve until interrupted; `port` 0 takes a free one.  Prints the base URL when ready.

    With `parent`, ends when that process does.  Raises TeacherError if the port is taken.
    """
    import uvloop

    # Nearly all garbage is freed by counting; scanning the word lists for cycles is a fifth of
    # the time of a request.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    uvloop.run(_serve(host, port, parent))


async def _serve(host: str, port: int, parent: int | None) -> None:
    from aiohttp import web

    runner = web.AppRunner(make_app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=1024)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise TeacherError(
            f"The offline teacher cannot listen on {host}:{port}: {error.strerror or error}. "
            "Choose another --port, or 0 for a free one."
        ) from error
    address = runner.addresses[0]
    print(f"ready http://{address[0]}:{address[1]}/v1", flush=True)
    try:
        await _until_orphaned(parent)
    finally:
        await runner.cleanup()


async def _until_orphaned(parent: int | None) -> None:
    if parent is None:
        await asyncio.Event().wait()
    while os.getppid() == parent:  # noqa: ASYNC110, the kernel sends no event for this
        await asyncio.sleep(PARENT_CHECK_S)
