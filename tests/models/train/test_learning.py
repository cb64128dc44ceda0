"""Advantages, losses, KL and weights against references written out in float64."""

import math

import numpy as np
import pytest
import torch

from models.train import advantages as adv
from models.train import losses
from models.train.value import ValueHead, expected_integrity
from schemas.training import AdmSettings

GENERATOR = torch.Generator().manual_seed(3)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]], dtype=torch.bool)


def reference_gae(rewards, values, lengths, gamma, lam):
    """The sum over all later temporal differences, straight from equation 16."""
    found = np.zeros_like(rewards)
    for b, length in enumerate(lengths):
        deltas = [
            rewards[b, t] + gamma * (values[b, t + 1] if t + 1 < length else 0.0) - values[b, t]
            for t in range(length)
        ]
        for t in range(length):
            found[b, t] = sum((gamma * lam) ** k * deltas[t + k] for k in range(length - t))
    return found


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (1.0, 0.0)])
def test_gae_is_the_discounted_sum_of_temporal_differences(gamma, lam):
    rewards, values = random(3, 5) * MASK, random(3, 5)
    found, returns = adv.gae(rewards, values, MASK, gamma, lam)
    expected = reference_gae(rewards.numpy(), values.numpy(), [5, 3, 1], gamma, lam)
    assert np.allclose(found.numpy(), expected, atol=1e-12)
    assert np.allclose(returns.numpy(), expected + (values * MASK).numpy() * 1, atol=1e-12)


def test_with_lambda_one_gae_and_the_monte_carlo_advantage_agree():
    rewards, values = random(3, 5) * MASK, random(3, 5) * MASK
    found, _ = adv.gae(rewards, values, MASK, 1.0, 1.0)
    assert torch.allclose(found, adv.monte_carlo(rewards, values, MASK), atol=1e-12)


def test_what_a_question_gains_anyway_is_the_mean_of_its_other_on_policy_answers():
    gains = torch.tensor([1.0, 3.0, 8.0, 2.0, 7.0], dtype=torch.float64)
    on_policy = torch.tensor([True, True, False, True, False])
    asked = ["a", "a", "a", "b", "c"]
    found = adv.question_baseline(gains, on_policy, asked)
    overall = (1 + 3 + 2) / 3  # b has no other answer, c no on-policy one
    assert torch.allclose(found, torch.tensor([3.0, 1.0, 2.0, overall, overall]).double())


def test_a_question_baseline_does_not_move_the_expected_gradient():
    """Leave-one-out: the baseline of a row does not change with the row's own gain."""
    gains, on_policy = random(6), torch.tensor([True] * 6)
    before = adv.question_baseline(gains, on_policy, ["a", "a", "a", "b", "b", "b"])
    gains[1] += 10
    after = adv.question_baseline(gains, on_policy, ["a", "a", "a", "b", "b", "b"])
    assert after[1] == before[1]
    assert (after[[0, 2]] > before[[0, 2]]).all()
    assert torch.equal(after[3:], before[3:])


def test_integrity_to_expect_is_what_is_earned_and_what_others_go_on_to_earn():
    earned = torch.tensor([[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]])
    found = expected_integrity(earned, torch.tensor([0.8, 0.0]))
    assert torch.allclose(found, torch.tensor([[0.8, 0.9, 1.0], [0.0, 0.0, 0.0]]))


def test_traces_are_gae_where_the_policy_would_have_said_the_same():
    rewards, values = random(3, 5) * MASK, random(3, 5)
    found = adv.traced(rewards, values, MASK, torch.full((3, 5), 1.7), 0.9, 0.8)
    expected, _ = adv.gae(rewards, values, MASK, 0.9, 0.8)
    assert torch.allclose(found, expected, atol=1e-12)


