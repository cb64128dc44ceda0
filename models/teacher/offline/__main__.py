"""`python -m models.teacher.offline --port 8011` serves; `--edit PROMPT` prints one edit a kind."""

import argparse
import sys

from models.teacher.offline.editor import propose
from models.teacher.offline.process import die_with_parent
from models.teacher.offline.server import serve
from schemas.errors import DiffChatError
from schemas.units import EditKind


def main() -> int:
    parser = argparse.ArgumentParser(description="Offline teacher: an OpenAI-compatible server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8011, help="0 takes a free one")
    parser.add_argument("--parent", type=int, help="end when this process does")
    parser.add_argument("--edit", metavar="PROMPT", help="print edits of a prompt and end")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.edit is not None:
        for proposal in propose(arguments.edit, list(EditKind), arguments.seed):
            print(f"[{proposal.kind}] {proposal.instruction}\n    {proposal.target_prompt}")
            print("    " + " ".join(f"{unit.role}:{unit.text!r}" for unit in proposal.units))
        return 0
    if arguments.parent is not None:
        die_with_parent()
    try:
        serve(arguments.host, arguments.port, parent=arguments.parent)
    except KeyboardInterrupt:
        return 130
    except DiffChatError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
