"""Baselines with the same reward: RLOO and GRPO by `trl`, best-of-n from the starting model.

`trl`'s trainers sample and update by themselves; what is ours is the reward, the questions, the
budget (`prompts` × `samples` answers a step, as many steps and updates as PPO) and when a run must
stop.  The reference model is read from the folder again, so both take a folder and no object.
Leaves out ADM and the value, which is the point of the comparison, and an adaptive KL coefficient:
`trl` has a fixed one.
"""

import json
import math
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from models.loading import quiet
from models.train.asking import Asker
from models.train.disk import checkpointing
from models.train.experience import calibrate
from models.train.reward import Reward, Scored
from models.train.rl import Trained
from models.train.rollout import Question
from models.train.terms import diverged, of_answers
from schemas.training import RlSettings

Log = Callable[[int, dict[str, float]], None]
HISTORY = "history.json"  # in a checkpoint: the terms of the steps before it


def train_trl(
    policy: Any,
    folder: Path,
    questions: Sequence[Question],
    reward: Reward,
    settings: RlSettings,
    output: Path,
    log: Log,
    *,
    max_new_tokens: int,
) -> Trained:
    """Train the checkpoint in `folder` by `settings.method`; `policy` gets the trained weights.

    `policy` is the same checkpoint in memory: σ is measured with it.  `log(step, terms)` gets the
    same names as PPO's where the terms are the same.  A run that was killed goes on from `trl`'s
    own last whole checkpoint in `output`; one that diverges ends with the weights of it.  Raises
    TrainingError if the reward fails or the disk refuses a checkpoint.
    """
    from transformers import PrinterCallback

    from models.train.sft import newest_checkpoint

    if reward.scales is None:
        calibrate(policy, questions, reward, settings, max_new_tokens)
    last = newest_checkpoint(output)
    history: list[dict[str, float]] = _history(last)
    scored: list[Scored] = []  # of the step under way
    reporter = _reporter(scored, history, settings, output, log)
    with quiet():
        config, trainer_class = _config(settings, output, max_new_tokens, str(policy.model.device))
        trainer = trainer_class(
            model=str(folder),
            args=config,
            reward_funcs=_scorer(reward, questions, scored, len(history)),
            train_dataset=_dataset(questions, settings),
            processing_class=policy.tokenizer,
            callbacks=[reporter],
        )
        trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is the result's
        with checkpointing(output, lambda: newest_checkpoint(output)):
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    assert reward.scales is not None
    if reporter.reason is not None:
        kept = newest_checkpoint(output)
        if kept is not None:
            _read_weights(policy.model, kept)
        history = _history(kept)
        return Trained("diverged", len(history), reporter.reason, reward.scales, history)
    policy.model = trainer.accelerator.unwrap_model(trainer.model).eval()
    return Trained("ok", settings.steps, None, reward.scales, history)


def _read_weights(model: Any, checkpoint: Path) -> None:
    """Put a checkpoint's weights into `model`; one too large for a single file has an index."""
    from transformers import AutoModelForCausalLM

    saved = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=model.dtype)
    model.load_state_dict(saved.state_dict())


def _scorer(
    reward: Reward, questions: Sequence[Question], scored: list[Scored], done: int
) -> Callable[..., list[float]]:
    """The reward function in `trl`'s form, after `done` rollouts; what it finds joins `scored`."""
    by_id = {question.question_id: question for question in questions}
    rounds = count(done)

    def score(prompts: Any, completions: Any, question_id: list[str], **_: Any) -> list[float]:
        texts = [_text(completion) for completion in completions]
        found = reward([by_id[name] for name in question_id], texts, next(rounds))
        scored.extend(found)
        return [row.total for row in found]

    return score


