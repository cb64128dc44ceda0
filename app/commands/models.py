"""Commands of the models: train, evaluate, judge, promote."""

from typing import Annotated

import typer

from app.commands.options import (
    DatasetVersion,
    Json,
    Override,
    Profile,
    Seed,
    changes_of,
    settings_of,
)


def sft(
    profile: Profile = "embedded",
    version: DatasetVersion = None,
    seed: Seed = None,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Fine-tune the student on a published version of the dataset."""
    from app.train import run_sft

    options = {"sft.dataset_version": version, "sft.seed": seed}
    run_sft(profile, changes_of(override, options), as_json)


def rl(
    parent: Annotated[
        str, typer.Option(help='Begin from: "latest", "base", a model id or a folder.')
    ] = "latest",
    profile: Profile = "embedded",
    version: DatasetVersion = None,
    seed: Seed = None,
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Reinforcement learning of the student from the pictures of what it writes."""
    from app.train import run_rl

    options = {"rl.dataset_version": version, "rl.seed": seed}
    run_rl(profile, changes_of(override, options), parent, as_json)


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

    run_evaluate(profile, changes_of(override), models or [], cases, as_json)


def report(
    evaluations: Annotated[
        list[str] | None, typer.Argument(help="None: the latest. Two: what changed between them.")
    ] = None,
    profile: Profile = "embedded",
    as_json: Json = False,
) -> None:
    """Write a report again with the votes of today, or compare two evaluations."""
    from app.evaluation import run_report

    run_report(settings_of(profile), evaluations or [], as_json)


def vote(
    evaluation: Annotated[str, typer.Argument(help="Its id, or latest.")] = "latest",
    host: Annotated[str, typer.Option(help="Interface to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: a free one.")] = 8410,
    profile: Profile = "embedded",
) -> None:
    """A local page on which people judge pairs of pictures, blind."""
    from app.voting import serve

    serve(settings_of(profile), evaluation, host, port)


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

    run_promote(settings_of(profile, changes_of(override)), model, back, reason, as_json)


def retrain(
    build: Annotated[bool, typer.Option("--build/--no-build", help="First build.")] = True,
    rl: Annotated[bool, typer.Option("--rl/--no-rl", help="Train by RL after SFT.")] = True,
    profile: Profile = "embedded",
    override: Override = None,
    as_json: Json = False,
) -> None:
    """Build, train, evaluate against the champion, promote or keep."""
    from app.evaluation import run_retrain

    run_retrain(profile, changes_of(override), build, rl, as_json)
