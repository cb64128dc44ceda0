"""Render prompts from the command line, to look at a checkpoint.

python -m models.tis models/embedded/weights/tis-sd "a red fox in the snow" -o fox.png
"""

import argparse
from pathlib import Path

from models.tis import describe_tis, load_tis
from schemas.settings import TisSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = TisSettings()
    parser.add_argument("model")
    parser.add_argument("prompt")
    parser.add_argument("-o", "--output", type=Path, default=Path("picture.png"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--guidance", type=float, default=default.guidance)
    given = parser.parse_args()
    settings = TisSettings(model=given.model, steps=given.steps, guidance=given.guidance)
    print(describe_tis(settings))
    load_tis(settings).render([given.prompt], [given.seed])[0].save(given.output)
    print(given.output)


if __name__ == "__main__":
    main()
