"""The real parts of a turn: policy or endpoint, text-to-image model, scorers, filters, pictures.

Loaded when first needed, or beforehand by `warm`; one policy and one text-to-image model are kept
in memory.  They are not safe to share between threads, so one turn computes at a time: `busy` is
the lock.  Pictures and scores are looked up by content before anything is computed.
"""

import io
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.endpoint import ask
from app.store import ChatStore
from app.turns import OnStep, Parts
from models.collect.safety import unsafe_words
from models.device import memory_for
from models.tis import TisIdentity, describe_tis, load_token_counter
from schemas.errors import ChatError, ModelError
from schemas.identity import render_id
from schemas.settings import Settings, TisSettings

if TYPE_CHECKING:
    from PIL import Image

LOG = logging.getLogger(__name__)
SCORED = 4_096  # scores kept in memory


class Workshop:
    """The models of one process, and where their pictures are kept."""

    def __init__(self, settings: Settings, home: Path, store: ChatStore) -> None:
        self.settings, self.home, self.store = settings, home, store
        self.busy = threading.Lock()
        self._loading = threading.RLock()  # a model is loaded once, whoever asks first
        self._tis = lru_cache(maxsize=1)(self._load_tis)
        self._folder = lru_cache(maxsize=8)(self.student_folder)  # what a name meant first
        self._policy = lru_cache(maxsize=1)(self._load_policy)
        self._scorers = lru_cache(maxsize=1)(self._load_scorers)
        self._filter = lru_cache(maxsize=1)(self._load_filter)
        self._captioner = lru_cache(maxsize=1)(self._load_captioner)
        self._identity = lru_cache(maxsize=8)(_identity)
        self._counter = lru_cache(maxsize=8)(_counter)
        self._scored = lru_cache(maxsize=SCORED)(self._score)

    @property
    def model_name(self) -> str:
        endpoint = self.settings.chat.endpoint
        return endpoint.model if endpoint.base_url else self.settings.chat.model

    def tis_settings(self, model: str | None = None) -> TisSettings:
        """The profile's text-to-image settings, of another checkpoint if `model` names one."""
        tis = self.settings.tis
        if model is None or model == tis.model:
            return tis
        if model not in self.settings.chat.tis_models:
            raise ChatError(f"There is no text-to-image model {model!r} in chat.tis_models.")
        return tis.model_copy(update={"model": model})

    def parts(self, model: str | None = None, tis_model: str | None = None) -> Parts:
        """What a turn is made with; reads small files only.  Raises ModelError, ChatError."""
        chat, tis = self.settings.chat, self.tis_settings(tis_model)
        as_json = tis.model_dump_json()
        identity, count = self._identity(as_json), self._counter(as_json)
        name = model or self.model_name
        return Parts(
            model=self.written_by(name),
            rewrite=self._rewriter(name),
            sample=self._sampler(name),
            tis=Path(identity.name).name,
            tis_id=identity.tis_id,
            count_tokens=count,
            token_budget=identity.token_budget,
            render=lambda prompt, seed, on_step: self._render(as_json, prompt, seed, on_step),
            score=lambda render, intent: dict(self._scored(render, intent)),
            unsafe=unsafe_words(self.settings.collect.blocked_words) if chat.safety else _anything,
            history=chat.history,
            max_characters=chat.max_characters,
            max_instruction=chat.max_instruction,
        )

    def written_by(self, name: str) -> str:
        """What a turn says of its model: the beginning of the id that `name` stands for, if any.

        Raises ModelError as `student_folder`.
        """
        if self.settings.chat.endpoint.base_url:
            return name
        folder, trained = Path(self._folder(name)), self.home / "models"
        if folder.resolve().is_relative_to(trained.resolve()):
            return folder.resolve().relative_to(trained.resolve()).parts[0][:12]
        return "base" if str(folder) == self.settings.student.base else name

    def warm(self) -> None:
        """Load everything a turn needs, so that the first does not wait.  Raises ModelError."""
        if not self.settings.chat.endpoint.base_url:
            with self._loading:
                self._policy(self.model_name)
        with self._loading:
            self._tis(self.settings.tis.model_dump_json())
            self._scorers()
            self._filter()

    def describe(self, picture: "Image.Image") -> str:
        """A prompt for an uploaded picture.  Raises ChatError where nothing can describe one."""
        if self.settings.chat.captioner.kind == "none":
            raise ChatError("No captioner is configured (chat.captioner.kind): write the prompt.")
        if self.settings.chat.captioner.kind == "endpoint":
            from app.from_image import ask_about

            return ask_about(self.settings.chat.captioner, picture)
        with self._loading:
            captioner = self._captioner()
        with self.busy, room_for("describing the picture"):
            return captioner(picture)

    def check_picture(self, picture: "Image.Image") -> None:
        """Raise ChatError if the profile's classifier refuses the picture."""
        with self._loading:
            unsafe = self._filter()
        found = unsafe(picture) if unsafe else None
        if found:
            raise ChatError(
                f"Refused: the safety filter takes this picture for {found!r} and does not show "
                "it. Say it differently, or take another seed."
            )

    def _rewriter(self, name: str) -> Callable[[list[dict[str, str]]], Iterator[str]]:
        endpoint = self.settings.chat.endpoint
        if endpoint.base_url:
            chosen = endpoint.model_copy(update={"model": name})
            return lambda messages: ask(chosen, messages)

        def local(messages: list[dict[str, str]]) -> Iterator[str]:
            with self._loading:
                policy = self._policy(name)
            with self.busy, room_for("writing the prompt"):
                yield from policy.stream(messages)

        return local

    def _sampler(self, name: str) -> Callable[[list[dict[str, str]], int, int], Iterator[str]]:
        chat = self.settings.chat
        if chat.endpoint.base_url:
            warm = {"model": name, "temperature": chat.wording_temperature}
            chosen = chat.endpoint.model_copy(update=warm)
            return lambda messages, n, seed: (
                "".join(ask(chosen, messages, seed=seed + number)) for number in range(n)
            )

        def local(messages: list[dict[str, str]], n: int, seed: int) -> Iterator[str]:
            with self._loading:
                policy = self._policy(name)
            with self.busy, room_for("writing other words"):
                warmth = chat.wording_temperature
                found = policy.rewrite([messages], n=n, temperature=warmth, seed=seed)[0]
            yield from (one.prompt for one in found)

        return local

    def _render(self, tis_json: str, prompt: str, seed: int, on_step: OnStep) -> str:
        key = render_id(prompt, self._identity(tis_json).tis_id, seed)
        if self.store.picture(key):
            return key
        with self._loading:
            tis = self._tis(tis_json)
        with self.busy:
            picture = tis.render([prompt], [seed], on_step)[0]
        self.check_picture(picture)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        self.store.put_picture(key, buffer.getvalue())
        return key

    def _score(self, key: str, intent: str) -> tuple[tuple[str, float], ...]:
        from PIL import Image

        path = self.store.picture(key)
        if path is None:
            return ()
        with self._loading:
            scorers = self._scorers()
        with self.busy, room_for("scoring"), Image.open(path) as file:
            picture = file.convert("RGB")
            values = [
                (s.identity.measures, round(float(s.score([picture], [intent])[0]), 4))
                for s in scorers
            ]
        return tuple((name, value) for name, value in values if value == value)  # no NaN

    def _load_tis(self, tis_json: str) -> Any:
        from models.tis import load_tis

        return load_tis(TisSettings.model_validate_json(tis_json))

    def _load_policy(self, name: str) -> Any:
        from models.train.policy import load_policy

        return load_policy(str(self._folder(name)), self.settings.student)

    def _load_scorers(self) -> tuple[Any, ...]:
        from models.scorers import load_scorer

        # The held-out scorer belongs to the evaluation alone.
        shown = [s for s in self.settings.scorers if s.measures != "held_out"]
        return tuple(load_scorer(settings) for settings in shown)

    def _load_filter(self) -> Any:
        from models.vision import load_picture_filter

        return load_picture_filter(self.settings.chat.picture_safety)

    def _load_captioner(self) -> Any:
        from models.vision import load_captioner

        return load_captioner(self.settings.chat.captioner, self.settings.teacher.vocabulary)

    def student_folder(self, name: str) -> Path | str:
        """The checkpoint of a model name; `auto` is the best there is: champion, latest, base.

        Raises ModelError that lists what there is.
        """
        if (Path(name) / "config.json").is_file():
            return Path(name)
        if name == "base":
            return self.settings.student.base
        from tasks.model_versions import resolve_model
        from warehouse import Warehouse

        if not Warehouse.exists(self.settings.warehouse, self.home):
            if name == "auto":
                return self.settings.student.base
            raise ModelError(
                f"There is no model {name!r}: nothing has been trained in {self.home} yet. Run "
                "`diffchat demo`, name a checkpoint folder with --model, or give --endpoint."
            )
        with Warehouse.open(self.settings.warehouse, self.home, read_only=True) as lake:
            if name != "auto":
                return resolve_model(lake, self.home, name, self.settings.student).folder
            for best in ("champion", "latest"):
                try:
                    return resolve_model(lake, self.home, best, self.settings.student).folder
                except ModelError as error:
                    LOG.info("auto: no %s (%s)", best, error)
        return self.settings.student.base


def room_for(what: str) -> AbstractContextManager[None]:
    """Raises ModelError if memory runs out while doing `what`."""
    return memory_for(
        lambda _: (
            f"Out of memory while {what}: close other programs or take a smaller model. Your "
            "session is kept."
        )
    )


def _identity(tis_json: str) -> TisIdentity:
    return describe_tis(TisSettings.model_validate_json(tis_json))


def _counter(tis_json: str) -> Callable[[str], int]:
    return load_token_counter(TisSettings.model_validate_json(tis_json))


def _anything(_text: str) -> None:
    return None
