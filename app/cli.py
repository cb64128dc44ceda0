"""`diffchat`: the command line.  Parses, calls, prints; every command's work is in a module.

Imports of anything heavy happen inside the commands, so that `diffchat --help` answers at once.
Exit codes: 0 done, 2 wrong settings or input, 3 warehouse, 4 teacher, 5 budget reached,
6 model, 7 audit failed, 8 Prefect's server or worker, 9 training, 130 interrupted
(`schemas.errors`).
"""

import errno
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.errors import DiffChatError, SettingsError

cli = typer.Typer(
    name="diffchat",
    help="Build InstructPE, train DiffChat on it, and chat with text-to-image models.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
teacher_cli = typer.Typer(help="The offline teacher.", no_args_is_help=True, rich_markup_mode=None)
cli.add_typer(teacher_cli, name="teacher")

Profile = Annotated[
    str, typer.Option("--profile", "-p", envvar="DIFFCHAT_PROFILE", help="Name or .toml file.")
]
Override = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override a setting; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for scripts.")]


@cli.command()
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

    changes = _changes(override)
    if prompts:
        sources = [{"location": p, "column": column, "licence": licence} for p in prompts]
        changes["collect.sources"] = sources
    changes["collect.limit"] = limit
    changes["teacher.max_usd"] = max_usd
    changes["render.enabled"] = None if render else False
    changes = {key: value for key, value in changes.items() if value is not None}
    run_build(profile, changes, decide_only, retry_failed, as_json)


@cli.command()
def sft(
    profile: Profile = "embedded",
    version: Annotated[
        int | None, typer.Option(help="Of the dataset; default: the latest.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed is another model.")] = None,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Fine-tune the student on a published version of the dataset."""
    from app.train import run_sft

    changes = _changes(override)
    changes |= {"sft.dataset_version": version} if version is not None else {}
    changes |= {"sft.seed": seed} if seed is not None else {}
    run_sft(profile, changes, as_json)


@cli.command()
def rl(
    parent: Annotated[
        str, typer.Option(help='Begin from: "latest", "base", a model id or a folder.')
    ] = "latest",
    profile: Profile = "embedded",
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Reinforcement learning of the student from the pictures of what it writes."""
    from app.train import run_rl

    run_rl(profile, _changes(override), parent, as_json)


@cli.command()
def demo(
    small: Annotated[
        bool, typer.Option("--small", help="Fewer prompts: about two minutes.")
    ] = False,
    override: Override = None,
) -> None:
    """The whole factory on the embedded profile, on a CPU, and what to try next."""
    from app.demo import run_demo

    run_demo(small, _changes(override))


@cli.command()
def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Model versions (champion, latest, an id), folders or hub ids."),
    ] = None,
    cases: Annotated[
        str | None,
        typer.Option(help="A .jsonl or .csv file: prompt, instruction[, target, intent, units]."),
    ] = None,
    profile: Profile = "embedded",
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Compare models with the baselines on the same cases and seeds, and write a report."""
    from app.evaluation import run_evaluate

    run_evaluate(profile, _changes(override), models or [], cases, as_json)


@cli.command()
def report(
    evaluations: Annotated[
        list[str] | None, typer.Argument(help="None: the latest. Two: what changed between them.")
    ] = None,
    profile: Profile = "embedded",
    as_json: Json = False,
) -> None:
    """Write a report again with the votes of today, or compare two evaluations."""
    from app.evaluation import run_report

    run_report(_settings(profile), evaluations or [], as_json)


@cli.command()
def promote(
    model: Annotated[str | None, typer.Argument(help="A model version.")] = None,
    back: Annotated[bool, typer.Option("--back", help="Undo the last move.")] = False,
    reason: Annotated[
        str | None, typer.Option(help="Move it whatever the rules say; the reason is kept.")
    ] = None,
    profile: Profile = "embedded",
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Make a model the champion, if the profile's rules allow it."""
    from app.evaluation import run_promote

    run_promote(_settings(profile, _changes(override)), model, back, reason, as_json)


@cli.command()
def retrain(
    build: Annotated[bool, typer.Option("--build/--no-build", help="First build.")] = True,
    rl: Annotated[bool, typer.Option("--rl/--no-rl", help="Train by RL after SFT.")] = True,
    profile: Profile = "embedded",
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Build, train, evaluate against the champion, promote or keep."""
    from app.evaluation import run_retrain

    run_retrain(profile, _changes(override), build, rl, as_json)


@cli.command()
def vote(
    evaluation: Annotated[str, typer.Argument(help="Its id, or latest.")] = "latest",
    host: Annotated[str, typer.Option(help="Interface to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: a free one.")] = 8410,
    profile: Profile = "embedded",
) -> None:
    """A local page on which people judge pairs of pictures, blind."""
    from app.voting import serve

    serve(_settings(profile), evaluation, host, port)


@cli.command()
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

    run_sql(
        _settings(profile), query, version, "json" if as_json else "csv" if csv else "table", limit
    )


@cli.command()
def versions(profile: Profile = "embedded", as_json: Json = False) -> None:
    """The published versions of the dataset."""
    from app.query import show_versions

    show_versions(_settings(profile), as_json)


@cli.command()
def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    version: Annotated[int | None, typer.Option(help="Default: the latest.")] = None,
    profile: Profile = "embedded",
    as_json: Json = False,
) -> None:
    """Write a published version as a Hugging Face dataset folder."""
    from app.transfer import run_export

    run_export(_settings(profile), folder, version, as_json)


@cli.command("import")
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

    run_import(_settings(profile), files, licence, limit, as_json)


@cli.command()
def estimate(
    profile: Profile = "embedded",
    prompts: Annotated[list[str] | None, typer.Option("--prompts", help="As in build.")] = None,
    limit: Annotated[int | None, typer.Option(help="As in build.")] = None,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Calls, tokens, money and time that a build would take, before anything is paid."""
    from app.estimate import run_estimate

    changes = _changes(override)
    if prompts:
        changes["collect.sources"] = [{"location": p} for p in prompts]
    if limit is not None:
        changes["collect.limit"] = limit
    run_estimate(_settings(profile, changes), as_json)


@cli.command()
def doctor(profile: Profile = "embedded", as_json: Json = False) -> None:
    """Check this machine, the profile, the models and the warehouse; say what to do."""
    from app.doctor import run_doctor

    run_doctor(profile, as_json)


Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="auto, champion, latest, base, a model id, a folder; with "
                 "--endpoint the name it is served under."),
]  # fmt: skip
Endpoint = Annotated[
    str | None, typer.Option(help="URL of an OpenAI-compatible endpoint, such as …:8000/v1.")
]


