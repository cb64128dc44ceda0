"""How PPO's parts are wired: what a step learns from, and the gradient that it takes.

One batch by hand with all three kinds of rows, prompts and answers of several lengths, against
loops in float64 that take one row at a time, without padding, and share no code with
`models.train`.
The parts themselves are tested in `test_learning` and `test_adm`, whole runs in `test_rl`.
"""

import copy
import math
from collections.abc import Iterable
from statistics import fmean, stdev, variance
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch

from models.train import rl
from models.train.batch import Batch, moved, prepare
from models.train.experience import Step
from models.train.reward import Scored
from models.train.rollout import HARD_NEGATIVE, ON_POLICY, POSITIVE, Rollout
from schemas.training import AdmSettings
from tests.models.train import toy

BETA = 0.3
ADM = AdmSettings(weight_floor=0.15, weight_cap=1.5)


class Row(NamedTuple):
    """One answer: its question by number, what it scored, and π/μ of its tokens."""

    kind: str
    question: int
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    total: float
    integrity: float
    ratios: tuple[float, ...]


# Question 1 has one on-policy answer: what it is compared with is the mean over all of them.
ROWS = (
    Row(ON_POLICY, 0, (1, 3, 9, 12), (14, 15, 6, 2), 2.5, 0.5, (0.7, 1.1, 1.3, 0.9)),
    Row(ON_POLICY, 0, (1, 3, 9, 12), (7, 20), -0.5, 0.0, (1.2, 0.6)),
    Row(POSITIVE, 0, (1, 3, 9, 12), (6, 11, 8, 13), 4.0, 1.0, (0.05, 0.8, 0.1, 3.0)),
    Row(HARD_NEGATIVE, 0, (1, 3, 9, 12), (17, 6, 2), 1.0, 0.5, (1.4, 0.3, 2.5)),
    Row(ON_POLICY, 1, (3, 8), (9, 12, 18), 1.5, 1.0, (0.8, 1.5, 1.0)),
    Row(POSITIVE, 1, (3, 8), (8, 13, 14), 0.5, 0.5, (0.9, 0.02, 0.4)),
    Row(HARD_NEGATIVE, 1, (3, 8), (21, 22, 23, 24), -2.0, 0.0, (0.6, 2.0, 0.05, 0.9)),
)
LONGEST, WIDEST = 4, 4
EVERY = range(len(ROWS))
OWN = [i for i, row in enumerate(ROWS) if row.kind == ON_POLICY]


def model(seed: int):
    """A policy whose logits depend on all the words before, as random weights hardly do."""
    policy = toy.policy(seed).model
    for parameter in policy.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.25)
    return policy


def head(policy, settings):
    """The loop's state as it begins, with a value that has learnt something."""
    state = rl._begin(policy, settings)
    torch.nn.init.normal_(state.value.outer.weight, std=0.3)
    torch.nn.init.normal_(state.value.outer.bias)
    torch.nn.init.normal_(state.value.norm.weight, mean=1.0, std=0.2)
    return state


def states(policy, row: Row) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities (T, V) and last hidden states (T, H) of a row's states, in float64."""
    out = policy(input_ids=torch.tensor([row.prompt + row.answer]), output_hidden_states=True)
    first, last = len(row.prompt) - 1, len(row.prompt) + len(row.answer) - 1
    assert out.logits.dtype == torch.float64
    return out.logits[0, first:last].log_softmax(-1), out.hidden_states[-1][0, first:last]


def value_at(its, hidden_H, features_F, integrity, settings):
    """V(s) of one state, from the tensors of the head by name."""
    deviation = (hidden_H - hidden_H.mean()).square().mean().add(1e-5).sqrt()
    seen = (hidden_H - hidden_H.mean()) / deviation * its["norm.weight"] + its["norm.bias"]
    earned = 0.0
    if settings.integrity_value:
        seen = torch.cat([seen, features_F])
        earned = settings.reward.integrity * integrity
    inner = (its["inner.weight"] @ seen + its["inner.bias"]).tanh()
    return (its["outer.weight"] @ inner + its["outer.bias"])[0] + earned


