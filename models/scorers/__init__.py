"""Scorers of pictures, by name, behind one signature.

A scorer maps N pictures (and, where `reads_intent`, N intents: style-free sentences for the wanted
picture) to N float64 values, larger is better.  Preference and alignment are asked against the
intent, never against the candidate prompt.  `describe_scorer` gives the identity without torch;
`load_scorer` loads the model.  NaN means: no score for this picture (the model computed none, or
the judge's answer cannot be read), and is reported as NaN, never replaced.  An intent longer than
a scorer's text encoder is cut as the published scorer cuts it, with a warning that names it.

Left out: training of scorers (models/embedded), rounding (the caller's), video.

    python -m models.scorers pickscore --model FOLDER --intent "a red fox" picture.png
"""

from models.scorers.base import Scorer, ScorerIdentity
from models.scorers.registry import SCORERS, describe_scorer, load_scorer

__all__ = ["SCORERS", "Scorer", "ScorerIdentity", "describe_scorer", "load_scorer"]
