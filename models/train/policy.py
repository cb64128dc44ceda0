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

import threading
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
        """Pieces of the greedy answer as they come; leaving the loop early stops the model."""
        import torch
        from transformers import StoppingCriteriaList

        streamer = token_streamer(self.tokenizer)
        options = self._options([self.encode(conversation)], 1, 0.0, max_new_tokens)
        left, failed = threading.Event(), []

        def stop(input_ids: Any, scores: Any, **_: Any) -> Any:
            return torch.full((len(input_ids),), left.is_set(), device=input_ids.device)

        def generate() -> None:
            try:
                with torch.inference_mode():
                    self.model.generate(
                        **options, streamer=streamer, stopping_criteria=StoppingCriteriaList([stop])
                    )
            except BaseException as error:  # raised again where the answer is read
                failed.append(error)
                streamer.end()

        thread = threading.Thread(target=generate, daemon=True)
        thread.start()
        try:
            yield from (piece for piece in streamer if piece)
        finally:
            left.set()
            thread.join()
        if failed:
            raise failed[0]

    def _options(
        self, prompts: list[list[int]], n: int, temperature: float, max_new_tokens: int | None
    ) -> dict[str, Any]:
        import torch
        from transformers import GenerationConfig

        wanted = self.max_new_tokens if max_new_tokens is None else max_new_tokens
        width = max(map(len, prompts))
        if self.context is not None:
            wanted = min(wanted, self.context - width)
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
            max_new_tokens=wanted,
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
        text = self.tokenizer.decode(ids[: length - finished], skip_special_tokens=True)
        return Rewrite(text.strip(), length - finished, finished)


def token_streamer(tokenizer: Any) -> Any:
    """An iterator over the text of a generation, token by token.

    transformers' own holds a word back until the next one begins, which doubles the time to the
    first one that a person sees.
    """
    from transformers import TextIteratorStreamer

    class TokenStreamer(TextIteratorStreamer):
        def put(self, value: Any) -> None:
            if self.next_tokens_are_prompt:
                self.next_tokens_are_prompt = False
                return
            self.token_cache.extend(value.tolist())
            text = str(self.tokenizer.decode(self.token_cache, **self.decode_kwargs))
            if text.endswith("\ufffd"):
                return  # the first bytes of a sign
            piece, self.print_len = text[self.print_len :], len(text)
            self.on_finalized_text(piece)

    return TokenStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)


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
    # `generate` fills what a call leaves open from here: keep where answers end and nothing else.
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=eos_ids(model, tokenizer),
        pad_token_id=tokenizer.pad_token_id,
    )
    return Policy(model, tokenizer, device, folder, settings.max_new_tokens, context_of(model))


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
    the model's own end-of-sequence token."""
    rows = model.get_input_embeddings().weight.shape[0]
    top = max(tokenizer.get_vocab().values())
    if top >= rows:
        raise ModelError(
            f"The tokenizer in {folder} does not fit its model: it has ids up to {top}, the model "
            f"embeds {rows} tokens. Restore the tokenizer files that were published with it."
        )
    foreign = [token for token in _configured_eos(model) if token > top]
    if foreign:
        raise ModelError(
            f"The tokenizer in {folder} does not fit its model: the model ends an answer with "
            f"token {foreign[0]}, the tokenizer has ids up to {top}. Restore the tokenizer files "
            "that were published with it."
        )


def student_hash(folder: Path) -> str:
    """Content hash of a student: weights, configs, tokenizer and template.  Loads nothing.

    Raises ModelError as `check_folder` does.
    """
    check_folder(folder)
    return hash_files(folder, [*weight_files(folder), *config_files(folder)])


def context_of(model: Any) -> int | None:
    """Positions that the architecture takes, prompt and answer together; None: no limit known."""
    for name in ("max_position_embeddings", "n_positions", "seq_length"):
        value = getattr(model.config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def eos_ids(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer, the tokenizer's first."""
    return list(dict.fromkeys([tokenizer.eos_token_id, *_configured_eos(model)]))


def _configured_eos(model: Any) -> list[int]:
    value = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if value is None:
        value = getattr(model.config, "eos_token_id", None)
    return [] if value is None else [value] if isinstance(value, int) else list(value)
