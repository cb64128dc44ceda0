"""A student that answers: any causal language model of `transformers`, by folder or hub id.

    policy = load_policy("models/embedded/weights/lm")
    policy.rewrite([messages_of("a cat", "make it night")])      # greedy: the same every time
    policy.rewrite(conversations, n=4, temperature=1.0, seed=7)  # the same for the same batch
    for piece in policy.stream(messages_of("a cat", "make it night")): …

Sampling uses no truncation and none of the checkpoint's own sampling defaults: what is drawn is
the distribution that training sees.  Left out: the loop of reinforcement learning, which needs
log-probabilities and modified action sets (`models.train.rollout`), and serving (`vllm serve`
takes the same folder).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from models.device import pick_device, pick_dtype
from models.loading import load_model, load_tokenizer
from models.train.template import Messages, encode_prompt, prepare_tokenizer
from models.weights import config_files, hash_files, resolve, verify, weight_files
from schemas.errors import ModelError, PromptTooLong
from schemas.training import StudentSettings

BATCH = 64  # sequences generated together


class Rewrite(NamedTuple):
    """One answer; `finished`: the end-of-sequence token came, which `tokens` does not count."""

    prompt: str
    tokens: int
    finished: bool


@dataclass
class Policy:
    """A loaded student; `model` is in eval mode and without gradients until a trainer says else."""

    model: Any
    tokenizer: Any
    device: str
    folder: Path
    max_new_tokens: int
    context: int | None  # positions; None: the architecture has no limit

    @property
    def eos_ids(self) -> list[int]:
        """Tokens that end an answer: the tokenizer's, and what the checkpoint adds to it."""
        return eos_ids(self.model, self.tokenizer)

    def encode(self, conversation: Messages) -> list[int]:
        """Prompt ids.  Raises PromptTooLong if no answer would fit into the context."""
        ids = encode_prompt(self.tokenizer, conversation)
        if self.context is not None and len(ids) >= self.context:
            raise PromptTooLong(
                f"The conversation has {len(ids)} tokens and {self.folder.name} takes "
                f"{self.context} with its answer: start a new one from its last prompt."
            )
        return ids

    def rewrite(
        self,
        conversations: Sequence[Messages],
        *,
        n: int = 1,
        temperature: float = 0.0,
        max_new_tokens: int | None = None,
        seed: int = 0,
    ) -> list[list[Rewrite]]:
        """`n` answers to each conversation (`schemas.chat.messages_of`), in the order given.

        At temperature 0 greedy, and the `n` answers are equal.  Otherwise drawn with `seed`: the
        same call gives the same answers, and the caller's random state is left as it was.
        Raises PromptTooLong.
        """
        import torch

        if not conversations:
            return []
        prompts = [self.encode(conversation) for conversation in conversations]
        copies = n if temperature > 0 else 1
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), prompts[i]))
        answers: list[list[Rewrite]] = [[] for _ in prompts]
        rows = max(1, BATCH // copies)
        cuda = [torch.device(self.device)] if self.device.startswith("cuda") else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            for start in range(0, len(order), rows):
                chunk = order[start : start + rows]
                options = self._options(
                    [prompts[i] for i in chunk], copies, temperature, max_new_tokens
                )
                with torch.inference_mode():
                    output = self.model.generate(**options)
                new = output[:, options["input_ids"].shape[1] :].tolist()
                for row, i in enumerate(chunk):
                    drawn = new[row * copies : (row + 1) * copies]
                    answers[i] = [self._rewrite(ids) for ids in drawn] * (n // copies)
        return answers

    def stream(self, conversation: Messages, *, max_new_tokens: int | None = None) -> Iterator[str]:
        """Pieces of the greedy answer as they come; together what `rewrite` gives, unstripped.

        Our own loop instead of `generate` with a streamer in a thread: the first piece comes
        sooner (`benchmarks.chat`), and a reader who leaves leaves nothing running.
        """
        tokens: list[int] = []
        told = ""
        for token in self._greedy(self.encode(conversation), max_new_tokens):
            tokens.append(token)
            text = self._text(tokens)
            # A sign of several tokens is told once it is whole.
            if not text.endswith("\ufffd") and len(text) > len(told):
                piece, told = text[len(told) :], text
                yield piece
        if rest := self._text(tokens)[len(told) :]:
            yield rest

    def _greedy(self, ids: list[int], max_new_tokens: int | None) -> Iterator[int]:
        """The most likely tokens after `ids`, without the one that ends the answer."""
        import torch

        ends, cache, known = set(self.eos_ids), None, list(ids)
        unread = known
        for _ in range(self._room(len(ids), max_new_tokens)):
            # Not around the loop: what a generator enters, its reader would be in as well.
            with torch.inference_mode():
                output = self.model(
                    input_ids=torch.tensor([unread], device=self.device),
                    past_key_values=cache,
                    use_cache=True,
                )
            token = int(output.logits[0, -1].argmax())
            if token in ends:
                return
            yield token
            known.append(token)
            cache = getattr(output, "past_key_values", None)
            unread = [token] if cache is not None else known

    def _room(self, length: int, max_new_tokens: int | None) -> int:
        """Tokens that an answer to `length` tokens may have."""
        wanted = self.max_new_tokens if max_new_tokens is None else max_new_tokens
        return wanted if self.context is None else min(wanted, self.context - length)

    def _options(
        self, prompts: list[list[int]], n: int, temperature: float, max_new_tokens: int | None
    ) -> dict[str, Any]:
        import torch
        from transformers import GenerationConfig

        width = max(map(len, prompts))
        ids = torch.full((len(prompts), width), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        sampling: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        config = GenerationConfig(
            **sampling,
            num_return_sequences=n,
            max_new_tokens=self._room(width, max_new_tokens),
            eos_token_id=self.eos_ids,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        return {
            "input_ids": ids.to(self.device),
            "attention_mask": mask.to(self.device),
            "generation_config": config,
        }

    def _rewrite(self, ids: list[int]) -> Rewrite:
        ends = set(self.eos_ids)
        length = next((i + 1 for i, token in enumerate(ids) if token in ends), len(ids))
        finished = bool(length) and ids[length - 1] in ends
        return Rewrite(self._text(ids[: length - finished]).strip(), length - finished, finished)

    def _text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))


def load_policy(folder_or_id: str, settings: StudentSettings | None = None) -> Policy:
    """Load a student; `settings` say where and in which precision (default: StudentSettings()).

    Raises ModelError if the checkpoint is missing, truncated, holds only pickles, has no
    tokenizer, or one that does not fit it.
    """
    import transformers

    settings = settings or StudentSettings()
    folder = resolve(folder_or_id)
    check_folder(folder)
    device = pick_device(settings.device, "student.device")
    tokenizer = load_student_tokenizer(folder)

    dtype = pick_dtype(settings.dtype, device, prefer_bfloat16=True)
    model = load_model(folder, dtype, device, transformers.AutoModelForCausalLM)
    check_fit(model, tokenizer, folder)
    if not finite(model):
        raise ModelError(
            f"{folder} holds weights that are no numbers (NaN or infinite): the training that made "
            "them diverged. Take another checkpoint, or train again at a lower learning rate."
        )
    # `generate` fills what a call leaves open from here: keep where answers end and nothing else.
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=eos_ids(model, tokenizer),
        pad_token_id=tokenizer.pad_token_id,
    )
    return Policy(
        model, tokenizer, device, folder, settings.max_new_tokens, context_of(model.config)
    )


def load_student_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer with a chat template and a pad token in any case; ModelError else."""
    return prepare_tokenizer(load_tokenizer(folder), str(folder))


def check_folder(folder: Path) -> None:
    """Raise ModelError unless `folder` holds a whole model in safetensors, by its checksums."""
    if not folder.is_dir():
        raise ModelError(f"{folder} is a file; a student is the folder of a checkpoint.")
    if not (folder / "config.json").is_file():
        what = "has no config.json"
        if (folder / "adapter_config.json").is_file():
            what = "is an adapter without its base: merge it (peft's merge_and_unload) and save it"
        raise ModelError(f"{folder} is no whole language model: it {what}.")
    files = weight_files(folder)
    if not files:
        raise ModelError(f"{folder} holds no weights: there is no .safetensors file in it.")
    verify(folder, [*files, *config_files(folder)])


def check_fit(model: Any, tokenizer: Any, folder: Path) -> None:
    """Raise ModelError if the tokenizer has ids that the model has no embedding for, or lacks
    the model's own end-of-sequence token or has a word in its place."""
    rows = model.get_input_embeddings().weight.shape[0]
    top = max(tokenizer.get_vocab().values())
    if top >= rows:
        raise ModelError(
            f"The tokenizer in {folder} does not fit its model: it has ids up to {top}, the model "
            f"embeds {rows} tokens. Restore the tokenizer files that were published with it."
        )
    ends = _configured_eos(model)
    foreign = [token for token in ends if token > top]
    if foreign:
        raise ModelError(
            f"The tokenizer in {folder} does not fit its model: the model ends an answer with "
            f"token {foreign[0]}, the tokenizer has ids up to {top}. Restore the tokenizer files "
            "that were published with it."
        )
    words = [token for token in ends if not _is_special(tokenizer, token)]
    if words:
        raise ModelError(
            f"The tokenizer in {folder} does not fit its model: the model ends an answer with "
            f"token {words[0]}, here the ordinary {tokenizer.convert_ids_to_tokens(words[0])!r}. "
            "Restore the tokenizer files that were published with it."
        )


def finite(model: Any) -> bool:
    """Whether all weights are numbers."""
    return all(bool(p.detach().isfinite().all()) for p in model.parameters())


def student_hash(folder: Path) -> str:
    """Content hash of a student: weights, configs, tokenizer and template.  Loads nothing.

    Raises ModelError as `check_folder` does.
    """
    check_folder(folder)
    return hash_files(folder, [*weight_files(folder), *config_files(folder)])


def context_of(config: Any) -> int | None:
    """Positions that the architecture takes, prompt and answer together; None: no limit known."""
    for name in ("max_position_embeddings", "n_positions", "seq_length"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def folder_context(folder: Path) -> int | None:
    """`context_of` the checkpoint in `folder`; loads no weights."""
    from transformers import AutoConfig

    return context_of(AutoConfig.from_pretrained(folder))


def eos_ids(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer, the tokenizer's first."""
    return list(dict.fromkeys([tokenizer.eos_token_id, *_configured_eos(model)]))


def _is_special(tokenizer: Any, token: int) -> bool:
    return token in tokenizer.all_special_ids or token in tokenizer.added_tokens_decoder


def _configured_eos(model: Any) -> list[int]:
    value = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if value is None:
        value = getattr(model.config, "eos_token_id", None)
    return [] if value is None else [value] if isinstance(value, int) else list(value)
