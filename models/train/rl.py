"""PPO from rendered images: the whole loop, top to bottom.

    experience (questions ─ roll_out ─ reward) ─▶ batch (values, advantages) ─▶ update × epochs ─▶ …

One step: `prompts` questions are answered `samples` times each, half of the rows on-policy, the
others through ADM; the answers are rendered and scored; old log-probabilities, the KL to the
reference, values and advantages are computed once; then a few epochs of minibatches move policy
and value.  Method: DESIGN.md; every number is a field of `RlSettings`.

Everything random is a function of (seed, step, rank): there is no random state to save, and a run
that goes on from a checkpoint computes the same numbers on the same machine.  What is written
outside goes through `Sinks`: the loop knows neither warehouse nor Prefect.  Run it by
`diffchat rl`, or on several processes by `accelerate launch -m app.cli rl …` (GPUs) or `torchrun`.

Leaves out baselines (`models.train.baselines`) and the reward's pictures (passed in).
"""

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from models.train import losses
from models.train.batch import Batch, forward, moved, prepare, values_of
from models.train.checkpoints import load_training, save_training
from models.train.clock import Clock
from models.train.experience import Experience, Step, seed_of
from models.train.precision import full_precision
from models.train.reward import Reward, Scored
from models.train.rollout import Question, Rollout
from models.train.terms import diverged, shared, summary
from models.train.value import ValueHead
from schemas.training import RlSettings


class Sinks(NamedTuple):
    """Where a run reports to."""

    log: Callable[[int, dict[str, float]], None]  # step, terms
    samples: Callable[[int, Rollout, list[Scored]], None]


class Trained(NamedTuple):
    """How a run ended."""

    status: str  # ok, diverged
    step: int  # of the weights that were kept
    reason: str | None
    scales: tuple[float, float]  # σ of the reward
    history: list[dict[str, float]]  # the terms of each step of this process's life


@dataclass
class State:
    """What a checkpoint holds beside the policy's weights."""

    value: ValueHead
    optimiser: torch.optim.Optimizer
    beta: float
    step: int = 0
    value_updates: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def train_ppo(
    policy: Any,
    questions: Sequence[Question],
    reward: Reward,
    settings: RlSettings,
    folder: Path,
    sinks: Sinks,
    *,
    max_new_tokens: int,
    accelerator: Any,
    ahead: bool = False,
) -> Trained:
    """Train `policy.model` in place, or go on from the checkpoint in `folder`.

    With `ahead`, rewards of the next step are computed beside the update (`experience`).
    Raises TrainingError if there are no questions or the reward fails; the last checkpoint stays.
    If the run diverges, the weights of the last good checkpoint are put back.
    """
    model = policy.model
    if not any(parameter.requires_grad for parameter in model.parameters()):
        model.requires_grad_(True)  # a loaded policy is frozen; adapters bring their own choice
    reference = copy.deepcopy(model).eval().requires_grad_(False)
    experience = Experience(
        policy, questions, reward, settings, max_new_tokens=max_new_tokens,
        accelerator=accelerator, clock=Clock(), ahead=ahead,
    )  # fmt: skip
    # The reference stays in the precision it came in: half the memory, and no more than 3e-4 nats
    # an answer between it and the same weights as `full_precision` computes them (measured).
    with full_precision(model), closing(experience):
        return _train(experience, reference, folder, sinks, accelerator)


