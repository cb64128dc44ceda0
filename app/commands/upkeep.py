"""Commands of the house: the demo, checks, removal, the Prefect stack."""

from typing import Annotated

import typer

from app.commands.options import Json, Override, Profile, changes_of, settings_of


def demo(
    small: Annotated[
        bool, typer.Option("--small", help="Fewer prompts: about two minutes.")
    ] = False,
    override: Override = None,
) -> None:
    """The whole factory on the embedded profile, on a CPU, and what to try next."""
    from app.demo import run_demo

    run_demo(small, changes_of(override))


def doctor(profile: Profile = "embedded", as_json: Json = False) -> None:
    """Check this machine, the profile, the models and the warehouse; say what to do."""
    from app.doctor import run_doctor

    run_doctor(profile, as_json)


def up(profile: Profile = "embedded") -> None:
    """Start a Prefect server, pools, deployments and a worker in the background."""
    from app.prefect_stack import up as start
    from schemas.settings import home

    settings_of(profile)
    start(home())


def down() -> None:
    """Stop what `diffchat up` started."""
    from app.prefect_stack import down as stop
    from schemas.settings import home

    stop(home())


def purge(
    ids: Annotated[list[str], typer.Argument(help="Ids of raw prompts or triples.")],
    reason: Annotated[str, typer.Option(help="Why; stays in the warehouse.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    profile: Profile = "embedded",
) -> None:
    """Remove rows for good: files are rewritten and the versions concerned retired."""
    from app.upkeep import run_purge

    run_purge(settings_of(profile), ids, reason, yes)


def gc(profile: Profile = "embedded") -> None:
    """Remove images that no render refers to."""
    from app.upkeep import run_gc

    run_gc(settings_of(profile))


def maintain(profile: Profile = "embedded") -> None:
    """Merge small files and expire snapshots that no version needs."""
    from app.upkeep import run_maintain

    run_maintain(settings_of(profile))
