"""Commands for conversing with a trained model."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.options import Endpoint, Json, Model, Override, Profile, chat_settings


def rewrite(
    prompt: Annotated[str | None, typer.Argument(help="Without: JSONL on stdin.")] = None,
    instruction: Annotated[str | None, typer.Argument(help="Without: make it look better.")] = None,
    model: Model = None,
    endpoint: Endpoint = None,
    profile: Profile = "embedded",
    override: Override = None,
    as_json: Json = False,
) -> None:
    """A prompt and an instruction in, the new prompt out."""
    from app.rewrite import run_rewrite

    run_rewrite(chat_settings(profile, override, model, endpoint), prompt, instruction, as_json)


def chat(
    resume: Annotated[
        str | None, typer.Option(help="last, a session id, or an exported .json.")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Where pictures are saved.")] = None,
    show: Annotated[
        str, typer.Option(help="Pictures in the terminal: auto, kitty, iterm, blocks, none.")
    ] = "auto",
    model: Model = None,
    endpoint: Endpoint = None,
    profile: Profile = "embedded",
    override: Override = None,
) -> None:
    """Converse with the model and see the pictures, in the terminal."""
    from app.chat_terminal import run_chat

    run_chat(chat_settings(profile, override, model, endpoint), resume, folder, show)


def web_app(
    host: Annotated[str | None, typer.Option(help="Interface; default: this machine only.")] = None,
    port: Annotated[int | None, typer.Option(help="0: a free one.")] = None,
    model: Model = None,
    endpoint: Endpoint = None,
    profile: Profile = "embedded",
    override: Override = None,
) -> None:
    """The same as a web page."""
    settings = chat_settings(
        profile, override, model, endpoint, {"chat.host": host, "chat.port": port}
    )
    from app.web.serve import run_app

    run_app(settings)
