"""Text-to-image synthesis (TIS) models, by folder or hub id, loaded with diffusers' auto classes.

`describe_tis` gives identity and token budget, `load_token_counter` counts tokens: both read only
the checkpoint's small files and never import torch.  `load_tis` gives the model that renders.

An empty prompt is allowed: it is the unconditional picture that the model was trained on.  A
prompt over the token budget raises PromptTooLong; nothing is ever cut.

Left out: image-to-image and video pipelines, single-file checkpoints, remote code, pickles.

    python -m models.tis models/embedded/weights/tis-sd "a red fox in the snow" -o fox.png
"""

from models.tis.describe import TisIdentity, describe_tis, load_token_counter
from models.tis.render import Tis, load_tis

__all__ = ["Tis", "TisIdentity", "describe_tis", "load_tis", "load_token_counter"]
