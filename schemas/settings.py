"""Settings: one TOML profile per way of running, overridden by `DIFFCHAT_*` and by flags.

Frozen pydantic models; an unknown key is an error.  Precedence: flag, environment, profile,
default.  `DIFFCHAT_TEACHER__MODEL=…` sets `teacher.model` (two underscores descend one level).
Secrets are never settings: a profile names the environment variable that holds the key.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from schemas.base import Frozen
from schemas.chatting import ChatSettings
from schemas.errors import SettingsError
from schemas.evaluation import EvaluationSettings, PromotionSettings
from schemas.identity import settings_hash
from schemas.training import RlSettings, SftSettings, StudentSettings
from schemas.units import EditKind

PROFILES = Path(__file__).resolve().parent.parent / "profiles"
ENV_PREFIX = "DIFFCHAT_"


class SourceSettings(Frozen):
    """One source of raw prompts."""

    location: str  # file path, glob, or a Hugging Face dataset id prefixed with "hf://"
    name: str | None = None  # default: the file's stem
    kind: Literal["auto", "text", "csv", "tsv", "json", "jsonl", "parquet", "hub"] = "auto"
    column: str | None = (
        None  # of tables; default: prompt, text, caption, Prompt, … the first found
    )
    split: str = "train"  # of hub datasets
    licence: str = "unknown"


class CollectSettings(Frozen):
    sources: tuple[SourceSettings, ...] = ()
    limit: int | None = None  # raw prompts a source; None: all
    languages: tuple[str, ...] = ("en",)  # ISO 639-1; empty: any
    min_words: int = 1
    max_characters: int = 2_000  # longest line of the public prompt sets
    near_duplicate_similarity: float = 0.8  # Jaccard over word 3-grams; 1 switches it off
    blocked_words: tuple[str, ...] = ()  # beside the safety library's own list
    safety: bool = True


class Price(Frozen):
    """US dollars for a million tokens, from the provider's price list; 0 for a local model."""

    prompt: float = 0.0
    completion: float = 0.0


class TeacherSettings(Frozen):
    base_url: str | None = None  # None: start the offline teacher on a free port of localhost
    api_key_env: str = "OPENAI_API_KEY"  # name of the variable, never the key itself
    model: str = "offline-editor"
    recipe: Literal["teacher", "beautify"] = "teacher"
    kinds: tuple[EditKind, ...] = tuple(EditKind)
    proposals: int = Field(default=3, ge=1, le=16)  # k: triples an answer
    samples: int = Field(default=1, ge=1)  # calls a raw prompt
    follow_up_share: float = Field(default=0.15, ge=0, le=1)  # of prompts with a second turn
    temperature: float | None = 0.7  # None: not sent (some endpoints refuse it)
    max_completion_tokens: int = 2_000
    structured_output: Literal["json_schema", "json_object"] = "json_schema"
    vocabulary: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    # hints for the system prompt, such as {"styles": ("soft shadows", …)}: words the TIS obeys
    concurrency: int = Field(default=64, ge=1)
    timeout_s: float = 60.0
    attempts_per_build: int = 3  # transient errors
    attempts_terminal: int = 2  # refusals and schema errors, over all builds
    price: Price = Price()
    max_tokens: int | None = None  # cap of a build, prompt and completion together
    max_usd: float | None = None  # cap of a build


class LoraSettings(Frozen):
    path: str  # folder or hub id
    weight_name: str | None = None
    scale: float = 1.0


class TisSettings(Frozen):
    """A text-to-image model, by folder or hub id, loaded with diffusers' auto classes."""

    model: str = "models/embedded/weights/tis-sd"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    device: str = "auto"
    variant: str | None = None  # of the weight files, such as "fp16" where a hub repo has both
    offload: Literal["none", "model", "sequential"] = "none"
    vae_slicing: bool = False
    compile: bool = False
    scheduler: str | None = None  # class name in diffusers; None: the folder's own
    scheduler_options: Mapping[str, Any] = Field(default_factory=dict)
    # over the folder's config, such as {"timestep_spacing": "trailing"} for SDXL-Lightning
    steps: int = Field(default=6, ge=1)
    guidance: float = 4.0
    true_cfg_scale: float | None = None  # FLUX: guidance by a second pass, for a negative prompt
    negative_prompt: str = ""
    width: int | None = None  # None: the model's own
    height: int | None = None
    batch: int = Field(default=32, ge=1)
    loras: tuple[LoraSettings, ...] = ()
    token_budget: int | None = None  # None: read from the text encoder
    max_sequence_length: int | None = None  # of models that take one (FLUX, SD 3)

    def identity(self) -> dict[str, Any]:
        """What determines a picture: everything but where and how fast it is computed."""
        local = {"model", "variant", "device", "offload", "vae_slicing", "compile", "batch"}
        settings = self.model_dump(mode="json", exclude={*local, "token_budget", "loras"})
        # A LoRA's file is in the weights' hash; its path is where it happens to lie.
        return settings | {"lora_scales": [lora.scale for lora in self.loras]}


