"""`diffchat`: the command line.  Commands parse and call; their work is in a module each.

Imports of anything heavy happen inside the commands, so that `diffchat --help` answers at once.
Exit codes: 0 done, 2 wrong settings or input, 3 warehouse, 4 teacher, 5 budget reached,
6 model, 7 audit failed, 8 Prefect's server or worker, 9 training, 130 interrupted
(`schemas.errors`).
"""

import errno
import sys

import typer

from app.commands import chat, dataset, models, upkeep
from schemas.errors import DiffChatError

cli = typer.Typer(
    name="diffchat",
    help="Build InstructPE, train DiffChat on it, and chat with text-to-image models.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
COMMANDS = {  # in the order of the help
    "build": dataset.build,
    "sft": models.sft,
    "rl": models.rl,
    "demo": upkeep.demo,
    "evaluate": models.evaluate,
    "report": models.report,
    "promote": models.promote,
    "retrain": models.retrain,
    "vote": models.vote,
    "sql": dataset.sql,
    "versions": dataset.versions,
    "export": dataset.export,
    "import": dataset.import_triples,
    "estimate": dataset.estimate,
    "rewrite": chat.rewrite,
    "chat": chat.chat,
    "app": chat.web_app,
    "doctor": upkeep.doctor,
    "up": upkeep.up,
    "down": upkeep.down,
    "maintain": upkeep.maintain,
    "gc": upkeep.gc,
    "purge": upkeep.purge,
}
for name, command in COMMANDS.items():
    cli.command(name)(command)
teacher_cli = typer.Typer(help="The offline teacher.", no_args_is_help=True, rich_markup_mode=None)
teacher_cli.command("serve")(dataset.teacher_serve)
cli.add_typer(teacher_cli, name="teacher")


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
