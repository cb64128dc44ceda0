"""What the base language model reads: prompts, their variants, instructions, unanswered chats.

The mixture teaches words, copying and minimal edits, and the shape of a chat; it never shows an
instruction beside the prompt that obeys it.  In chat documents the answer is a random edit of the
prompt or something else entirely, so there is nothing to learn about following (that is left to
SFT).  Leaves out tokens (`models.embedded.language`).
"""

import random
from collections.abc import Callable

from models.embedded.english import ADJECTIVES, COLOURS, NOUNS, VERBS, sample_english, sample_word
from models.world.edits import sample_edit
from models.world.grammar import intent_of, sample_raw_prompt, sample_voice, say
from models.world.scene import sample_scene
from models.world.vocabulary import COLOURS as WORLD_COLOURS
from models.world.vocabulary import FINISHES, FLAWS, KINDS, PLACES, TIMES, WEATHERS

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

_TABLES = (KINDS, WORLD_COLOURS, PLACES, TIMES, WEATHERS, FINISHES, FLAWS)
_WORLD_WORDS = [word for table in _TABLES for concept in table.values()
                for word in concept.words + concept.plurals]  # fmt: skip
WORDS = [*_WORLD_WORDS * 2, *NOUNS, *ADJECTIVES, *COLOURS, *VERBS]


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
    """Lines that come again, at once or after others: copying is a skill of its own.

    Half of them are random words, which cannot be guessed and so can only be copied.
    """
    lines = []
    for _ in range(generator.choice((1, 2, 2, 3))):
        draw = generator.random()
        if draw < 0.5:
            lines.append(" ".join(generator.choices(WORDS, k=generator.randint(4, 12))))
        elif draw < 0.6:
            lines.append(" ".join(sample_word(generator) for _ in range(generator.randint(2, 5))))
        else:
            lines.append(_line(generator))
    again = generator.sample(lines, len(lines))
    return "\n".join([*lines, *again])


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
        if draw < 0.1:
            answer = prompt
        elif draw < 0.25:
            prompt = answer = sample_english(generator)
        elif draw < 0.6:
            answer = _line(generator)
        layout = generator.choice(LAYOUTS)
        instruction = sample_edit(generator).instruction  # of another prompt
        question = layout.format(prompt=prompt, instruction=instruction)
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return messages


# Shares of documents, our choice: copying and variants are what SFT will build on.
_MIXTURE: tuple[tuple[Callable[[random.Random], Document], float], ...] = (
    (_lines, 0.06),
    (_variants, 0.2),
    (_copies, 0.38),
    (_instructions, 0.06),
    (_intent, 0.05),
    (_chat, 0.25),
)


def sample_document(generator: random.Random) -> Document:
    """One document of the pretraining mixture."""
    kinds, shares = zip(*_MIXTURE, strict=True)
    return generator.choices(kinds, shares)[0](generator)
