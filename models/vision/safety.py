"""Whether a picture may be shown: an image classifier of the profile's choice.

Any `transformers` image-classification checkpoint whose labels say what they mean, such as
Falconsai/nsfw_image_detection.  None is shipped, so without `chat.picture_safety.model` pictures
are not looked at, and the chat says so.
"""

from collections.abc import Callable
from typing import Any

from PIL import Image

from models.device import pick_device
from models.loading import load_model
from models.weights import resolve
from schemas.chatting import PictureSafetySettings
from schemas.errors import ModelError

PictureFilter = Callable[[Image.Image], str | None]


def load_picture_filter(settings: PictureSafetySettings) -> PictureFilter | None:
    """A function of an RGB picture that names what is unsafe about it; None where none is set.

    Raises ModelError for a checkpoint that is missing or has none of the settings' labels.
    """
    if settings.model is None:
        return None
    import torch
    from transformers import AutoModelForImageClassification

    from models.scorers.pixels import Pixels

    folder = resolve(settings.model)
    device = pick_device(settings.device, "chat.picture_safety.device")
    model: Any = load_model(folder, torch.float32, device, AutoModelForImageClassification)
    labels = {int(index): str(name) for index, name in model.config.id2label.items()}
    wanted = {name.casefold() for name in settings.labels}
    refused = [index for index, name in labels.items() if name.casefold() in wanted]
    if not refused:
        raise ModelError(
            f"{folder} knows the labels {', '.join(labels.values())}: name those that refuse a "
            "picture in chat.picture_safety.labels."
        )
    pixels = Pixels.from_folder(folder, int(getattr(model.config, "image_size", 224)))

    def unsafe(picture: Image.Image) -> str | None:
        values = torch.from_numpy(pixels([picture])).to(device)
        with torch.inference_mode():
            shares = model(pixel_values=values).logits[0].softmax(-1)[refused]
        if float(shares.sum()) < settings.threshold:
            return None
        return labels[refused[int(shares.argmax())]]

    return unsafe
