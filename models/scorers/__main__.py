"""Score pictures from the command line, to look at a scorer.

python -m models.scorers pickscore --model FOLDER --intent "a red fox" picture.png
"""

import argparse

from PIL import Image

from models.scorers import SCORERS, load_scorer
from schemas.settings import ScorerSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=sorted(SCORERS))
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--model", required=True)
    parser.add_argument("--head")
    parser.add_argument("--base-url")
    parser.add_argument("--intent", default="")
    given = parser.parse_args()
    settings = ScorerSettings(
        name=given.name,
        model=given.model,
        head=given.head,
        base_url=given.base_url,
        measures="preference",
    )
    scorer = load_scorer(settings)
    print(scorer.identity)
    images = [Image.open(path) for path in given.pictures]
    scores = scorer.score(images, [given.intent] * len(images))
    for path, value in zip(given.pictures, scores, strict=True):
        print(f"{value:10.4f}  {path}")


if __name__ == "__main__":
    main()