def rollout_of(policy) -> Rollout:
    """ROWS as a rollout of this policy: prompts padded on the left, answers on the right."""
    twin, random = copy.deepcopy(policy).double(), torch.Generator().manual_seed(1)
    count = len(ROWS)
    ids_BL = torch.zeros(count, WIDEST + LONGEST, dtype=torch.long)
    attention_BL, behaviour_BT = torch.zeros_like(ids_BL), torch.zeros(count, LONGEST)
    for i, row in enumerate(ROWS):
        span = slice(WIDEST - len(row.prompt), WIDEST + len(row.answer))
        ids_BL[i, span] = torch.tensor(row.prompt + row.answer)
        attention_BL[i, span] = 1
        with torch.no_grad():
            logs_TV, _ = states(twin, row)
        for t, (token, ratio) in enumerate(zip(row.answer, row.ratios, strict=True)):
            behaviour_BT[i, t] = float(logs_TV[t, token]) - math.log(ratio)
    mask_BT = attention_BL[:, WIDEST:].bool()
    asked = toy.questions()
    return Rollout(
        questions=[asked[row.question] for row in ROWS],
        kinds=[row.kind for row in ROWS],
        texts=[""] * count,
        ids_BL=ids_BL,
        attention_BL=attention_BL,
        mask_BT=mask_BT,
        behaviour_BT=behaviour_BT,
        integrity_BT=torch.rand(count, LONGEST, generator=random) * mask_BT,
        features_BTF=torch.rand(count, LONGEST, 3, generator=random),
        finished_B=torch.ones(count, dtype=torch.bool),
    )


def step_of(policy, stale: bool) -> Step:
    scored = [
        Scored(row.total, (0.0, 0.0), (0.0, 0.0), row.integrity, 4, 0.0, 0, too_long=False)
        for row in ROWS
    ]
    return Step(rollout_of(policy), scored, stale)


def of_others(numbers: list[float], i: int) -> float:
    """Mean of the other on-policy answers to the question of row i; of all, if it has none."""
    asked = ROWS[i].question
    same = [numbers[j] for j in OWN if j != i and ROWS[j].question == asked]
    return fmean(same or [numbers[j] for j in OWN])


def learned_of(settings) -> list[float]:
    """What is learned from in place of each answer's score."""
    totals = [row.total for row in ROWS]
    if settings.baseline == "none":
        return totals
    gains = totals
    if settings.integrity_value:
        gains = [row.total - settings.reward.integrity * row.integrity for row in ROWS]
    return [total - of_others(gains, i) for i, total in enumerate(totals)]


def advantage(rewards, values, cuts, t, gamma, lam) -> float:
    """The sum over all later temporal differences, each as far as its credit comes back."""
    found, share = 0.0, 1.0
    for k in range(t, len(rewards)):
        if k > t:
            share *= gamma * lam * cuts[k]
        after = values[k + 1] if k + 1 < len(rewards) else 0.0
        found += share * (rewards[k] + gamma * after - values[k])
    return found