def test_a_trace_ends_at_a_token_the_policy_would_not_have_said():
    """V-trace by its recursion in float64; beyond a ratio of 0 no credit goes back."""
    rewards, values, ratios = random(3, 5) * MASK, random(3, 5) * MASK, random(3, 5).abs()
    ratios[0, 3] = 0.0
    found = adv.traced(rewards, values, MASK, ratios, 0.9, 0.8)
    for b, length in enumerate((5, 3, 1)):
        later = 0.0
        for t in reversed(range(length)):
            after = float(values[b, t + 1]) if t + 1 < length else 0.0
            delta = float(rewards[b, t]) + 0.9 * after - float(values[b, t])
            here = delta + 0.9 * 0.8 * later
            assert float(found[b, t]) == pytest.approx(here, abs=1e-12)
            later = min(1.0, float(ratios[b, t])) * here
    changed = rewards.clone()
    changed[0, 4] += 100.0  # earned after the forced token
    again = adv.traced(changed, values, MASK, ratios, 0.9, 0.8)
    assert torch.equal(again[0, :3], found[0, :3])
    assert again[0, 3] > found[0, 3]


def test_the_score_lands_on_the_last_token_and_the_log_ratio_on_every_one():
    scores, apart = torch.tensor([2.0, -1.0, 0.5]).double(), random(3, 5)
    found = adv.rewards_of(scores, apart, MASK, 0.1)
    expected = -0.1 * apart * MASK
    for row, last in enumerate((4, 2, 0)):
        expected[row, last] += scores[row]
    assert torch.allclose(found, expected)


def test_whitening_takes_mean_and_deviation_from_the_known_rows_only():
    values = random(3, 5) * MASK
    known = torch.cat([values[0, :5], values[2, :1]])
    found = adv.whiten(values, MASK, known, 100.0)
    expected = ((values - known.mean()) / known.std()) * MASK
    assert torch.allclose(found, expected, atol=1e-6)
    assert adv.whiten(values * 1e3, MASK, known, 5.0).abs().max() <= 5.0


def test_explained_variance_is_one_for_the_truth_and_zero_for_a_constant():
    returns = random(3, 5)
    assert adv.explained_variance(returns, returns, MASK) == pytest.approx(1.0)
    assert adv.explained_variance(torch.zeros(3, 5), returns, MASK) == pytest.approx(0.0, abs=1e-9)


def test_kl_and_entropy_are_those_of_the_whole_distributions():
    ours, theirs = random(2, 3, 7), random(2, 3, 7)
    p = np.exp(ours.numpy()) / np.exp(ours.numpy()).sum(-1, keepdims=True)
    q = np.exp(theirs.numpy()) / np.exp(theirs.numpy()).sum(-1, keepdims=True)
    kl = (p * np.log(p / q)).sum(-1)
    assert np.allclose(losses.kl_to_reference(ours, theirs).numpy(), kl, atol=1e-5)
    assert np.allclose(losses.entropy(ours).numpy(), -(p * np.log(p)).sum(-1), atol=1e-5)
    actions = torch.tensor([[0, 3, 6], [1, 2, 5]])
    logs = np.log(np.take_along_axis(p, actions.numpy()[..., None], -1))[..., 0]
    assert np.allclose(losses.token_logprobs(ours, actions).numpy(), logs, atol=1e-5)


