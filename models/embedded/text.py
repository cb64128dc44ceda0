"""What the base language model reads: prompts, their variants, instructions, unanswered chats.

The mixture teaches words, copying and minimal edits, and the shape of a chat; it never shows an
instruction beside the prompt that obeys it.  In chat documents the answer is a random edit of the
prompt or something else entirely, so there is nothing to learn about following (that is left to
SFT).  Leaves out tokens (`models.embedded.language`).
"""

import random
from collections.abc import Callable

from models.embedded.english import sample_english, sample_word
from models.world.edits import sample_edit
from models.world.grammar import intent_of, sample_raw_prompt, sample_voice, say
from models.world.scene import sample_scene

Document = str | list[dict[str, str]]  # plain text, or the messages of a chat

SYSTEMS = (
    "You rewrite prompts for text-to-image models.",
    "You improve prompts for pictures.",
    "You are a helpful assistant.",
    "Rewrite the prompt as the user asks.",
    "You chat with a text-to-image model.",
)
LAYOUTS = (
    "{prompt}\n{instruction}",
    "Prompt: {prompt}\nInstruction: {instruction}",
    "{instruction}\n{prompt}",
)


def _line(generator: random.Random) -> str:
    """A prompt of the world, mostly raw, else finished; one in five general English."""
    draw = generator.random()
    if draw < 0.2:
        return sample_english(generator)
    if draw < 0.55:
        return sample_raw_prompt(generator)[0]
    return say(sample_scene(generator, finish=0.7), sample_voice(generator)).text


def _lines(generator: random.Random) -> Document:
    return "\n".join(_line(generator) for _ in range(4))


def _variants(generator: random.Random) -> Document:
    """Prompts that differ by one edit each, with the intent at times; no instructions."""
    lines = []
    for _ in range(2):
        example = sample_edit(generator)
        lines += [example.raw_prompt, example.target_prompt]
        if generator.random() < 0.2:
            lines.append(example.intent)
    return "\n".join(lines)


def _copies(generator: random.Random) -> Document:
    """The same line again, after another one at times: copying is a skill of its own."""
    if generator.random() < 0.3:
        line = " ".join(sample_word(generator) for _ in range(generator.randint(3, 8)))
    else:
        line = _line(generator)
    between = [_line(generator)] if generator.random() < 0.3 else []
    return "\n".join([line, *between, line])


def _instructions(generator: random.Random) -> Document:
    return "\n".join(sample_edit(generator).instruction for _ in range(5))


def _intent(generator: random.Random) -> Document:
    scene = sample_scene(generator, finish=0.5)
    return f"{say(scene, sample_voice(generator)).text}\n{intent_of(scene)}"


def _chat(generator: random.Random) -> Document:
    """A chat whose answer has nothing to do with the instruction.

    Half of the answers edit the prompt at random or copy it, the others are another prompt.
    """
    messages = []
    if generator.random() < 0.8:
        messages.append({"role": "system", "content": generator.choice(SYSTEMS)})
    for _ in range(generator.choice((1, 1, 1, 2))):
        example = sample_edit(generator)
        prompt, answer = example.raw_prompt, example.target_prompt
        draw = generator.random()
        if draw < 0.12:
            answer = prompt
        elif draw < 0.2:
            prompt = answer = sample_english(generator)
        elif draw < 0.7:
            answer = _line(generator)
        layout = generator.choice(LAYOUTS)
        instruction = sample_edit(generator).instruction  # of another prompt
        question = layout.format(prompt=prompt, instruction=instruction)
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return messages


# Shares of documents, our choice: copying and variants are what SFT will build on.
_MIXTURE: tuple[tuple[Callable[[random.Random], Document], float], ...] = (
    (_lines, 0.12),
    (_variants, 0.26),
    (_copies, 0.2),
    (_instructions, 0.1),
    (_intent, 0.07),
    (_chat, 0.25),
)


def sample_document(generator: random.Random) -> Document:
    """One document of the pretraining mixture."""
    kinds, shares = zip(*_MIXTURE, strict=True)
    return generator.choices(kinds, shares)[0](generator)