def _train(
    experience: Experience, reference: Any, folder: Path, sinks: Sinks, accelerator: Any
) -> Trained:
    """The steps of `experience`, from the newest checkpoint on."""
    model, reward, clock = experience.policy.model, experience.reward, experience.clock
    settings = experience.settings
    state = _begin(model, settings)
    saved = load_training(folder, model, state)
    if saved is not None:
        reward.scales = saved
    else:
        if reward.scales is None:
            experience.calibrate()
        _save(folder, model, state, reward, accelerator)
    while state.step < settings.steps:
        torch.manual_seed(seed_of(settings, state.step, accelerator.process_index))
        step = experience.take(state.step)
        terms = _learn(model, reference, state, step, settings, accelerator, clock)
        experience.settle()
        state.step += 1
        last = state.step == settings.steps
        due = last or state.step % settings.checkpoint_every == 0
        reason = diverged(terms, settings)
        if due and reason is None:  # terms were measured before the update that is saved
            after = moved(model, reference, step.rollout, settings.minibatch)
            reason = diverged(terms | shared(after), settings)
        sinks.log(state.step, terms | clock.lap())
        if reason is not None:
            return _back(folder, model, state, reward, reason)
        state.history.append(terms | {"step": float(state.step)})
        if last or state.step % settings.samples_every == 0:
            sinks.samples(state.step, step.rollout, step.scored)
        if due:
            _save(folder, model, state, reward, accelerator)
    return Trained("ok", state.step, None, _scales(reward), state.history)


def _learn(
    model: Any, reference: Any, state: State, step: Step, settings: RlSettings, accelerator: Any,
    clock: Clock,
) -> dict[str, float]:  # fmt: skip
    """One step of learning in place; returns its terms, the same on all processes."""
    with clock("states"):
        batch, terms = prepare(model, reference, state.value, state.beta, step, settings)
    with clock("update"):
        terms |= update(model, state, batch, settings, accelerator)
    terms = shared(terms | summary(step.rollout, step.scored))
    rows = len(step.rollout) * accelerator.num_processes
    state.beta = adapted(state.beta, terms["kl"], rows, settings)
    return terms | {"kl_coefficient": state.beta}


def update(
    model: Any,
    state: State,
    batch: Batch,
    settings: RlSettings,
    accelerator: Any,
) -> dict[str, float]:
    """Epochs of minibatches; until the value is warm, it alone is fitted.

    The model stays in evaluation mode: dropout would make ratios differ from 1.
    """
    sums: dict[str, list[float]] = {}
    seed = seed_of(settings, state.step, accelerator.process_index)
    generator = torch.Generator().manual_seed(seed)
    warming = state.value_updates < settings.value_warmup_updates
    rows = len(batch.rollout)
    updates = math.ceil(rows / settings.minibatch) * settings.epochs
    if warming:
        updates = max(updates, settings.value_warmup_updates - state.value_updates)
    _set_rates(state, settings, warming)
    done = 0
    while done < updates:
        order = torch.randperm(rows, generator=generator).tolist()
        for start in range(0, rows, settings.minibatch):
            if done == updates:
                break
            chosen = order[start : start + settings.minibatch]
            terms = _minibatch(model, state, batch, chosen, settings, warming, accelerator)
            for name, number in terms.items():
                sums.setdefault(name, []).append(number)
            done += 1
    return {name: sum(numbers) / len(numbers) for name, numbers in sums.items()}


def _minibatch(
    model: Any,
    state: State,
    batch: Batch,
    chosen: list[int],
    settings: RlSettings,
    warming: bool,
    accelerator: Any,
) -> dict[str, float]:
    part = batch.rollout.rows(chosen)
    index = torch.tensor(chosen)
    mask_BT, on_policy_B = part.mask_BT, part.on_policy_B
    with torch.set_grad_enabled(not warming):
        logits_BTV, hidden_BTH = forward(model, part)
    device = logits_BTV.device
    mask_BT = mask_BT.to(device)
    values_BT = values_of(state.value, hidden_BTH, part)
    fitted = losses.value_loss(
        values_BT,
        batch.values_BT[index].to(device),
        batch.returns_BT[index].to(device),
        mask_BT & on_policy_B[:, None].to(device),
        math.inf if warming else settings.value_clip * _spread(batch),
    )
    loss, terms = fitted, {"value_loss": float(fitted.detach())}
    if not warming:
        new_BT = losses.token_logprobs(logits_BTV, part.actions_BT.to(device))
        old_BT = batch.old_BT[index].to(device)
        policy_loss = losses.policy_loss(
            new_BT, old_BT, batch.advantages_BT[index].to(device),
            batch.weights_BT[index].to(device), mask_BT, settings.clip,
        )  # fmt: skip
        spread = losses.masked_mean(losses.entropy(logits_BTV), mask_BT)
        loss = loss + policy_loss - settings.entropy_bonus * spread
        ratio_BT = (new_BT - old_BT).exp().detach()
        terms |= {
            "policy_loss": float(policy_loss.detach()),
            "entropy": float(spread.detach()),
            "clip_fraction": float(
                losses.masked_mean(((ratio_BT - 1).abs() > settings.clip).float(), mask_BT)
            ),
            "approximate_kl": float(losses.masked_mean(ratio_BT - 1 - ratio_BT.log(), mask_BT)),
        }
    state.optimiser.zero_grad()
    loss.backward()
    policy, value = state.optimiser.param_groups
    norms = {"value_gradient_norm": _clip(value["params"], settings, accelerator)}
    if not warming:
        norms["gradient_norm"] = _clip(policy["params"], settings, accelerator)
    if all(map(math.isfinite, norms.values())):  # else the run ends as diverged
        state.optimiser.step()
        state.value_updates += 1
    return terms | norms


