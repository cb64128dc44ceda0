"""Baselines with the same reward: RLOO and GRPO by `trl`, best-of-n from the starting model.

`trl`'s trainers sample and update by themselves; what is ours is the reward, the questions and the
budget (`prompts` × `samples` answers a step, the same number of steps as PPO).  The reference model
is read from the folder again, so both take a folder and no object.  Leaves out ADM and the value,
which is the point of the comparison.
"""

import json
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from models.train.asking import Asker
from models.train.experience import calibrate
from models.train.reward import Reward, Scored
from models.train.rl import Trained
from models.train.rollout import Question
from models.train.template import as_taken
from models.train.terms import of_answers
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
    own last whole checkpoint in `output`.
    """
    from transformers import PrinterCallback

    from models.train.sft import newest_checkpoint

    if reward.scales is None:
        calibrate(policy, questions, reward, settings, max_new_tokens)
    last = newest_checkpoint(output)
    history: list[dict[str, float]] = _history(last)
    config, trainer_class = _config(settings, output, max_new_tokens)
    scored: list[Scored] = []  # of the step under way
    trainer = trainer_class(
        model=str(folder),
        args=config,
        reward_funcs=_scorer(reward, questions, scored, len(history)),
        train_dataset=_dataset(questions, settings, policy.tokenizer),
        processing_class=policy.tokenizer,
        callbacks=[_reporter(scored, history, settings.epochs, output, log)],
    )
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is the result's
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    policy.model = trainer.accelerator.unwrap_model(trainer.model).eval()
    assert reward.scales is not None
    return Trained("ok", settings.steps, None, reward.scales, history)


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
    scored: list[Scored], history: list[dict[str, float]], epochs: int, output: Path, log: Log
) -> Any:
    """A callback that empties `scored` into `history` and the log at the end of a step, and keeps
    the history in each checkpoint."""
    from transformers import TrainerCallback

    from models.train.sft import complete

    class Report(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if scored:
                terms = of_answers(scored) | {"rows": float(len(scored))}
                step = -(-int(state.global_step) // epochs)
                history.append(terms | {"step": float(step)})
                log(step, terms)
                scored.clear()

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                checkpoint = output / f"checkpoint-{state.global_step}"
                (checkpoint / HISTORY).write_text(json.dumps(history))
                complete(output, state.global_step)

    return Report()


def _history(checkpoint: Path | None) -> list[dict[str, float]]:
    """The terms of the steps up to a checkpoint."""
    return json.loads((checkpoint / HISTORY).read_text()) if checkpoint else []


def _config(settings: RlSettings, output: Path, max_new_tokens: int) -> tuple[Any, Any]:
    import trl

    rows = settings.prompts * settings.samples
    common: dict[str, Any] = {
        "output_dir": str(output),
        "max_steps": settings.steps * settings.epochs,  # trl counts updates, we count rollouts
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "linear" if settings.schedule == "linear" else "constant_with_warmup",
        "warmup_steps": settings.warmup_steps * settings.epochs,
        "gradient_checkpointing": False,  # as PPO; `trl` would warn of it in every step
        "per_device_train_batch_size": rows,
        "num_generations": settings.samples,
        "num_iterations": settings.epochs,
        "max_completion_length": max_new_tokens,
        "temperature": 1.0,
        "beta": settings.kl_coefficient,
        "epsilon": settings.clip,
        "max_grad_norm": settings.max_grad_norm,
        "seed": settings.seed,
        "shuffle_dataset": False,
        "save_steps": settings.checkpoint_every * settings.epochs,
        "save_total_limit": 2,
        "logging_strategy": "no",
        "dataloader_pin_memory": False,
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": False,
        "remove_unused_columns": False,
        "model_init_kwargs": {"dtype": "float32"},
    }
    if settings.method == "rloo":
        return trl.RLOOConfig(**common), trl.RLOOTrainer
    return trl.GRPOConfig(**common), trl.GRPOTrainer


def _dataset(questions: Sequence[Question], settings: RlSettings, tokenizer: Any) -> Any:
    """The questions of PPO's steps, in its order, as the student's template takes them."""
    from datasets import Dataset

    asker = Asker(questions, settings)
    asked = [question for step in range(settings.steps) for question in asker.step(step)]
    return Dataset.from_list(
        [{"prompt": as_taken(tokenizer, q.messages), "question_id": q.question_id} for q in asked]
    )


def _text(completion: Any) -> str:
    """`trl` gives text, or a list with one message where prompts are conversations."""
    return (completion if isinstance(completion, str) else completion[0]["content"]).strip()