@cli.command()
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

    run_rewrite(_chat_settings(profile, override, model, endpoint), prompt, instruction, as_json)


@cli.command()
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

    run_chat(_chat_settings(profile, override, model, endpoint), resume, folder, show)


@cli.command("app")
def web_app(
    host: Annotated[str | None, typer.Option(help="Interface; default: this machine only.")] = None,
    port: Annotated[int | None, typer.Option(help="0: a free one.")] = None,
    model: Model = None,
    endpoint: Endpoint = None,
    profile: Profile = "embedded",
    override: Override = None,
) -> None:
    """The same as a web page."""
    settings = _chat_settings(
        profile, override, model, endpoint, {"chat.host": host, "chat.port": port}
    )
    from app.web.serve import run_app

    run_app(settings)


@cli.command()
def purge(
    ids: Annotated[list[str], typer.Argument(help="Ids of raw prompts or triples.")],
    reason: Annotated[str, typer.Option(help="Why; stays in the warehouse.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    profile: Profile = "embedded",
) -> None:
    """Remove rows for good: files are rewritten and the versions concerned retired."""
    from app.upkeep import run_purge

    run_purge(_settings(profile), ids, reason, yes)


@cli.command()
def gc(profile: Profile = "embedded") -> None:
    """Remove images that no render refers to."""
    from app.upkeep import run_gc

    run_gc(_settings(profile))


@cli.command()
def maintain(profile: Profile = "embedded") -> None:
    """Merge small files and expire snapshots that no version needs."""
    from app.upkeep import run_maintain

    run_maintain(_settings(profile))


@cli.command()
def up(profile: Profile = "embedded") -> None:
    """Start a Prefect server, pools, deployments and a worker in the background."""
    from app.prefect_stack import up as start
    from schemas.settings import home

    _settings(profile)
    start(home())


@cli.command()
def down() -> None:
    """Stop what `diffchat up` started."""
    from app.prefect_stack import down as stop
    from schemas.settings import home

    stop(home())


@teacher_cli.command("serve")
def teacher_serve(
    host: Annotated[str, typer.Option(help="Interface to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: a free one.")] = 8400,
) -> None:
    """A local OpenAI-compatible server with the rule-based prompt editor behind it."""
    from models.teacher.offline import serve

    serve(host, port)


def _changes(pairs: list[str] | None) -> dict[str, Any]:
    from schemas.settings import parse_value

    changes = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(
                f"--set {pair!r}: write it as KEY=VALUE, such as teacher.model=gpt-5."
            )
        changes[key] = parse_value(value)
    return changes


def _chat_settings(
    profile: str,
    override: list[str] | None,
    model: str | None,
    endpoint: str | None,
    more: dict[str, Any] | None = None,
) -> Any:
    changes = _changes(override) | (more or {})
    if endpoint is not None:
        changes["chat.endpoint.base_url"] = endpoint
    changes = {key: value for key, value in changes.items() if value is not None}
    settings = _settings(profile, changes)
    if model is None:
        return settings
    served = settings.chat.endpoint.base_url is not None
    return _settings(profile, changes | {"chat.endpoint.model" if served else "chat.model": model})


def _settings(profile: str, changes: dict[str, Any] | None = None) -> Any:
    from schemas.settings import load_settings

    return load_settings(profile, changes)


def main() -> None:
    """Entry point: a `DiffChatError` is a message and an exit code, never a traceback."""
    try:
        cli()
    except DiffChatError as error:
        print(f"diffchat: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("diffchat: interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)  # `diffchat sql … | head`
    except Exception as error:
        # Lake, journal and pictures say so themselves; SQLite, DuckDB and Prefect's server fail in
        # ways of their own where the disk is full.
        if not _disk_is_full(error):
            raise
        print(f"diffchat: {FULL} ({type(error).__name__}: {error})", file=sys.stderr)
        sys.exit(3)


FULL = (
    "the disk is full. What was committed is kept: free some space in $DIFFCHAT_HOME, or move it, "
    "and run the same command again."
)


def _disk_is_full(error: Exception) -> bool:
    from shutil import disk_usage

    from schemas.settings import home

    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return True
    folder = home()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return disk_usage(there).free < 1 << 20


if __name__ == "__main__":
    main()