@torch.no_grad()
def expected(policy, reference, value, step: Step, settings) -> SimpleNamespace:
    """All that `prepare` finds, as one list of numbers a row."""
    twin, other = copy.deepcopy(policy).double(), copy.deepcopy(reference).double()
    its = {name: tensor.double() for name, tensor in value.state_dict().items()}
    found = SimpleNamespace(old=[], integrity=[], values=[], returns=[], advantages=[])
    kl, entropy, ratios, learned = [], [], [], learned_of(settings)
    for i, row in enumerate(ROWS):
        (logs_TV, hidden_TH), (others_TV, _) = states(twin, row), states(other, row)
        own, times = row.kind == ON_POLICY, range(len(row.answer))
        behaviour = [float(step.rollout.behaviour_BT[i, t]) for t in times]
        old = [float(logs_TV[t, row.answer[t]]) for t in times]
        if own and step.stale:
            old = behaviour
        integrity = [float(step.rollout.integrity_BT[i, t]) for t in times]
        if settings.integrity_value and settings.baseline != "none":
            rate = of_others([row.integrity for row in ROWS], i)
            integrity = [earned + rate * (1 - earned) for earned in integrity]
        features_TF = step.rollout.features_BTF[i].double()
        values = [
            float(value_at(its, hidden_TH[t], features_TF[t], integrity[t], settings))
            for t in times
        ]
        rewards = [-BETA * (old[t] - float(others_TV[t, row.answer[t]])) for t in times]
        rewards[-1] += learned[i]
        ratios.append([math.exp(old[t] - behaviour[t]) for t in times])
        cuts = [1.0 if own else min(1.0, ratio) for ratio in ratios[i]]
        if own or settings.adm.credit == "trace":
            discount = settings.gamma, settings.lam
            advantages = [advantage(rewards, values, cuts, t, *discount) for t in times]
        else:
            advantages = [sum(rewards[t:]) - values[t] for t in times]
        found.old.append(old)
        found.integrity.append(integrity)
        found.values.append(values)
        found.returns.append([advantages[t] + values[t] for t in times])
        found.advantages.append(advantages)
        if own:
            kl.append(float((logs_TV.exp() * (logs_TV - others_TV)).sum()))
            entropy += [-float((logs_TV[t].exp() * logs_TV[t]).sum()) for t in times]
    values, returns = ([n for i in OWN for n in its[i]] for its in (found.values, found.returns))
    missed = [said - true for said, true in zip(values, returns, strict=True)]
    explained = 1 - variance(missed) / variance(returns)
    found.terms = {"kl": fmean(kl), "explained_variance": explained}
    found.moved = {"kl": fmean(kl), "entropy": fmean(entropy)}
    weigh(found, ratios, settings)
    return found


def weigh(found: SimpleNamespace, ratios: list[list[float]], settings) -> None:
    """Whiten the advantages by the on-policy rows' own, and weigh the tokens of the others."""
    known = [number for i in OWN for number in found.advantages[i]]
    mean, deviation, limit = fmean(known), math.sqrt(variance(known)), settings.advantage_limit
    found.weights, off, floored = [], [], []
    for i, row in enumerate(ROWS):
        whitened = [(number - mean) / deviation for number in found.advantages[i]]
        found.advantages[i] = [min(limit, max(-limit, number)) for number in whitened]
        weights = [1.0] * len(row.answer)
        if row.kind != ON_POLICY:
            for t, ratio in enumerate(ratios[i]):
                has_floor = row.kind == POSITIVE and found.advantages[i][t] > 0
                least = settings.adm.weight_floor if has_floor else 0.0
                weights[t] = min(settings.adm.weight_cap, max(least, ratio))
                if has_floor:
                    floored.append(float(ratio <= least))
            off += weights
        found.weights.append(weights)
    found.terms["weights_at_floor"] = fmean(floored)
    found.terms["effective_sample_size"] = sum(off) ** 2 / sum(w * w for w in off) / len(off)


def rows_of(tensor_BT: torch.Tensor, rows: Iterable[int] = EVERY) -> list[float]:
    """The numbers of these rows' tokens, one after the other."""
    return [number for i in rows for number in tensor_BT[i, : len(ROWS[i].answer)].tolist()]


SETTINGS = {
    "as they are": {},
    "discounted": {"gamma": 0.9, "lam": 0.5},
    "one-step": {"lam": 0.0},
    "unaware value": {"integrity_value": False},
    "no baseline": {"baseline": "none"},
    "unaware value, no baseline": {"integrity_value": False, "baseline": "none"},
    "undiscounted off-policy returns": {"adm": ADM.model_copy(update={"credit": "return"})},
    "advantages cut": {"advantage_limit": 0.8},
}


