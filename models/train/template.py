"""How a conversation becomes tokens: one place for training, sampling and chat.

The student's own chat template is used, and is saved with every checkpoint, so `transformers`,
`vllm serve` and `trl` make the same tokens.  A tokenizer without a template (BLOOM) gets
`DEFAULT_TEMPLATE`; a template that refuses or drops the system role is prefixed by `FOLD`, which
puts the system text at the head of the first user message.  Prompt and answer are tokenised apart,
so that no token straddles their border and what is sampled from is exactly what was trained on.
"""

from collections.abc import Sequence
from typing import Any

from schemas.errors import ModelError

Messages = Sequence[dict[str, str]]

# Our choice, in the spirit of Alpaca's: words only, so that no vocabulary has to grow.
DEFAULT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ '### User:\\n' + message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ '### Assistant:\\n' }}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% if not loop.last %}{{ '\\n\\n' }}{% endif %}"
    "{% else %}{{ raise_exception('unknown role ' + message['role']) }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Assistant:\\n' }}{% endif %}"
)
# In the template itself, so that every program that loads the checkpoint does it; the empty
# expression keeps a line break that the template begins with.
FOLD = (
    "{% if messages|length > 1 and messages[0]['role'] == 'system' %}"
    "{% set messages = [{'role': messages[1]['role'], 'content': "
    "messages[0]['content'] + '\\n\\n' + messages[1]['content']}] + messages[2:] %}"
    "{% endif %}{{ '' }}"
)
_PROBE = "zq system zq"


def prepare_tokenizer(tokenizer: Any, name: str) -> Any:
    """Left padding, a pad token and a chat template; returns the same tokenizer.

    Raises ModelError if it has no end-of-sequence token, or a template that cannot hold a user's
    message and an answer.
    """
    if tokenizer.eos_token_id is None:
        raise ModelError(
            f"The tokenizer of {name} has no end-of-sequence token, so an answer could not end: "
            'set "eos_token" in its tokenizer_config.json.'
        )
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not tokenizer.chat_template:
        tokenizer.chat_template = DEFAULT_TEMPLATE
    if not takes_system(tokenizer):
        tokenizer.chat_template = _folding(tokenizer.chat_template)
    question = [{"role": "user", "content": "a"}]
    try:
        render(tokenizer, question)
        turn_texts(tokenizer, question, "b")
    except ModelError:
        raise
    except Exception as error:  # jinja's and the template's own
        raise ModelError(
            f"The chat template of {name} does not take a user's message and an answer: {error}"
        ) from error
    return tokenizer


def _folding(template: Any) -> Any:
    """A template, or several by name, that takes a system message."""
    if isinstance(template, dict):
        return {name: FOLD + its for name, its in template.items()}
    return FOLD + template


def takes_system(tokenizer: Any) -> bool:
    """Whether the template keeps a system message."""
    messages = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "a"}]
    try:
        return _PROBE in _apply(tokenizer, messages, add_generation_prompt=True)
    except Exception:  # such templates raise jinja2's TemplateError, or fail on their own code
        return False


def render(tokenizer: Any, messages: Messages) -> str:
    """The text up to where the answer begins."""
    return _apply(tokenizer, messages, add_generation_prompt=True)


def turn_texts(tokenizer: Any, messages: Messages, answer: str) -> tuple[str, str]:
    """(what `render` gives, what the student is to write after it).

    The answer ends with the end-of-sequence token, whatever the template puts behind that.  Raises
    ModelError if the template does not continue its own generation prompt.
    """
    prompt = render(tokenizer, messages)
    turn = {"role": "assistant", "content": answer}
    whole = _apply(tokenizer, [*messages, turn], add_generation_prompt=False)
    if not whole.startswith(prompt):
        raise ModelError(
            "The chat template writes a conversation with an answer differently from the prompt "
            f"it gives for generation ({prompt[-60:]!r}), so what is trained would not be what is "
            "sampled: use a checkpoint whose template does not hide or add thoughts."
        )
    text = whole[len(prompt) :]
    end = text.rfind(tokenizer.eos_token)
    text = text[: end + len(tokenizer.eos_token)] if end >= 0 else text + tokenizer.eos_token
    return prompt, text


def encode_prompt(tokenizer: Any, messages: Messages) -> list[int]:
    """Token ids that the answer is sampled from."""
    return tokenizer(render(tokenizer, messages), add_special_tokens=False)["input_ids"]


def _apply(tokenizer: Any, messages: Messages, *, add_generation_prompt: bool) -> str:
    return tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
    )
