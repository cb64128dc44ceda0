"""Action-space Dynamic Modification (ADM): what an off-policy row may say next.

The paper samples "more relevant positive samples and harder negative samples" by changing the
action space; its equations are not public, so this is our reading (DESIGN.md, Method).  At each
state s the policy π is cut to its nucleus π̃ and then, by the kind of row:

    positive        μ = (1−ε)·π̃ + ε·π_C   C(s): first tokens of missing units, where a word begins
                    μ = (1−c)·π̃ + c·π_C   C(s): next tokens of a unit that has begun, or where the
                    policy would have ended the answer
                    every end of an answer masked while units are missing and the budget
                    allows them;
                    a token that would complete a forbidden unit masked
    hard negative   μ ∝ π̃ without the tokens that would complete a blocked unit; one or two units
                    are blocked where the policy might have said something else

π_C is the policy on C(s), renormalised: it knows which number and which unit fit here.  With
`adm.choice` "uniform" it is U(C(s)), which says "two helicopter" as readily as "two helicopters".
A unit is begun where the policy finds that possible (`plausible`), and a hard negative is blocked
where it leaves at least `least_mass` of π̃: what the policy would never say, or always says, makes
rows that it cannot learn from.  A mixture, and not merely a larger set of allowed tokens: the
policy hardly ever samples what it does not know.

Leaves out: sampling itself (`rollout`) and the weights that make such rows usable (`losses`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from models.integrity import content_integrity, find_unit
from schemas.training import AdmSettings
from schemas.units import Unit


@dataclass
class Node:
    """A node of a trie of token paths; `ends` holds the units whose path ends here."""

    children: dict[int, "Node"] = field(default_factory=dict)
    ends: set[int] = field(default_factory=set)
    units: set[int] = field(default_factory=set)  # units with a path through here


def build_trie(paths: Iterable[tuple[int, Sequence[int]]]) -> Node:
    """A trie of (unit index, token path); empty paths are left out."""
    root = Node()
    for unit, path in paths:
        node = root
        for token in path:
            node = node.children.setdefault(token, Node())
            node.units.add(unit)
        if path:
            node.ends.add(unit)
    return root


@lru_cache(maxsize=65_536)
def variants(text: str) -> tuple[str, ...]:
    """Wordings of a unit that the integrity rule accepts: as written, and the last word's number.

    A unit that negates ("no people") has only its own wording.
    """
    *first, last = text.split() or [""]
    forms = [last, f"{last}s", f"{last}es", last.removesuffix("s"), last.removesuffix("es")]
    if last.endswith("y"):
        forms.append(f"{last[:-1]}ies")
    found = dict.fromkeys(" ".join((*first, form)) for form in forms if form)
    return tuple(wording for wording in found if find_unit(text, wording) is not None)


# How pieces write a space before them: SentencePiece; byte-level BPE, whose marks are letters.
SPACES = tuple("\u2581\u0120\u010a ")


@lru_cache(maxsize=4)
def vocabulary_of(tokenizer: Any, size: int, ends: tuple[int, ...]) -> "Vocabulary":
    """The vocabulary of a tokenizer object, read once."""
    return Vocabulary(tokenizer, size, ends)


class Vocabulary:
    """What ADM has to know of a tokenizer: paths of wordings, and which tokens begin a word or end
    an answer."""

    def __init__(self, tokenizer: Any, size: int, ends: tuple[int, ...]):
        """`size`: width of the model's output layer, which may exceed the tokenizer's; `ends`:
        tokens that end an answer (`policy.eos_ids`)."""
        self.tokenizer = tokenizer
        self._paths: dict[tuple[str, bool], list[int]] = {}
        self.ends = list(ends)
        pieces = tokenizer.convert_ids_to_tokens(list(range(min(size, len(tokenizer)))))
        special = set(tokenizer.all_special_ids)
        self.begins_V = np.zeros(size, dtype=bool)  # begins a word, is punctuation, or ends
        self.words_V = np.zeros(size, dtype=bool)  # begins a word
        for token, piece in enumerate(pieces):
            spaced = piece[:1] in SPACES
            self.begins_V[token] = token in special or spaced or not piece[:1].isalnum()
            self.words_V[token] = spaced and token not in special and piece[1:2].isalnum()

    def path(self, wording: str, inside: bool) -> list[int]:
        """Token ids of `wording` at the start of an answer, or `inside` it after another word."""
        key = (wording, inside)
        if key not in self._paths:
            lead = self._encode("x") if inside else []
            both = self._encode(f"x {wording}" if inside else wording)
            path = both[len(lead) :] if both[: len(lead)] == lead else []
            # A wording that the vocabulary cannot say is no way to say it.
            self._paths[key] = [] if self.tokenizer.unk_token_id in path else path
        return self._paths[key]

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]


class ActionSpace:
    """The action space of one off-policy row; `modify` and `advance` in turns.

    `candidates` are the units a hard negative may block, in order of choice, and `most` how many at
    once; None: the row is positive.  `blocked` holds those that are blocked by now.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        vocabulary: Vocabulary,
        settings: AdmSettings,
        budget: int,
        candidates: Sequence[int] | None = None,
        most: int = 1,
    ):
        self.units, self.vocabulary, self.settings = tuple(units), vocabulary, settings
        self.budget, self.candidates, self.most = budget, tuple(candidates or ()), most
        self.positive = candidates is None
        self.blocked: frozenset[int] = frozenset()
        self.wanted = frozenset(i for i, unit in enumerate(units) if unit.role != "remove")
        self.forbidden = frozenset(range(len(units))) - self.wanted
        self._tries = {
            inside: build_trie(
                (index, vocabulary.path(wording, inside))
                for index, unit in enumerate(units)
                for wording in variants(unit.text)
            )
            for inside in (False, True)
        }
        self._shortest = {
            index: min(
                (len(path) for w in variants(unit.text) if (path := vocabulary.path(w, True))),
                default=budget,
            )
            for index, unit in enumerate(units)
        }
        self._tokens: list[int] = []
        self._open: list[Node] = []  # paths begun and not ended
        self._missing = self.wanted
        self._over = False  # the policy wanted to end while units were missing

    def modify(self, nucleus_V: np.ndarray, policy_V: np.ndarray) -> np.ndarray:
        """μ(·|s) of the next token, float64 (V,), summing to 1.

        `nucleus_V`: π̃, (V,), summing to 1; `policy_V`: π, read where a mask leaves nothing of π̃.
        """
        self._choose_blocked(nucleus_V)
        masked = self._masked()
        hidden = sorted(masked)
        base = nucleus_V.astype(np.float64)
        base[hidden] = 0.0
        mass = base.sum()
        if mass <= 0:
            base = policy_V.astype(np.float64)
            base[hidden] = 0.0
            mass = base.sum()
        choices = [token for token in self._choices(policy_V, hidden) if token not in masked]
        if mass <= 0:  # nothing of the policy is left: only what is wanted can be said
            base = np.zeros_like(base)
            said = choices or [self.vocabulary.ends[0]]
            base[said] = 1 / len(said)
            return base
        base /= mass
        if not choices:
            return base
        settings = self.settings
        share = settings.continuation if self._begun() or self._over else settings.epsilon
        base *= 1 - share
        base[choices] += share * self._law_of(choices, policy_V)
        return base

    def _law_of(self, choices: list[int], policy_V: np.ndarray) -> np.ndarray:
        """π_C, or U(C)."""
        if self.settings.choice == "policy":
            law = policy_V[choices].astype(np.float64)
            if law.sum() > 0:
                return law / law.sum()
        return np.full(len(choices), 1 / len(choices))

    def advance(self, token: int) -> None:
        """Take note of the token that was sampled."""
        begins = not self._tokens or self.vocabulary.begins_V[token]
        nodes = [*self._open, *([self._root()] if begins else [])]
        self._tokens.append(token)
        self._open = [node.children[token] for node in nodes if token in node.children]
        text = self.vocabulary.tokenizer.decode(self._tokens, skip_special_tokens=True)
        self._missing = missing_of(self.units, text) & self.wanted
        self._over &= not self._open
        # A path that has ended goes on only if a longer wording does.
        self._open = [node for node in self._open if node.children]

    def _root(self) -> Node:
        return self._tries[bool(self._tokens)]

    def _begun(self) -> list[Node]:
        """Open paths of units that are still missing."""
        return [node for node in self._open if node.units & self._missing and not node.ends]

    def _choices(self, policy_V: np.ndarray, hidden: list[int]) -> list[int]:
        """C(s): tokens that go on with a begun unit, else that begin a missing one; sorted."""
        if not self.positive or not self._missing:
            return []
        ends = self.vocabulary.ends
        self._over |= ends[0] in hidden and float(policy_V[ends].sum()) >= 0.5
        begun = self._begun()
        nodes = begun or ([self._root()] if self._at_border(policy_V, hidden) else [])
        found = sorted(
            {
                token
                for node in nodes
                for token, child in node.children.items()
                if child.units & self._missing
            }
        )
        free = begun or self._over or not self._tokens
        least = 0.0 if free else self.settings.plausible
        return found if policy_V[found].sum() >= least else []

    def _at_border(self, policy_V: np.ndarray, hidden: list[int]) -> bool:
        """Whether a word may begin: at the start, or where π mostly begins one (our choice).

        Of what may be said: neither a comma nor an end that is masked is the place for a unit.
        """
        if not self._tokens:
            return True
        left = 1.0 - float(policy_V[hidden].sum())
        words = self.vocabulary.words_V.copy()
        words[hidden] = False
        return float(policy_V[words].sum()) >= 0.5 * left

    def _masked(self) -> set[int]:
        """Tokens that may not be said here.

        A forbidden unit may be completed inside a wanted one ("car" in "blue car"): there the
        integrity rule excuses it.  A blocked unit may not be completed at all.
        """
        hidden = self.forbidden if self.positive else self.blocked
        steps = self._steps()
        tokens = {token for token, child in steps if child.ends & hidden}
        if self.positive:
            tokens -= {token for token, child in steps if child.units & self.wanted}
            if self._missing and self._room() > 0:
                tokens.update(self.vocabulary.ends)
        return tokens

    def _steps(self) -> list[tuple[int, Node]]:
        """Every way to begin or go on with a wording here."""
        return [step for node in (*self._open, self._root()) for step in node.children.items()]

    def _choose_blocked(self, nucleus_V: np.ndarray) -> None:
        """Block units that this token may complete; release those the policy is too sure of."""
        steps = self._steps() if self.candidates else []
        for unit in self.candidates:
            mass = sum(float(nucleus_V[t]) for t, child in steps if unit in child.ends)
            if mass > 1 - self.settings.least_mass:
                self.blocked -= {unit}
            elif mass > 0 and len(self.blocked) < self.most:
                self.blocked |= {unit}

    def _room(self) -> int:
        """Tokens left once the missing units, each at its shortest, and the end are said."""
        return (
            self.budget
            - 1
            - len(self._tokens)
            - sum(self._shortest[unit] for unit in self._missing)
        )


def missing_of(units: Sequence[Unit], text: str) -> frozenset[int]:
    """Indices of the units that `text` does not honour."""
    missed = {miss.unit for miss in content_integrity(units, text).misses}
    return frozenset(index for index, unit in enumerate(units) if unit in missed)


def nucleus(probabilities_BV: np.ndarray, top_p: float) -> np.ndarray:
    """π̃: the smallest sets of tokens whose mass reaches `top_p`, renormalised; float64 (B, V)."""
    order_BV = np.argsort(-probabilities_BV, axis=-1, kind="stable")
    sorted_BV = np.take_along_axis(probabilities_BV, order_BV, axis=-1).astype(np.float64)
    before_BV = np.cumsum(sorted_BV, axis=-1) - sorted_BV
    sorted_BV[before_BV >= top_p] = 0.0
    kept_BV = np.empty_like(sorted_BV)
    np.put_along_axis(kept_BV, order_BV, sorted_BV, axis=-1)
    return kept_BV / kept_BV.sum(axis=-1, keepdims=True)