@pytest.mark.parametrize("stale", [False, True], ids=["fresh", "stale"])
@pytest.mark.parametrize("change", SETTINGS.values(), ids=SETTINGS)
def test_a_step_learns_from_what_the_method_says_of_each_kind_of_row(change, stale):
    settings = toy.settings(**{"adm": ADM, "minibatch": 3, **change})
    policy, reference = model(1), model(2)
    value, step = head(policy, settings).value, step_of(policy, stale)
    wanted = expected(policy, reference, value, step, settings)
    batch, terms = prepare(policy, reference, value, BETA, step, settings)
    for name, tensor_BT, rows in (
        ("old", batch.old_BT, EVERY),
        ("integrity", batch.rollout.integrity_BT, EVERY),
        ("values", batch.values_BT, EVERY),
        ("returns", batch.returns_BT, OWN),  # the others' are not fitted
        ("advantages", batch.advantages_BT, EVERY),
        ("weights", batch.weights_BT, EVERY),
    ):
        its = [number for i in rows for number in getattr(wanted, name)[i]]
        assert rows_of(tensor_BT, rows) == pytest.approx(its, rel=1e-3, abs=1e-4), name
    assert terms == pytest.approx(wanted.terms, rel=1e-3, abs=1e-4)
    after = moved(policy, reference, step.rollout, 2)
    assert after == pytest.approx(wanted.moved, rel=1e-3), "of on-policy rows alone"


CHOSEN = [5, 0, 3, 2, 4]  # of all kinds, in an order that is not theirs


def batch_of(policy, value, settings) -> Batch:
    """A batch by hand: policy and value have moved since, both within the clip and beyond."""
    random = torch.Generator().manual_seed(2)
    rollout, twin = rollout_of(policy), copy.deepcopy(policy).double()
    its = {name: tensor.double() for name, tensor in value.state_dict().items()}
    old_BT, values_BT = torch.zeros(2, len(ROWS), LONGEST)
    for i, row in enumerate(ROWS):
        with torch.no_grad():
            logs_TV, hidden_TH = states(twin, row)
        for t, token in enumerate(row.answer):
            old_BT[i, t] = float(logs_TV[t, token])
            features_F, earned = rollout.features_BTF[i, t].double(), rollout.integrity_BT[i, t]
            values_BT[i, t] = float(value_at(its, hidden_TH[t], features_F, earned, settings))

    def noise(deviation: float) -> torch.Tensor:
        return torch.randn(len(ROWS), LONGEST, generator=random) * deviation * rollout.mask_BT

    return Batch(
        rollout,
        old_BT=old_BT + noise(0.4),
        values_BT=values_BT + noise(0.6),
        returns_BT=noise(2.0),
        advantages_BT=noise(1.0),
        weights_BT=noise(1.0).abs(),
    )


def loss_of(twin, its, batch: Batch, settings, warming: bool) -> tuple[torch.Tensor, dict]:
    """The loss of the CHOSEN rows in float64, token by token, and its terms."""
    spread = stdev(rows_of(batch.returns_BT, OWN))
    value_clip = math.inf if warming else settings.value_clip * spread
    policy, value, entropy, beyond, kl = [], [], [], [], []
    for i in CHOSEN:
        row, features_TF = ROWS[i], batch.rollout.features_BTF[i].double()
        logs_TV, hidden_TH = states(twin, row)
        for t, token in enumerate(row.answer):
            old, worth, weight, old_value, aim, earned = (
                float(tensor_BT[i, t])
                for tensor_BT in (
                    batch.old_BT, batch.advantages_BT, batch.weights_BT, batch.values_BT,
                    batch.returns_BT, batch.rollout.integrity_BT,
                )
            )  # fmt: skip
            ratio = (logs_TV[t, token] - old).exp()
            near = ratio.clamp(1 - settings.clip, 1 + settings.clip)
            policy.append(-weight * min(ratio * worth, near * worth))
            entropy.append(-(logs_TV[t].exp() * logs_TV[t]).sum())
            beyond.append(float(abs(ratio.detach() - 1) > settings.clip))
            kl.append(float(ratio.detach() - 1 - ratio.detach().log()))
            if row.kind != ON_POLICY:
                continue
            now = value_at(its, hidden_TH[t].detach(), features_TF[t], earned, settings)
            held = old_value + (now - old_value).clamp(-value_clip, value_clip)
            value.append(max((now - aim) ** 2, (held - aim) ** 2) / 2)
    fitted = torch.stack(value).mean()
    if warming:
        return fitted, {"value_loss": float(fitted.detach())}
    gained, spread = torch.stack(policy).mean(), torch.stack(entropy).mean()
    return fitted + gained - settings.entropy_bonus * spread, {
        "value_loss": float(fitted.detach()),
        "policy_loss": float(gained.detach()),
        "entropy": float(spread.detach()),
        "clip_fraction": fmean(beyond),
        "approximate_kl": fmean(kl),
    }