def test_importance_weights_are_cut_by_kind_of_row_and_sign_of_the_advantage():
    adm = AdmSettings(weight_floor=0.1, weight_cap=2.0)
    old = torch.log(torch.tensor([[0.5, 0.5]] * 4))
    behaviour = torch.log(torch.tensor([[0.9, 0.9], [0.99, 0.05], [0.05, 0.9], [0.5, 0.5]]))
    old[1, 0] = math.log(0.001)
    old[2, 1] = math.log(0.001)
    advantages = torch.tensor([[1.0, -1.0], [1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    on_policy = torch.tensor([True, False, False, False])
    positive = torch.tensor([False, True, True, False])
    found = losses.importance_weights((old - behaviour).exp(), advantages, on_policy, positive, adm)
    expected = [
        [1.0, 1.0],  # on-policy
        [0.1, 2.0],  # at the floor; at the cap
        [2.0, 0.001 / 0.9],  # no floor where the advantage is negative
        [1.0, 1.0],  # hard negative: the plain ratio
    ]
    assert torch.allclose(found, torch.tensor(expected), atol=1e-6)
    assert not found.requires_grad


def test_policy_loss_is_the_clipped_weighted_mean():
    new, old, advantages = random(3, 5), random(3, 5), random(3, 5)
    weights = random(3, 5).abs()
    total = 0.0
    for b in range(3):
        for t in range(5):
            if MASK[b, t]:
                ratio = math.exp(new[b, t] - old[b, t])
                near = min(max(ratio, 0.8), 1.2)
                total += float(weights[b, t]) * min(
                    ratio * float(advantages[b, t]), near * float(advantages[b, t])
                )
    found = losses.policy_loss(new, old, advantages, weights, MASK, 0.2)
    assert float(found) == pytest.approx(-total / int(MASK.sum()))


def test_value_loss_is_the_worse_of_plain_and_clipped():
    values, old, returns = random(3, 5), random(3, 5), random(3, 5)
    near = old + (values - old).clamp(-0.2, 0.2)
    worse = torch.maximum((values - returns) ** 2, (near - returns) ** 2)
    expected = 0.5 * worse[MASK].mean()
    assert torch.allclose(losses.value_loss(values, old, returns, MASK, 0.2), expected)


def test_gradients_of_the_losses_are_those_of_finite_differences():
    old, advantages, weights = random(3, 5), random(3, 5), random(3, 5).abs()
    new = (old + 0.05 * random(3, 5)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: losses.policy_loss(x, old, advantages, weights, MASK, 0.2), (new,)
    )
    values = random(3, 5).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: losses.value_loss(x, old, advantages, MASK, 0.2), (values,)
    )


def test_the_gradient_of_the_entropy_is_that_of_its_formula():
    """∂H/∂z_i = −p_i·(log p_i + H), which the entropy bonus pushes along."""
    logits = random(2, 3, 7).float().requires_grad_()
    losses.entropy(logits).sum().backward()
    logs = logits.detach().double().log_softmax(dim=-1)
    spread = -(logs.exp() * logs).sum(dim=-1, keepdim=True)
    assert logits.grad is not None
    assert torch.allclose(logits.grad.double(), -logs.exp() * (logs + spread), atol=1e-6)


def test_effective_sample_size_is_one_for_equal_weights_and_falls_with_their_spread():
    assert losses.effective_sample_size(torch.ones(3, 5), MASK) == pytest.approx(1.0)
    one = torch.zeros(3, 5)
    one[0, 0] = 3.0
    assert losses.effective_sample_size(one, MASK) == pytest.approx(1 / 9)
    assert losses.effective_sample_size(torch.zeros(3, 5), MASK) == 0.0


def test_the_value_begins_as_what_is_already_earned_and_can_be_made_unaware():
    hidden, features = torch.randn(2, 3, 8), torch.rand(2, 3, 3)
    integrity = torch.rand(2, 3)
    aware = ValueHead(8, integrity_weight=2.0)
    assert torch.allclose(aware(hidden, features, integrity), 2 * integrity)
    plain = ValueHead(8, integrity_weight=2.0, aware=False)
    assert torch.equal(plain(hidden, features, integrity), torch.zeros(2, 3))


def test_the_value_sends_no_gradient_into_the_policy():
    hidden = torch.randn(2, 3, 8, requires_grad=True)
    head = ValueHead(8, 1.0)
    torch.nn.init.ones_(head.outer.weight)
    head(hidden, torch.rand(2, 3, 3), torch.rand(2, 3)).sum().backward()
    assert hidden.grad is None
    assert head.inner.weight.grad is not None
