"""The one chat format in which a prompt and an instruction are put to a student or an endpoint.

Training, reward, evaluation, chat and other programs (`docs/serving.md`) use exactly these
messages.  The student's own template turns them into tokens.
"""

from collections.abc import Sequence
from typing import NamedTuple

SYSTEM = "You rewrite prompts for text-to-image models."


class Turn(NamedTuple):
    """One answered turn: what was asked and the prompt that came of it."""

    instruction: str
    prompt: str


def messages_of(
    raw_prompt: str, instruction: str, history: Sequence[Turn] = ()
) -> list[dict[str, str]]:
    """Messages that end with the user's question; the answer is the new prompt and nothing else.

    `raw_prompt` is the first prompt of the conversation, `history` the turns since, oldest first.
    """
    asked = [turn.instruction for turn in history] + [instruction]
    messages = [{"role": "system", "content": SYSTEM}]
    for number, text in enumerate(asked):
        question = f"Instruction: {text}"
        if number == 0:
            question = f"Prompt: {raw_prompt}\n{question}"
        messages.append({"role": "user", "content": question})
        if number < len(history):
            messages.append({"role": "assistant", "content": history[number].prompt})
    return messages