class ScorerSettings(Frozen):
    name: str  # registry name: laion_aesthetics, pickscore, clip_score, hpsv2, image_reward, …
    model: str  # folder or hub id
    head: str | None = None  # second file where the scorer has one (the LAION head)
    measures: Literal["aesthetics", "preference", "alignment", "held_out"]
    device: str = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    batch: int = Field(default=64, ge=1)
    weight_hash: str | None = None  # refuse other weights
    # of vlm_judge, a vision model behind an OpenAI-compatible endpoint
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"  # name of the variable, never the key itself
    concurrency: int = Field(default=8, ge=1)
    timeout_s: float = 60.0


class RenderSettings(Frozen):
    enabled: bool = True
    seeds: tuple[int, ...] = (0, 1)  # the same for raw and target
    shard: int = Field(default=256, ge=1)  # renders a task


class DecideSettings(Frozen):
    """Thresholds of the decide query; σ: standard deviation of all gains."""

    content_min_preference_gain: float = 0.0  # content edits: gain must exceed this
    content_min_aesthetic_sigma: float = -0.5  # … and aesthetics be no worse than this many σ
    looks_min_aesthetic_gain: float = 0.0  # style and beautify: gain must exceed this
    near_duplicates: bool = True
    near_duplicate_bands: int = Field(default=4, ge=1)
    # of the 16 stored bands that must agree: Jaccard 0.9 is refused at 96%, 0.8 at 27%, 0.7 at 2%
    max_target_tokens: int | None = None  # None: the encoder's budget, checked when taught


class PublishSettings(Frozen):
    min_rows: int = 1
    max_kind_share: float = 0.6  # of one kind of edit in a version
    max_drift: float = 0.25  # total variation distance of kind shares to the previous version


class WarehouseSettings(Frozen):
    catalog: str | None = None  # None: sqlite file under home; or postgresql://…
    data_path: str | None = None  # None: folder under home; or s3://bucket/prefix
    s3_endpoint: str | None = None
    s3_region: str = "us-east-1"
    memory_limit: str = "1500MB"
    threads: int | None = None


class Settings(Frozen):
    profile: str = "embedded"
    collect: CollectSettings = CollectSettings()
    teacher: TeacherSettings = TeacherSettings()
    tis: TisSettings = TisSettings()
    render: RenderSettings = RenderSettings()
    scorers: tuple[ScorerSettings, ...] = ()
    decide: DecideSettings = DecideSettings()
    publish: PublishSettings = PublishSettings()
    student: StudentSettings = StudentSettings()
    sft: SftSettings = SftSettings()
    rl: RlSettings = RlSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    promotion: PromotionSettings = PromotionSettings()
    chat: ChatSettings = ChatSettings()
    warehouse: WarehouseSettings = WarehouseSettings()

    def hash(self) -> str:
        return settings_hash(self.model_dump(mode="json"))


def home() -> Path:
    """`$DIFFCHAT_HOME`, default `./var`: everything written at run time lives below it."""
    return Path(os.environ.get("DIFFCHAT_HOME", "var")).expanduser().resolve()


def load_settings(
    profile: str = "embedded",
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Resolve `profile` (a name in `profiles/` or a path to a TOML file) with all overrides.

    `overrides` maps dotted keys (`"collect.limit"`) to values.  Raises SettingsError that names
    the key, its value and where it came from.
    """
    data = _read_profile(profile)
    env = os.environ if environ is None else environ
    for key, value in env.items():
        dotted = _dotted(key)
        if dotted:
            _set(data, dotted, parse_value(value), f"variable {key}")
    for dotted, value in (overrides or {}).items():
        if value is not None:
            _set(data, dotted, value, f"option for {dotted}")
    data.setdefault("profile", Path(profile).stem)
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise SettingsError(_explain(error, profile)) from None


# Variables with a meaning of their own, read elsewhere.
_RESERVED = {"HOME", "PROFILE"}


def _dotted(variable: str) -> str | None:
    if not variable.startswith(ENV_PREFIX) or variable[len(ENV_PREFIX) :] in _RESERVED:
        return None
    return variable[len(ENV_PREFIX) :].lower().replace("__", ".")


def _read_profile(profile: str) -> dict[str, Any]:
    path = Path(profile) if profile.endswith(".toml") else PROFILES / f"{profile}.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.toml")))
        raise SettingsError(
            f"There is no profile {profile!r}. Known profiles: {known}; "
            "or give the path of a .toml file."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"Profile {path} is not valid TOML: {error}.") from None


def parse_value(text: str) -> Any:
    """Text as a TOML value (`3`, `true`, `[1, 2]`), else as a plain string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _set(data: dict[str, Any], dotted: str, value: Any, origin: str) -> None:
    *parents, leaf = dotted.split(".")
    for name in parents:
        data = data.setdefault(name, {})
        if not isinstance(data, dict):
            raise SettingsError(f"{origin}: {name!r} is a single value and has no {leaf!r} in it.")
    data[leaf] = value


def _explain(error: ValidationError, profile: str) -> str:
    lines = [f"The settings of profile {profile!r} are not valid:"]
    for item in error.errors(include_url=False):
        key = ".".join(map(str, item["loc"]))
        said = "unknown key" if item["type"] == "extra_forbidden" else item["msg"]
        lines.append(f"  {key} = {item.get('input')!r}: {said}")
    lines.append("`diffchat build --help` and profiles/embedded.toml list the keys.")
    return "\n".join(lines)
