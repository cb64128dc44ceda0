"""Pictures in, words out: a first prompt for a picture, and whether a picture may be shown.

`load_captioner` gives what describes, `load_picture_filter` what refuses.  Nothing here knows
which profile it runs: words and checkpoints come from the settings.
"""

from models.vision.caption import Interrogator, load_captioner
from models.vision.safety import load_picture_filter

__all__ = ["Interrogator", "load_captioner", "load_picture_filter"]
