"""Action-space Dynamic Modification (ADM): what an off-policy row may say next.

The paper samples "more relevant positive samples and harder negative samples" by changing the
action space; its equations are not public, so this is our reading (DESIGN.md, Method).  At each
state s the policy π is cut to its nucleus π̃ and then, by the kind of row:

    positive        μ = (1−ε)·π̃ + ε·U(C(s))   C: first tokens of missing units, at a word border
                    μ = (1−c)·π̃ + c·U(C(s))   C: next tokens of a unit that has begun
                    end of sequence masked while units are missing and the budget allows them;
                    a token that would complete a forbidden unit masked
    hard negative   μ ∝ π̃ without the tokens that would complete a blocked unit

Rows are dropped (hard negatives) where the mask leaves less than `least_mass` of π̃.  A mixture,
and not merely a larger set of allowed tokens: the policy hardly ever samples what it does not know.

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


class Vocabulary:
    """What ADM has to know of a tokenizer: paths of wordings, and which tokens begin a word."""

    def __init__(self, tokenizer: Any, size: int):
        """`size`: width of the model's output layer, which may exceed the tokenizer's."""
        self.tokenizer = tokenizer
        self._paths: dict[tuple[str, bool], list[int]] = {}
        self.eos = tokenizer.eos_token_id
        pieces = tokenizer.convert_ids_to_tokens(list(range(min(size, len(tokenizer)))))
        special = set(tokenizer.all_special_ids)
        self.begins_V = np.zeros(size, dtype=bool)  # begins a word, is punctuation, or ends
        for token, piece in enumerate(pieces):
            self.begins_V[token] = token in special or not (piece and piece[0].isalnum())

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

    `blocked` holds the indices of the units a hard negative must not say; without any the row is
    positive.  `kept` is the least share of π̃ that a mask has left so far.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        vocabulary: Vocabulary,
        settings: AdmSettings,
        budget: int,
        blocked: frozenset[int] = frozenset(),
    ):
        self.units, self.vocabulary, self.settings = tuple(units), vocabulary, settings
        self.budget, self.blocked = budget, blocked
        self.wanted = frozenset(i for i, unit in enumerate(units) if unit.role != "remove")
        self.forbidden = frozenset(range(len(units))) - self.wanted
        self.kept = 1.0
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

    @property
    def positive(self) -> bool:
        return not self.blocked

    @property
    def dropped(self) -> bool:
        """Whether the policy was forced off so far that the row would teach nothing."""
        return not self.positive and self.kept < self.settings.least_mass

    def modify(self, nucleus_V: np.ndarray, policy_V: np.ndarray) -> np.ndarray:
        """μ(·|s) of the next token, float64 (V,), summing to 1.

        `nucleus_V`: π̃, (V,), summing to 1; `policy_V`: π, read where a mask leaves nothing of π̃.
        """
        masked = self._masked()
        hidden = sorted(masked)
        base = nucleus_V.astype(np.float64)
        base[hidden] = 0.0
        mass = base.sum()
        self.kept = min(self.kept, float(mass))
        if mass <= 0:
            base = policy_V.astype(np.float64)
            base[hidden] = 0.0
            mass = base.sum()
        choices = [token for token in self._choices(policy_V) if token not in masked]
        if mass <= 0:  # nothing of the policy is left: only what is wanted can be said
            base = np.zeros_like(base)
            base[choices or [self.vocabulary.eos]] = 1 / max(1, len(choices))
            return base
        base /= mass
        if not choices:
            return base
        share = self.settings.continuation if self._begun() else self.settings.epsilon
        base *= 1 - share
        base[choices] += share / len(choices)
        return base

    def advance(self, token: int) -> None:
        """Take note of the token that was sampled."""
        begins = not self._tokens or self.vocabulary.begins_V[token]
        nodes = [*self._open, *([self._root()] if begins else [])]
        self._tokens.append(token)
        self._open = [node.children[token] for node in nodes if token in node.children]
        text = self.vocabulary.tokenizer.decode(self._tokens, skip_special_tokens=True)
        self._missing = missing_of(self.units, text) & self.wanted
        # A path that has ended goes on only if a longer wording does.
        self._open = [node for node in self._open if node.children]

    def _root(self) -> Node:
        return self._tries[bool(self._tokens)]

    def _begun(self) -> list[Node]:
        """Open paths of units that are still missing."""
        return [node for node in self._open if node.units & self._missing and not node.ends]

    def _choices(self, policy_V: np.ndarray) -> list[int]:
        """C(s): tokens that go on with a begun unit, else that begin a missing one; sorted."""
        if not self.positive or not self._missing:
            return []
        nodes = self._begun() or ([self._root()] if self._at_border(policy_V) else [])
        return sorted(
            {
                token
                for node in nodes
                for token, child in node.children.items()
                if child.units & self._missing
            }
        )

    def _at_border(self, policy_V: np.ndarray) -> bool:
        """Whether a word may begin: at the start, or where π mostly begins one (our choice)."""
        return not self._tokens or float(policy_V[self.vocabulary.begins_V].sum()) >= 0.5

    def _masked(self) -> set[int]:
        """Tokens that may not be said here.

        A forbidden unit may be completed inside a wanted one ("car" in "blue car"): there the
        integrity rule excuses it.  A blocked unit may not be completed at all.
        """
        hidden = self.blocked or self.forbidden
        steps = [step for node in (*self._open, self._root()) for step in node.children.items()]
        tokens = {token for token, child in steps if child.ends & hidden}
        if self.positive:
            tokens -= {token for token, child in steps if child.units & self.wanted}
            if self._missing and self._room() > 0:
                tokens.add(self.vocabulary.eos)
        return tokens

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