def _begin(model: Any, settings: RlSettings) -> State:
    aware = settings.integrity_value
    torch.manual_seed(settings.seed)
    value = ValueHead(model.config.hidden_size, settings.reward.integrity, aware)
    value.to(next(model.parameters()).device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": trained, "peak": settings.learning_rate},
            {"params": list(value.parameters()), "peak": settings.value_learning_rate},
        ],
        lr=settings.learning_rate,
        weight_decay=0.0,
    )
    return State(value, optimiser, settings.kl_coefficient)


def _set_rates(state: State, settings: RlSettings, warming: bool) -> None:
    """Warm-up, then constant or falling; no rate for the policy while the value is warming."""
    scale = min(1.0, (state.step + 1) / max(1, settings.warmup_steps))
    if settings.schedule == "linear":
        scale *= 1 - state.step / settings.steps
    policy, value = state.optimiser.param_groups
    policy["lr"] = 0.0 if warming else policy["peak"] * scale
    value["lr"] = value["peak"]


def _spread(batch: Batch) -> float:
    """Deviation of the returns that the value is fitted to: what its clip is a share of."""
    fitted_BT = batch.rollout.mask_BT & batch.rollout.on_policy_B[:, None]
    spread = float(batch.returns_BT[fitted_BT].std())
    return spread if math.isfinite(spread) and spread > 0 else 1.0


def _save(folder: Path, model: Any, state: State, reward: Reward, accelerator: Any) -> None:
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        save_training(folder, model, state, _scales(reward))


def _clip(
    parameters: Sequence[torch.nn.Parameter], settings: RlSettings, accelerator: Any
) -> float:
    """Average the gradients over processes and cut their norm; returns what it was before.

    Policy and value are cut apart: no gradient goes from one to the other, and a value that is
    far off must not make the policy's step smaller.
    """
    _average_gradients(parameters, accelerator)
    return float(torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm))


def _average_gradients(parameters: Sequence[torch.nn.Parameter], accelerator: Any) -> None:
    """The mean over processes; rows that other processes sampled count as much as our own."""
    if accelerator.num_processes == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad = accelerator.reduce(parameter.grad, reduction="mean")


def adapted(beta: float, kl: float, rows: int, settings: RlSettings) -> float:
    """The KL coefficient after a step (Ziegler et al. 2019, arXiv 1909.08593, section 2.2)."""
    error = max(-0.2, min(0.2, kl / settings.kl_target - 1))
    return beta * (1 + error * rows / settings.kl_horizon)


def _back(folder: Path, model: Any, state: State, reward: Reward, reason: str) -> Trained:
    """Put the last good weights back."""
    failed = state.step
    load_training(folder, model, state)
    return Trained(
        "diverged", state.step, f"step {failed}: {reason}", _scales(reward), state.history
    )


def _scales(reward: Reward) -> tuple[float, float]:
    assert reward.scales is not None
    return reward.scales