def _reporter(
    scored: list[Scored],
    history: list[dict[str, float]],
    settings: RlSettings,
    output: Path,
    log: Log,
) -> Any:
    """A callback that empties `scored` into `history` and the log at the end of a step, keeps the
    history in each checkpoint, and ends a run that diverges: then `reason` says why."""
    from transformers import TrainerCallback

    from models.train.sft import complete

    updates = settings.epochs * _minibatches(settings)

    class Report(TrainerCallback):
        reason: str | None = None

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if not scored:
                return  # the summary at the end of the training
            terms = of_answers(scored) | {"rows": float(len(scored))} | _of_update(logs or {})
            step = -(-int(state.global_step) // updates)
            scored.clear()
            log(step, terms)
            why = diverged(terms, settings)
            if why is None:
                history.append(terms | {"step": float(step)})
                return
            self.reason = f"step {step}: {why}"
            control.should_training_stop, control.should_save = True, False

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                checkpoint = output / f"checkpoint-{state.global_step}"
                (checkpoint / HISTORY).write_text(json.dumps(history))
                complete(output, state.global_step)

    return Report()


def _of_update(logs: dict[str, Any]) -> dict[str, float]:
    """`trl`'s figures of a step's updates under PPO's names.

    Its KL is a mean over tokens, ours nats an answer; what it leaves out because it was no number
    (None) is one that a run must stop for.
    """
    found = {
        "kl": _number(logs.get("kl", 0.0)) * _number(logs.get("completions/mean_length", 1.0)),
        "entropy": _number(logs.get("entropy", math.inf)),
        "policy_loss": _number(logs.get("loss", 0.0)),
        "gradient_norm": _number(logs.get("grad_norm", 0.0)),
    }
    return {name: number for name, number in found.items() if number != math.inf}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _history(checkpoint: Path | None) -> list[dict[str, float]]:
    """The terms of the steps up to a checkpoint."""
    return json.loads((checkpoint / HISTORY).read_text()) if checkpoint else []


def _config(
    settings: RlSettings, output: Path, max_new_tokens: int, device: str
) -> tuple[Any, Any]:
    import torch
    import trl

    minibatches = _minibatches(settings)
    updates = settings.epochs * minibatches  # a step
    common: dict[str, Any] = {
        "output_dir": str(output),
        "max_steps": settings.steps * updates,  # trl counts updates, we count rollouts
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "linear" if settings.schedule == "linear" else "constant_with_warmup",
        "warmup_steps": settings.warmup_steps * updates,
        "gradient_checkpointing": False,  # as PPO; `trl` would warn of it in every step
        "per_device_train_batch_size": settings.prompts * settings.samples // minibatches,
        "steps_per_generation": minibatches,
        "num_generations": settings.samples,
        "num_iterations": settings.epochs,
        "max_completion_length": max_new_tokens,
        "temperature": 1.0,
        "beta": settings.kl_coefficient,
        "epsilon": settings.clip,
        "max_grad_norm": settings.max_grad_norm,
        "seed": settings.seed,
        "shuffle_dataset": False,
        "save_steps": settings.checkpoint_every * updates,
        "save_total_limit": 2,
        "logging_steps": updates,
        "logging_nan_inf_filter": False,  # by default a loss that is no number is shown as 0
        "dataloader_pin_memory": False,
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": device.startswith("cuda") and torch.cuda.is_bf16_supported(),  # as PPO's autocast
        "use_cpu": device == "cpu",
        "remove_unused_columns": False,
        "model_init_kwargs": {"dtype": "float32"},
    }
    if settings.method == "rloo":
        return trl.RLOOConfig(**common), trl.RLOOTrainer
    return trl.GRPOConfig(**common), trl.GRPOTrainer


def _minibatches(settings: RlSettings) -> int:
    """How many equal minibatches a step's rows make, none larger than `rl.minibatch`."""
    rows = settings.prompts * settings.samples
    least = math.ceil(rows / settings.minibatch)
    return next(n for n in range(least, rows + 1) if rows % n == 0)


def _dataset(questions: Sequence[Question], settings: RlSettings) -> Any:
    """The questions of PPO's steps, in its order."""
    from datasets import Dataset

    asker = Asker(questions, settings)
    asked = [question for step in range(settings.steps) for question in asker.step(step)]
    return Dataset.from_list(
        [{"prompt": list(q.messages), "question_id": q.question_id} for q in asked]
    )


def _text(completion: Any) -> str:
    """`trl` gives text, or a list with one message where prompts are conversations."""
    return (completion if isinstance(completion, str) else completion[0]["content"]).strip()
