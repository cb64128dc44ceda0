"""The whole loop on the task of eight words: it learns, resumes to the same numbers, and stops."""

import signal
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.train import rl
from models.train.adm import nucleus, vocabulary_of
from models.train.batch import forward, prepare
from models.train.experience import Step
from models.train.precision import full_precision
from models.train.reward import Scored
from models.train.rl import Sinks, train_ppo
from models.train.rollout import (
    HARD_NEGATIVE,
    ON_POLICY,
    POSITIVE,
    _spaces,
    plan_kinds,
    roll_out,
)
from schemas.errors import TrainingError
from schemas.training import AdmSettings
from tests.models.train import toy

ROOT = Path(__file__).resolve().parents[3]
ADM = AdmSettings(epsilon=0.5, weight_floor=0.3, negative_share=0.1)


class Seen:
    """Collects what a run reports."""

    def __init__(self):
        self.terms, self.samples = {}, []

    def sinks(self) -> Sinks:
        return Sinks(self.terms.__setitem__, lambda *found: self.samples.append(found))


def run(folder, seed=0, reward=None, questions=None, answer=toy.STEPS_OF_TASK, **changes):
    settings = toy.settings(seed=seed, adm=changes.pop("adm", ADM), **changes)
    policy, seen = toy.policy(seed), Seen()
    ended = train_ppo(
        policy, toy.questions()[:1] if questions is None else questions, reward or toy.reward(),
        settings, folder, seen.sinks(), max_new_tokens=answer, accelerator=toy.SINGLE,
    )  # fmt: skip
    return policy, seen, ended


SMALL = {"steps": 4, "prompts": 2, "samples": 4, "minibatch": 4, "checkpoint_every": 2}


