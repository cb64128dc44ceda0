"""A first prompt for a picture.

*Interrogator*: a CLIP-type model chooses among the words of the profile's vocabulary, as
clip-interrogator does (Pharmapsychotic, 2022): the subject with its colour and number first, then
one phrase of each further list, kept only if the picture fits the longer prompt better.
*transformers*: any image-to-text checkpoint that needs nothing but pixels (BLIP, GIT, ViT-GPT2).
Leaves out vision endpoints, which need no weights (`app.from_image`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from models.device import pick_device, pick_dtype
from models.loading import load_model, load_tokenizer
from models.weights import resolve
from schemas.chatting import CaptionerSettings
from schemas.errors import ModelError, SettingsError

Captioner = Callable[[Image.Image], str]
Vocabulary = Mapping[str, Sequence[str]]
NUMBERS = ("two", "three")
MAX_NEW_TOKENS = 40
WORTH = 0.002  # cosine that a further phrase must bring; our choice


def load_captioner(settings: CaptionerSettings, vocabulary: Vocabulary) -> Captioner:
    """What describes pictures.  Raises SettingsError without words to choose from, ModelError."""
    if settings.kind == "interrogator":
        return Interrogator(settings, vocabulary)
    return _generator(settings)


class Interrogator:
    """Chooses the words of `vocabulary` that fit a picture best."""

    def __init__(self, settings: CaptionerSettings, vocabulary: Vocabulary) -> None:
        from models.scorers.contrastive import ImageTextModel

        things = vocabulary.get("objects", ())
        if not things:
            raise SettingsError(
                "chat.captioner.kind = 'interrogator' chooses among [teacher.vocabulary] and "
                "needs `objects` in it; take kind = 'transformers' or 'endpoint' for any picture."
            )
        self.encoder = ImageTextModel(
            resolve(settings.model), settings.device, settings.dtype, "chat.captioner"
        )
        self.subjects = subjects(things, vocabulary.get("colours", ()))
        self.further = [words for name, words in vocabulary.items()
                        if name not in ("objects", "colours")]  # fmt: skip
        self._subject_vectors: np.ndarray | None = None

    def __call__(self, picture: Image.Image) -> str:
        """A prompt in the words of the vocabulary for an RGB picture."""
        import torch

        with torch.inference_mode():
            seen = self.encoder.images([picture]).double().cpu().numpy()[0]
            if self._subject_vectors is None:
                self._subject_vectors = self._texts(self.subjects)
            fits = self._subject_vectors @ seen
            prompt, best = self.subjects[int(fits.argmax())], float(fits.max())
            for words in self.further:
                longer = [joined(prompt, word) for word in words]
                fits = self._texts(longer) @ seen
                if fits.max() > best + WORTH:
                    prompt, best = longer[int(fits.argmax())], float(fits.max())
        return prompt

    def _texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.concatenate([
            self.encoder.texts(list(texts[i : i + 64])).double().cpu().numpy()
            for i in range(0, len(texts), 64)
        ])  # fmt: skip


def subjects(things: Sequence[str], colours: Sequence[str]) -> list[str]:
    """ "a cat", "a red cat", "two cats", "two red cats", … of every thing and colour."""
    made = []
    for thing in things:
        for colour in ("", *colours):
            noun = f"{colour} {thing}".strip()
            made.append(f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}")
            made += [f"{number} {plural(noun)}" for number in NUMBERS]
    return made


def plural(noun: str) -> str:
    """The English plural of a regular noun; "fish" and the like stay."""
    if noun.endswith(("fish", "sheep", "deer")):
        return noun
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def joined(prompt: str, phrase: str) -> str:
    """Whereabouts go behind the noun, everything else behind a comma."""
    at = phrase.split(" ")[0] in ("in", "on", "at", "by", "under", "with")
    return f"{prompt} {phrase}" if at else f"{prompt}, {phrase}"


def _generator(settings: CaptionerSettings) -> Captioner:
    """A `transformers` image-to-text model."""
    from transformers import AutoModelForImageTextToText

    from models.scorers.pixels import Pixels

    folder = resolve(settings.model)
    device = pick_device(settings.device, "chat.captioner.device")
    dtype = pick_dtype(settings.dtype, device)
    model: Any = load_model(folder, dtype, device, AutoModelForImageTextToText)
    tokenizer = load_tokenizer(folder)
    vision = getattr(model.config, "vision_config", None) or getattr(model.config, "encoder", None)
    size = getattr(vision, "image_size", None)
    if not size:
        raise ModelError(
            f"{folder} is a {type(model).__name__}: for captions a checkpoint that takes nothing "
            "but pixels is needed (BLIP, GIT, ViT-GPT2); serve others and take kind = 'endpoint'."
        )
    pixels = Pixels.from_folder(folder, int(size))

    def caption(picture: Image.Image) -> str:
        import torch

        values = torch.from_numpy(pixels([picture])).to(device, dtype)
        with torch.inference_mode():
            ids = model.generate(pixel_values=values, max_new_tokens=MAX_NEW_TOKENS)
        return " ".join(tokenizer.decode(ids[0], skip_special_tokens=True).split())

    return caption
