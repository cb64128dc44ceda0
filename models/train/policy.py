"""The student: a causal language model with a chat template that answers with a prompt.

`load_policy` takes a folder or a hub id in the standard layout; `rewrite` answers conversations of
`schemas.chat`, `stream` answers one piece by piece.  Only safetensors are read.  A tokenizer
without a chat template (BLOOM) gets `DEFAULT_TEMPLATE`, which is then saved with the checkpoint; a
template that refuses or ignores the system role gets the system text before the first question.

Leaves out training (`sft`, `rl`) and LoRA adapters that were not merged into their base.
"""

from collections.abc import Iterator, Sequence
from threading import Thread
from typing import Any, NamedTuple

from models.device import pick_device, pick_dtype
from models.loading import load_model, load_tokenizer
from models.weights import config_files, resolve, verify, weight_files
from schemas.errors import ModelError
from schemas.training import StudentSettings

Messages = Sequence[dict[str, str]]

DEFAULT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{{ 'Output: ' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Output: ' }}{% endif %}"
)
_PROBE = "SYSTEM-PROBE"


class Rewrite(NamedTuple):
    """One answer: the new prompt, its tokens, and whether it ended by itself."""

    prompt: str
    tokens: int
    finished: bool


class Policy:
    """A student in memory; not safe to share between threads."""

    def __init__(self, model: Any, tokenizer: Any, device: str, max_new_tokens: int) -> None:
        self.model, self.tokenizer, self.device = model, tokenizer, device
        self.max_new_tokens = max_new_tokens
        self._takes_system = takes_system(tokenizer)

    def encode(self, conversations: Sequence[Messages]) -> Any:
        """Token ids and attention mask, padded on the left, of conversations that end with a
        question.  Raises ModelError if one does not fit the context with its answer."""
        texts = [
            self.tokenizer.apply_chat_template(
                self.prepared(messages), tokenize=False, add_generation_prompt=True
            )
            for messages in conversations
        ]
        batch = self.tokenizer(
            texts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt"
        )
        self._check_length(batch["input_ids"].shape[1])
        return batch.to(self.device)

    def prepared(self, messages: Messages) -> list[dict[str, str]]:
        """The messages as this student's template takes them."""
        return list(messages) if self._takes_system else without_system(messages)

    def rewrite(
        self,
        conversations: Sequence[Messages],
        *,
        n: int = 1,
        temperature: float = 0.0,
        max_new_tokens: int | None = None,
        seed: int = 0,
    ) -> list[list[Rewrite]]:
        """`n` answers to each conversation; greedy at temperature 0, else sampled by `seed`.

        Raises ModelError for a conversation that does not fit the model's context.
        """
        import torch

        if not conversations:
            return []
        batch = self.encode(conversations)
        sampling: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        elif n > 1:
            raise ValueError("Greedy answers are all the same: give a temperature for n > 1.")
        with torch.random.fork_rng(devices=self._random_devices()), torch.no_grad():
            torch.manual_seed(seed)
            ids = self.model.generate(
                **batch, **sampling, num_return_sequences=n,
                max_new_tokens=max_new_tokens or self.max_new_tokens,
                pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
            )  # fmt: skip
        answers = [self._answer(row) for row in ids[:, batch["input_ids"].shape[1] :].tolist()]
        return [answers[i : i + n] for i in range(0, len(answers), n)]

    def stream(self, messages: Messages, *, max_new_tokens: int | None = None) -> Iterator[str]:
        """The greedy answer, in pieces as they are computed."""
        from transformers import TextIteratorStreamer

        batch = self.encode([messages])
        streamer = TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        failed: list[BaseException] = []

        def generate() -> None:
            try:
                self.model.generate(
                    **batch, do_sample=False, streamer=streamer,
                    max_new_tokens=max_new_tokens or self.max_new_tokens,
                    pad_token_id=self.tokenizer.pad_token_id,
                    eos_token_id=self.tokenizer.eos_token_id,
                )  # fmt: skip
            except BaseException as error:
                failed.append(error)
                streamer.end()

        worker = Thread(target=generate, daemon=True)
        worker.start()
        yield from (piece for piece in streamer if piece)
        worker.join()
        if failed:
            raise failed[0]

    def _answer(self, tokens: list[int]) -> Rewrite:
        eos = self.tokenizer.eos_token_id
        finished = eos in tokens
        if finished:
            tokens = tokens[: tokens.index(eos)]
        text = self.tokenizer.decode(tokens, skip_special_tokens=True).strip()
        return Rewrite(text, len(tokens), finished)

    def _check_length(self, tokens: int) -> None:
        context = getattr(self.model.config, "max_position_embeddings", None)
        if context and tokens >= context:
            raise ModelError(
                f"The conversation has {tokens} tokens and the student a context of {context}: "
                "shorten the prompt or the instruction, or begin a new conversation."
            )

    def _random_devices(self) -> list[int]:
        import torch

        return list(range(torch.cuda.device_count())) if self.device.startswith("cuda") else []


def load_policy(model: str, settings: StudentSettings | None = None) -> Policy:
    """The student in folder or hub id `model`, ready to answer.

    Raises ModelError for a checkpoint that is missing, a pickle, truncated, or does not fit its
    tokenizer.
    """
    from transformers import AutoModelForCausalLM

    settings = settings or StudentSettings()
    folder = resolve(model)
    weights = weight_files(folder)
    if not weights:
        raise ModelError(f"{folder} holds no safetensors: it is no checkpoint of a language model.")
    verify(folder, [*weights, *config_files(folder)])
    device = pick_device(settings.device, "student.device")
    dtype = pick_dtype(settings.dtype, device, prefer_bfloat16=True)
    tokenizer = load_student_tokenizer(folder)
    network = load_model(folder, dtype, device, AutoModelForCausalLM)
    check_fit(network, tokenizer, folder)
    return Policy(network, tokenizer, device, settings.max_new_tokens)


def load_student_tokenizer(folder: Any) -> Any:
    """The folder's tokenizer, with a chat template and a padding token in any case."""
    tokenizer = load_tokenizer(folder)
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"{folder}: its tokenizer has no end-of-sequence token, so no answer ends."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template is None:
        tokenizer.chat_template = DEFAULT_TEMPLATE
    return tokenizer


def check_fit(model: Any, tokenizer: Any, folder: Any) -> None:
    """Raise ModelError if the tokenizer has ids that the embedding does not."""
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model embeds {rows}. They "
            "do not belong together: take both from one checkpoint."
        )


def takes_system(tokenizer: Any) -> bool:
    """Whether the chat template shows a system message; some refuse it, some leave it out."""
    from jinja2.exceptions import TemplateError

    messages = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "x"}]
    try:
        return _PROBE in tokenizer.apply_chat_template(messages, tokenize=False)
    except TemplateError:
        return False


def without_system(messages: Messages) -> list[dict[str, str]]:
    """The messages with the system text put before the first question."""
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    system, first, *rest = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]