def test_rollout_keeps_the_law_each_token_was_drawn_from():
    policy, questions = toy.policy(1), toy.questions()[:4]
    kinds = [ON_POLICY, ON_POLICY, POSITIVE, HARD_NEGATIVE]
    rollout = roll_out(
        policy.model, policy.tokenizer, questions, kinds, adm=ADM, max_new_tokens=8,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    with torch.no_grad():
        logits = policy.model(
            input_ids=rollout.ids_BL, attention_mask=rollout.attention_BL,
            position_ids=(rollout.attention_BL.cumsum(1) - 1).clamp(min=0),
        ).logits[:, -rollout.answer_length - 1 : -1]  # fmt: skip
    logs = logits.log_softmax(-1).gather(-1, rollout.actions_BT[..., None])[..., 0]
    on = rollout.on_policy_B
    assert torch.allclose(rollout.behaviour_BT[on], (logs * rollout.mask_BT)[on], atol=1e-4), (
        "an on-policy row was not drawn from the policy"
    )
    changed = (rollout.behaviour_BT - logs * rollout.mask_BT)[~on].abs()
    assert changed.max() > 0.1, "ADM changed nothing"
    for text, question, kind in zip(rollout.texts, rollout.questions, rollout.kinds, strict=True):
        if kind == HARD_NEGATIVE:
            assert any(unit.text not in text for unit in question.units)


def test_an_off_policy_token_was_drawn_from_the_modified_law_as_it_is_computed_again():
    """μ from the policy's logits over the whole answer, replayed through action spaces anew."""
    policy, questions = toy.policy(1), toy.questions() * 8
    kinds = [POSITIVE, HARD_NEGATIVE] * 24
    rollout = roll_out(
        policy.model, policy.tokenizer, questions, kinds, adm=ADM, max_new_tokens=8,
        generator=torch.Generator().manual_seed(5),
    )  # fmt: skip
    words = vocabulary_of(policy.tokenizer, 32, (policy.tokenizer.eos_token_id,))
    spaces = _spaces(questions, kinds, words, ADM, 8, torch.Generator().manual_seed(5))
    with torch.no_grad():
        law_BTV = forward(policy.model, rollout)[0].softmax(-1).numpy()
    blocked = 0
    for row, space in spaces.items():
        for t in range(int(rollout.mask_BT[row].sum())):
            law_V, token = law_BTV[row, t], int(rollout.actions_BT[row, t])
            mu_V = space.modify(nucleus(law_V[None], ADM.top_p)[0], law_V)
            assert mu_V.sum() == pytest.approx(1, abs=1e-6)
            said = float(rollout.behaviour_BT[row, t])
            assert np.log(mu_V[token]) == pytest.approx(said, abs=1e-3)
            blocked += bool(space.blocked)
            space.advance(token)
    assert blocked > 5, "hardly any state had a blocked unit"


def test_an_answer_ends_at_any_token_that_ends_one():
    """As `Policy.rewrite` has it: the tokenizer's own and those the checkpoint adds."""
    policy, questions = toy.policy(1), toy.questions()
    eos, other = policy.tokenizer.eos_token_id, policy.tokenizer.convert_tokens_to_ids("\u2581fog")
    policy.model.generation_config.eos_token_id = [eos, other]
    rollout = roll_out(
        policy.model, policy.tokenizer, questions * 20, [ON_POLICY, POSITIVE, HARD_NEGATIVE] * 40,
        adm=ADM, max_new_tokens=8, generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    ends = {eos, other}
    seen = set()
    for row, text in enumerate(rollout.texts):
        said = rollout.actions_BT[row][rollout.mask_BT[row]].tolist()
        assert not ends & set(said[:-1]), "it went on after an end"
        assert bool(rollout.finished_B[row]) == (said[-1] in ends)
        assert "fog" not in text
        seen |= ends & {said[-1]}
    assert seen == ends


def test_positive_rows_say_more_of_what_is_missing_than_the_policy_does():
    policy, questions = toy.policy(1), toy.questions()[:1] * 60
    said = {}
    for kind in (ON_POLICY, POSITIVE):
        rollout = roll_out(
            policy.model, policy.tokenizer, questions, [kind] * 60, adm=ADM, max_new_tokens=8,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        said[kind] = np.mean(
            [unit.text in text for text, q in zip(rollout.texts, rollout.questions, strict=True)
             for unit in q.units]
        )  # fmt: skip
    assert said[POSITIVE] > 0.5
    assert said[POSITIVE] > said[ON_POLICY] + 0.4


def test_kinds_of_rows_follow_the_shares_and_leave_half_on_policy():
    assert plan_kinds(8, AdmSettings()) == [ON_POLICY] * 4 + [POSITIVE] * 2 + [HARD_NEGATIVE] * 2
    with pytest.raises(ValueError, match="less than half"):
        AdmSettings(positive_share=0.5, negative_share=0.25)


def numbers(seen: Seen) -> dict[int, dict[str, float]]:
    """The terms of each step but for what the clock says."""
    return {
        step: {name: number for name, number in terms.items() if not name.startswith("seconds")}
        for step, terms in seen.terms.items()
    }


def same_weights(model, state) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(tmp_path):
    one, first, _ = run(tmp_path / "one", **SMALL)
    two, second, _ = run(tmp_path / "two", **SMALL)
    assert str(numbers(first)) == str(numbers(second)), "equal to the last bit, NaN included"
    assert same_weights(one.model, two.model.state_dict())
    _, other, _ = run(tmp_path / "other", seed=1, **SMALL)
    assert str(numbers(other)) != str(numbers(first))


def test_a_run_that_goes_on_computes_the_same_numbers(tmp_path):
    _, whole, _ = run(tmp_path / "whole", **SMALL)

    class Killed(Exception):
        pass

    class Dies(Seen):
        def sinks(self):
            def log(step, terms):
                if step == 4:
                    raise Killed
                self.terms[step] = terms

            return Sinks(log, lambda *found: None)

    settings = toy.settings(adm=ADM, **SMALL)
    with pytest.raises(Killed):
        train_ppo(
            toy.policy(0), toy.questions()[:1], toy.reward(), settings, tmp_path / "cut",
            Dies().sinks(), max_new_tokens=8, accelerator=toy.SINGLE,
        )  # fmt: skip
    _, rest, ended = run(tmp_path / "cut", **SMALL)
    assert ended.status == "ok"
    assert sorted(rest.terms) == [3, 4], "it did not go on from the checkpoint of step 2"
    same = {step: terms for step, terms in numbers(whole).items() if step > 2}
    assert str(same) == str(numbers(rest)), "equal to the last bit, NaN included"


def test_a_run_that_is_killed_goes_on_to_the_same_numbers(tmp_path):
    """SIGKILL from within, in the middle of writing the checkpoint of step 4."""
    killed = [sys.executable, "-m", "tests.models.train.killed", str(tmp_path / "cut")]
    done = subprocess.run(killed, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    whole, its, _ = run(tmp_path / "whole", **SMALL)
    policy, rest, ended = run(tmp_path / "cut", **SMALL)
    assert ended.status == "ok"
    assert sorted(rest.terms) == [3, 4], "it did not go on from the checkpoint of step 2"
    assert numbers(rest)[4]["reward"] == numbers(its)[4]["reward"]
    assert same_weights(policy.model, whole.model.state_dict())


def test_answers_like_those_of_the_others_teach_nothing():
    """Where all answers to a question are worth the same, no word of them has an advantage."""
    policy, questions = toy.policy(0), toy.questions()[:2] * 3
    generator = torch.Generator().manual_seed(0)
    rollout = roll_out(
        policy.model, policy.tokenizer, questions, [ON_POLICY] * 6, adm=ADM, max_new_tokens=8,
        generator=generator,
    )  # fmt: skip
    rollout.integrity_BT[:] = 1.0
    worth = [3.0, 1.5] * 3  # by question
    scored = [
        Scored(total, (0.0, 0.0), (0.0, 0.0), 1.0, 4, 0.0, 0, too_long=False) for total in worth
    ]
    settings = toy.settings(lam=1.0)
    state = rl._begin(policy.model, settings)
    step = Step(rollout, scored, stale=False)
    batch, _ = prepare(policy.model, policy.model, state.value, 0.0, step, settings)
    assert batch.advantages_BT.abs().max() < 1e-5
    values = batch.values_BT[rollout.mask_BT]
    assert torch.allclose(values, torch.full_like(values, 2.0)), "all integrity is to be expected"


def test_only_positives_that_did_well_can_stand_at_the_floor():
    """A hard negative's weight has none, however small it is."""
    policy, questions = toy.policy(0), toy.questions() * 2
    kinds = [ON_POLICY] * 6 + [POSITIVE] * 3 + [HARD_NEGATIVE] * 3
    rollout = roll_out(
        policy.model, policy.tokenizer, questions, kinds, adm=ADM, max_new_tokens=8,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    scored = toy.reward()(rollout.questions, rollout.texts)
    found = {}
    for floor in (1e-9, 1.0):
        settings = toy.settings(adm=ADM.model_copy(update={"weight_floor": floor}))
        state = rl._begin(policy.model, settings)
        step = Step(rollout, scored, stale=False)
        batch, terms = prepare(policy.model, policy.model, state.value, 0.0, step, settings)
        found[floor] = terms["weights_at_floor"]
        raised = (batch.advantages_BT > 0) & batch.rollout.mask_BT
        raised[:6] = raised[9:] = False
        assert raised.any()
    assert found[1e-9] == 0
    assert 0.5 < found[1.0] <= 1


def test_every_part_can_be_switched_off(tmp_path):
    both = ADM.model_copy(update={"negative_share": 0.25})
    no_positive = ADM.model_copy(update={"positive_share": 0.0, "negative_share": 0.5})
    no_negative = ADM.model_copy(update={"negative_share": 0.0, "positive_share": 0.5})
    weights = toy.settings().reward.model_copy(update={"integrity": 0.0})
    variants = {
        "nothing": {},
        "positives": {"adm": no_positive},
        "negatives": {"adm": no_negative},
        "value": {"integrity_value": False},
        "integrity": {"reward": weights},
    }
    first = toy.questions()[0]  # of single words, which a policy that knows nothing says by chance
    words = [unit._replace(text=word) for unit in first.units for word in unit.text.split()]
    question = first._replace(units=tuple(words))
    for name, change in variants.items():
        settings, seen = toy.settings(**{**SMALL, "adm": both, **change}), Seen()
        ended = train_ppo(
            toy.policy(0), [question], toy.reward(settings.reward), settings,
            tmp_path / name, seen.sinks(), max_new_tokens=8, accelerator=toy.SINGLE,
        )  # fmt: skip
        assert ended.status == "ok"
        assert ("reward_positive" in seen.terms[1]) == (name != "positives")
        assert ("reward_hard_negative" in seen.terms[1]) == (name != "negatives")
        # Before anything is learnt a value knows of integrity, or nothing at all.
        explained = seen.terms[1]["explained_variance"]
        assert (abs(explained) > 1e-3) == (name not in ("value", "integrity")), explained
        _, _, scored = seen.samples[-1]
        assert any(row.integrity > 0 for row in scored)
        for row in scored:
            merits = row.total + row.repeats * settings.reward.repeat_penalty - sum(row.parts)
            assert merits == pytest.approx(0.0 if name == "integrity" else 2.0 * row.integrity)


def test_divergence_puts_the_last_good_weights_back(tmp_path):
    start = toy.policy(0).model.state_dict()
    policy, _, ended = run(tmp_path, **{**SMALL, "learning_rate": 0.03, "kl_limit": 0.05,
                                        "value_warmup_updates": 0, "warmup_steps": 1})  # fmt: skip
    assert ended.status == "diverged"
    assert "rl.kl_limit" in (ended.reason or "")
    assert ended.step == 0
    assert same_weights(policy.model, start)


FAST = {"learning_rate": 0.1, "value_warmup_updates": 0, "warmup_steps": 1}


@pytest.mark.parametrize(
    ("limit", "said"), [({"kl_limit": 0.05}, "rl.kl_limit"), ({"entropy_floor": 9.0}, "entropy")]
)
def test_weights_that_diverged_in_the_step_before_a_checkpoint_are_not_kept(tmp_path, limit, said):
    """The step's own terms are measured before its update, where all was well."""
    start = toy.policy(0).model.state_dict()
    policy, seen, ended = run(tmp_path, **{**SMALL, **FAST, **limit, "steps": 1})
    assert (ended.status, ended.step) == ("diverged", 0)
    assert said in (ended.reason or "")
    assert seen.terms[1]["kl"] < 0.05, "its own terms would not have told"
    assert same_weights(policy.model, start)


def test_the_kl_holds_back_also_where_it_arises(tmp_path):
    """Answers of one token: no way to a state, so only the token's own penalty can hold back."""
    apart = {}
    for beta in (0.0, 3.0):
        _, seen, _ = run(
            tmp_path / str(beta), adm=toy.NO_ADM, steps=12, prompts=1, samples=32, minibatch=32,
            kl_coefficient=beta, kl_horizon=10**9, learning_rate=3e-3, answer=1,
        )  # fmt: skip
        apart[beta] = seen.terms[12]["kl"]
    assert apart[0.0] > 0.05
    assert apart[3.0] < apart[0.0] / 2


def test_the_coefficient_follows_the_kl_to_its_target():
    settings = toy.settings(kl_target=6.0, kl_horizon=400)
    assert rl.adapted(0.05, 6.0, 40, settings) == 0.05
    assert rl.adapted(0.05, 6.6, 40, settings) == pytest.approx(0.05 * (1 + 0.1 * 0.1))
    assert rl.adapted(0.05, 0.0, 40, settings) == pytest.approx(0.05 * (1 - 0.2 * 0.1))  # clipped
    assert rl.adapted(0.05, 99.0, 40, settings) == pytest.approx(0.05 * (1 + 0.2 * 0.1))


def test_a_reward_that_fails_in_the_middle_keeps_the_last_checkpoint(tmp_path):
    reward, calls = toy.reward(), []

    def fails(pairs):
        calls.append(1)
        if len(calls) == 4:
            return np.full((len(pairs), 2), np.nan)
        return toy.judge(pairs)

    reward.judge = fails
    with pytest.raises(TrainingError, match="no number"):
        run(tmp_path, reward=reward, **SMALL)
    _, seen, ended = run(tmp_path, **SMALL)
    assert ended.status == "ok"
    assert sorted(seen.terms) == [3, 4]


@pytest.mark.parametrize("file", ["training.pt", "policy.safetensors"])
def test_a_damaged_checkpoint_is_passed_over_to_the_same_numbers(tmp_path, caplog, file):
    whole, seen, _ = run(tmp_path / "whole", **SMALL)
    run(tmp_path / "cut", **SMALL)
    last = tmp_path / "cut" / (tmp_path / "cut" / "last").read_text()
    path = last / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    again, later, ended = run(tmp_path / "cut", **SMALL)
    assert "step-000004 is damaged" in caplog.text
    assert ended.status == "ok"
    assert sorted(later.terms) == [3, 4]
    assert later.terms[4]["reward"] == seen.terms[4]["reward"]
    pairs = zip(whole.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_where_no_checkpoint_is_whole_the_newest_is_named(tmp_path):
    run(tmp_path, **SMALL)
    older, newest = sorted(tmp_path.glob("step-*/training.pt"))
    older.write_bytes(b"")  # of which torch's error may say nothing
    newest.write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match=r"step-000004 is damaged .* no older one is whole"):
        run(tmp_path, **{**SMALL, "steps": 6})


def test_without_questions_there_is_nothing_to_train_on(tmp_path):
    with pytest.raises(TrainingError, match="no rows"):
        run(tmp_path, questions=[], **SMALL)


TASK = {"prompts": 1, "samples": 32, "minibatch": 16, "epochs": 2, "learning_rate": 3e-3,
        "entropy_bonus": 0.02}  # fmt: skip


def steps_to_optimum(folder, seed, adm, most=300) -> float:
    """Steps until ten on-policy rewards in a row average 95% of the optimum; inf if never."""
    _, seen, _ = run(folder, seed, adm=adm, **TASK, steps=most)
    rewards = [seen.terms[step]["reward"] for step in sorted(seen.terms)]
    for end in range(10, len(rewards) + 1):
        if sum(rewards[end - 10 : end]) / 10 >= 0.95 * toy.OPTIMUM:
            return end
    return float("inf")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_full_method_reaches_the_optimum_and_sooner_than_without_positives(tmp_path):
    full = [steps_to_optimum(tmp_path / f"full-{seed}", seed, ADM) for seed in range(10)]
    without = ADM.model_copy(update={"positive_share": 0.0})
    others = [steps_to_optimum(tmp_path / f"no-{seed}", seed, without) for seed in range(10)]
    print(f"steps to 95% of the optimum: full {full}, without positives {others}")
    assert statistics.median(full) < float("inf")
    assert statistics.median(full) < statistics.median(others)


def test_a_model_in_float16_is_refused():
    with (
        pytest.raises(TrainingError, match="bfloat16 or float32"),
        full_precision(toy.policy(0).model.half()),
    ):
        pass


def test_a_model_in_half_precision_learns_what_half_precision_would_round_away(tmp_path):
    policy, weights = toy.policy(0), []
    policy.model.bfloat16()
    start = policy.model.lm_head.weight.detach().float().clone()

    def log(step, terms):
        weights.append(policy.model.lm_head.weight.detach().clone())

    settings = toy.settings(adm=ADM, **{**SMALL, "learning_rate": 1e-6, "value_warmup_updates": 0})
    ended = train_ppo(
        policy, toy.questions()[:1], toy.reward(), settings, tmp_path,
        Sinks(log, lambda *_: None), max_new_tokens=8, accelerator=toy.SINGLE,
    )  # fmt: skip
    assert ended.status == "ok"
    assert policy.model.dtype == torch.bfloat16
    assert weights[-1].dtype == torch.float32
    assert (weights[-1] != start).float().mean() > 0.9
    assert (weights[-1].bfloat16().float() != start).float().mean() < 0.2


def test_a_full_disk_keeps_the_checkpoint_before_and_the_run_goes_on(tmp_path, monkeypatch):
    """As safetensors says it: an exception of its own, neither an OSError nor a RuntimeError."""
    import safetensors.torch

    saves, save = [], safetensors.torch.save_model

    def full(model, path):
        saves.append(path)
        if len(saves) == 3:  # of the start, of step 2, of step 4
            raise safetensors.SafetensorError("Error while serializing: No space left on device")
        save(model, path)

    monkeypatch.setattr(safetensors.torch, "save_model", full)
    with pytest.raises(TrainingError, match=r"step 4 .*No space left.*goes on"):
        run(tmp_path, **SMALL)
    _, seen, ended = run(tmp_path, **SMALL)
    assert ended.status == "ok"
    assert sorted(seen.terms) == [3, 4]


def test_a_judge_that_raises_is_heard_and_the_run_goes_on_from_its_checkpoint(tmp_path):
    reward, calls = toy.reward(), []

    def dies(pairs):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("the scorer's server hung up")
        return toy.judge(pairs)

    reward.judge = dies
    with pytest.raises(TrainingError, match=r"RuntimeError: .*hung up.*go on"):
        run(tmp_path, reward=reward, **SMALL)
    _, seen, _ = run(tmp_path, **SMALL)
    assert sorted(seen.terms) == [3, 4]
