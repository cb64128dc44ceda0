"""Commands of the dataset: build it, ask it, take it out and bring others in."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.options import Json, Override, Profile, changes_of, settings_of


def build(
    profile: Profile = "embedded",
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompts", help="File, glob or hf://dataset; repeatable; replaces sources."),
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column of --prompts tables.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of --prompts.")] = "unknown",
    limit: Annotated[int | None, typer.Option(help="Raw prompts a source, at most.")] = None,
    render: Annotated[
        bool, typer.Option("--render/--no-render", help="No render: text rules alone decide.")
    ] = True,
    decide_only: Annotated[
        bool, typer.Option("--decide-only", help="New thresholds, no call, no render.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what was given up.")
    ] = False,
    max_usd: Annotated[float | None, typer.Option(help="Stop cleanly at this cost.")] = None,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Collect, teach, render, score, decide and publish whatever is not there yet."""
    from app.build import run_build

    sources = [{"location": p, "column": column, "licence": licence} for p in prompts or []]
    options = {
        "collect.sources": sources or None,
        "collect.limit": limit,
        "teacher.max_usd": max_usd,
        "render.enabled": None if render else False,
    }
    run_build(profile, changes_of(override, options), decide_only, retry_failed, as_json)


def estimate(
    profile: Profile = "embedded",
    prompts: Annotated[list[str] | None, typer.Option("--prompts", help="As in build.")] = None,
    limit: Annotated[int | None, typer.Option(help="As in build.")] = None,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Calls, tokens, money and time that a build would take, before anything is paid."""
    from app.estimate import run_estimate

    sources = [{"location": p} for p in prompts or []]
    options = {"collect.sources": sources or None, "collect.limit": limit}
    run_estimate(settings_of(profile, changes_of(override, options)), as_json)


def sql(
    query: Annotated[str, typer.Argument(help='For example "FROM instructpe LIMIT 5".')],
    version: Annotated[
        int | None, typer.Option(help="As of this published version; default: now.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Rows shown of a table.")] = 40,
    csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
    profile: Profile = "embedded",
    as_json: Json = False,
) -> None:
    """Ask the warehouse a question in SQL (read only)."""
    from app.query import run_sql

    form = "json" if as_json else "csv" if csv else "table"
    run_sql(settings_of(profile), query, version, form, limit)


def versions(profile: Profile = "embedded", as_json: Json = False) -> None:
    """The published versions of the dataset."""
    from app.query import show_versions

    show_versions(settings_of(profile), as_json)


def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    version: Annotated[int | None, typer.Option(help="Default: the latest.")] = None,
    profile: Profile = "embedded",
    as_json: Json = False,
) -> None:
    """Write a published version as a Hugging Face dataset folder."""
    from app.transfer import run_export

    run_export(settings_of(profile), folder, version, as_json)


def import_triples(
    files: Annotated[
        list[str], typer.Argument(help="InstructPE JSON, edit triples, or the word chat.")
    ],
    licence: Annotated[str, typer.Option(help="Licence of these files.")] = "unknown",
    limit: Annotated[int | None, typer.Option(help="Rows a file, at most.")] = None,
    profile: Profile = "embedded",
    as_json: Json = False,
) -> None:
    """Take triples made elsewhere; `diffchat build` then renders, scores and decides them."""
    from app.transfer import run_import

    run_import(settings_of(profile), files, licence, limit, as_json)


def teacher_serve(
    host: Annotated[str, typer.Option(help="Interface to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: a free one.")] = 8400,
) -> None:
    """A local OpenAI-compatible server with the rule-based prompt editor behind it."""
    from models.teacher.offline import serve

    serve(host, port)
