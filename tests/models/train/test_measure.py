"""Figures of a student are about its own greedy answers and the target's tokens."""

import math

import pytest
import torch

from models.integrity import content_integrity
from models.train.data import example_of, is_hard, tokenise
from models.train.measure import measure
from models.train.policy import load_policy
from schemas.training import StudentSettings
from schemas.units import Unit
from tests.models.train.miniatures import student
from tests.models.train.test_data import FIRST, SECOND, row

CHANGES = [{"role": role, "text": "x"} for role in ("add", "add", "remove")]


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = student(tmp_path_factory.mktemp("student"))
    return load_policy(str(folder), StudentSettings(device="cpu", max_new_tokens=12))


def test_hard_cases_change_three_units_or_are_compound():
    assert is_hard(FIRST | {"units": CHANGES})
    assert is_hard(FIRST | {"edit_kind": "compound"})
    assert not is_hard(FIRST | {"units": [*CHANGES[:2], {"role": "keep", "text": "y"}]})


def test_figures_are_those_of_the_model_itself(policy):
    found = measure(policy, [FIRST, SECOND], {"1": FIRST})
    examples = [example_of(FIRST, {}), example_of(SECOND, {"1": FIRST})]
    loss, tokens, scores = 0.0, 0, []
    for example, (ids, asked) in zip(examples, tokenise(examples, policy.tokenizer), strict=True):
        logits = policy.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        loss -= sum(float(logits[i - 1, ids[i]]) for i in range(asked, len(ids)))
        tokens += len(ids) - asked
        answer = policy.rewrite([example.conversation])[0][0].prompt
        scores.append(content_integrity([Unit("add", "dog")], answer).score)
    assert math.isclose(found["test"]["loss"], loss / tokens, abs_tol=1e-3)
    assert math.isclose(found["test"]["integrity"], sum(scores) / 2, abs_tol=1e-4)
    assert found["hard"] == {"cases": 0}


def test_hard_cases_behind_the_plain_sample_count_among_the_hard_only(policy):
    rows = [FIRST, row("9", "a cat", "add", "a dog", units=CHANGES)]
    found = measure(policy, rows, {}, plain=1)
    assert (found["test"]["cases"], found["hard"]["cases"]) == (1, 1)


def test_cases_beyond_the_context_are_counted_and_in_no_mean(policy):
    found = measure(policy, [FIRST, row("9", "a cat " * 200, "add", "a dog")], {})
    assert found["test"]["cases"] == found["test"]["too_long"] == 1
