"""A session that starts from a picture: what the picture says of itself, or a captioner's words."""

import base64
import io
from typing import NamedTuple

from PIL import Image

from app.endpoint import ask
from app.parts import Workshop
from app.pictures import open_upload
from schemas.chatting import CaptionerSettings, EndpointSettings

QUESTION = (
    "Describe this picture as a prompt for a text-to-image model: subject, surroundings, light and "
    "style, in one line of at most 40 words. Answer with the prompt only."
)


class Described(NamedTuple):
    """A first prompt to correct, the seed if the file names one, and where the prompt is from."""

    prompt: str
    seed: int | None
    source: str


def describe_upload(data: bytes, workshop: Workshop) -> Described:
    """A prompt for an uploaded file.  Raises ChatError, ModelError, EndpointError."""
    upload = open_upload(data, workshop.settings.chat)
    workshop.check_picture(upload.picture)
    if upload.prompt and len(upload.prompt) <= workshop.settings.chat.max_characters:
        return Described(upload.prompt, upload.seed, "the prompt that is in the file")
    kind = workshop.settings.chat.captioner.kind
    return Described(workshop.describe(upload.picture), None, f"the captioner ({kind})")


def ask_about(settings: CaptionerSettings, picture: Image.Image) -> str:
    """The caption of a vision model behind an OpenAI-compatible endpoint."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    content = [
        {"type": "text", "text": QUESTION},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    endpoint = EndpointSettings(
        base_url=settings.base_url,
        model=settings.model,
        api_key_env=settings.api_key_env,
        timeout_s=settings.timeout_s,
    )
    pieces = ask(endpoint, [{"role": "user", "content": content}], max_tokens=120)
    return " ".join("".join(pieces).split())
