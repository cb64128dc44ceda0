"""Settings of the chat: section [chat] of a profile."""

from typing import Literal

from pydantic import Field

from schemas.base import Frozen


class EndpointSettings(Frozen):
    """An OpenAI-compatible endpoint that answers instead of a local model."""

    base_url: str | None = None  # such as http://localhost:8000/v1; None: a local model answers
    model: str = "diffchat"  # name under which the endpoint serves it
    api_key_env: str = "OPENAI_API_KEY"  # name of the variable, never the key itself
    timeout_s: float = Field(default=60.0, gt=0)
    temperature: float = 0.0


class CaptionerSettings(Frozen):
    """What gives a picture its first prompt."""

    kind: Literal["none", "interrogator", "transformers", "endpoint"] = "interrogator"
    # interrogator: a CLIP-type model chooses among the words of [teacher.vocabulary];
    # transformers: an image-to-text model; endpoint: a vision model behind `base_url`
    model: str = "models/embedded/weights/clip"
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    device: str = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    timeout_s: float = Field(default=60.0, gt=0)


class PictureSafetySettings(Frozen):
    """A `transformers` image classifier that refuses pictures; none by default."""

    model: str | None = None  # folder or hub id; None: pictures are not looked at
    labels: tuple[str, ...] = ("nsfw", "porn", "hentai", "sexy")  # that refuse, any case
    threshold: float = Field(default=0.5, gt=0, le=1)  # of their probabilities together
    device: str = "auto"


class ChatSettings(Frozen):
    model: str = "auto"  # auto (champion, else latest, else base), a name of those, an id, a folder
    endpoint: EndpointSettings = EndpointSettings()
    tis_models: tuple[str, ...] = ()  # to choose from beside tis.model, with the settings of [tis]
    history: int = Field(default=1, ge=0)  # earlier turns put to the model; trained on one
    safety: bool = True  # the word list of [collect] on prompts and instructions
    picture_safety: PictureSafetySettings = PictureSafetySettings()
    captioner: CaptionerSettings = CaptionerSettings()
    max_characters: int = Field(default=2_000, ge=1)  # of a prompt; as [collect]
    max_instruction: int = Field(default=1_000, ge=1)  # characters
    wording_temperature: float = Field(default=1.0, gt=0)  # of "other words"; 1: as it was trained
    variations: int = Field(default=4, ge=1, le=16)  # pictures of one press of the button
    host: str = "127.0.0.1"  # 0.0.0.0 lets others in: then set a user and a password
    port: int = Field(default=7860, ge=0, le=65535)
    auth_env: str = "CHAT_AUTH"  # variable that holds "user:password"; unset: nobody is asked
    upload_megabytes: float = Field(default=10.0, gt=0)
    upload_megapixels: float = Field(default=40.0, gt=0)
    turns_a_minute: int = Field(default=30, ge=1)  # of one session
    at_once: int = Field(default=4, ge=1)  # turns made side by side; one of them computes at a time
    queue: int = Field(default=32, ge=1)  # people waiting; more are asked to come back
    stored_pictures: int = Field(default=5_000, ge=1)  # under $DIFFCHAT_HOME/chat, oldest go
    samples: tuple[str, ...] = (  # first prompts that the page offers
        "a red car on a city street at night",
        "two blue birds in a meadow at sunset",
        "a boat at sea in the fog",
    )
    licence: str = "CC0-1.0"  # under which people give their turns to the next dataset