LOOSE = {"max_grad_norm": 1e9}
LOSSES = {
    "as they are": LOOSE,
    "entropy": {**LOOSE, "entropy_bonus": 0.5},
    "ratios hardly clipped": {**LOOSE, "clip": 0.7},
    "values hardly clipped": {**LOOSE, "value_clip": 5.0},
    "unaware value": {**LOOSE, "integrity_value": False},
    "gradient clipped": {"max_grad_norm": 0.05, "entropy_bonus": 0.5},
}


@pytest.mark.parametrize("warming", [False, True], ids=["learning", "warming"])
@pytest.mark.parametrize("change", LOSSES.values(), ids=LOSSES)
def test_a_minibatch_moves_policy_and_value_down_the_gradient_of_the_loss(change, warming):
    """By plain gradient descent of rate 1, so that what moved is the gradient itself."""
    settings = toy.settings(adm=ADM, **change)
    policy = model(1)
    state = head(policy, settings)
    groups = [{"params": group["params"]} for group in state.optimiser.param_groups]
    state.optimiser = torch.optim.SGD(groups, lr=1.0)
    batch = batch_of(policy, state.value, settings)

    twin = copy.deepcopy(policy).double()
    its = {name: tensor.double().requires_grad_() for name, tensor in _copied(state.value).items()}
    loss, wanted = loss_of(twin, its, batch, settings, warming)
    loss.backward()
    gradients = [
        {name: p.grad for name, p in twin.named_parameters() if p.grad is not None},
        {name: tensor.grad for name, tensor in its.items() if tensor.grad is not None},
    ]
    if warming:
        gradients[0] = {}
    norms = [math.sqrt(sum(float(g.square().sum()) for g in part.values())) for part in gradients]
    names = ("gradient_norm", "value_gradient_norm")
    wanted |= {name: norm for name, norm in zip(names, norms, strict=True) if norm}
    before = [_copied(policy), _copied(state.value)]

    terms = rl._minibatch(policy, state, batch, CHOSEN, settings, warming, toy.SINGLE)

    assert terms == pytest.approx(wanted, rel=1e-3, abs=1e-4)
    assert state.value_updates == 1
    ends = (policy, state.value)
    for start, end, part, norm in zip(before, ends, gradients, norms, strict=True):
        share = min(1.0, settings.max_grad_norm / norm) if norm else 1.0  # cut each by itself
        scale = norm * share
        for name, tensor in _copied(end).items():
            down = start[name].double() - tensor.double()
            gradient = part.get(name, torch.zeros_like(down)) * share
            assert float((down - gradient).norm()) <= 1e-3 * scale, name


def _copied(module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.named_parameters()}


def test_until_the_value_is_warm_it_alone_moves():
    """A step holds three updates; that of five is the warm-up, of which two are left over."""
    settings = toy.settings(
        adm=ADM, minibatch=3, epochs=1, value_warmup_updates=5, warmup_steps=1, max_grad_norm=1.0
    )
    policy = model(1)
    state = head(policy, settings)
    state.value_updates = 1  # of a step before
    batch = batch_of(policy, state.value, settings)
    for updates, moves in ((5, False), (8, True)):
        before = [_copied(policy), _copied(state.value)]
        rl.update(policy, state, batch, settings, toy.SINGLE)
        after = [_copied(policy), _copied(state.value)]
        assert state.value_updates == updates
        changed = [
            any(not torch.equal(old[name], new[name]) for name in old)
            for old, new in zip(before, after, strict=True)
        ]
        assert changed == [moves, True]
