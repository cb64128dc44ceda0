"""Supervised fine-tuning of a student with `trl.SFTTrainer`: loss on the target prompt only.

    job = SftJob(base=folder, student=settings.student, sft=settings.sft, folder=work,
                 train=work / "train.arrow", validation=work / "validation.arrow")
    run_sft(job)            # → work / "model": a standard checkpoint with tokenizer and template

Examples are tokenised before (`models.train.data`), so what is trained is what is sampled.  Packed
rows hold whole examples that do not see each other: they are told apart by position ids, in the
attention mask of `transformers`, which needs no special kernel; a model that takes no position ids
(BLOOM's ALiBi) is not packed, and batches of like length are padded instead.

A checkpoint counts once `COMPLETE` lies in it, written last; a killed run goes on from the newest
one that counts.  Runs on one device, and on several under `accelerate launch`.
Left out: where rows are stored and what the model is worth (`models.train.measure`).
"""

import inspect
import logging
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import (
    AutoModelForCausalLM,
    EarlyStoppingCallback,
    GenerationConfig,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)

from models.device import pick_device, pick_dtype
from models.loading import load_model, quiet
from models.train.data import open_examples
from models.train.disk import checkpointing, readable, writing
from models.train.policy import check_fit, check_folder, eos_ids, finite, load_student_tokenizer
from schemas.errors import TrainingError
from schemas.training import SftSettings, StudentSettings

COMPLETE = "COMPLETE"  # the file that says that a checkpoint was written to its end
KEPT = 2  # checkpoints, beside the best one
LOG_EVERY = 10  # steps
ADAM_BYTES = 8  # two float32 moments a trained parameter

LOG = logging.getLogger(__name__)
Log = Callable[[int, dict[str, float]], None]  # step, terms
Progress = Callable[[int, int], None]  # steps done, all steps


@dataclass(frozen=True)
class SftJob:
    """What a training reads and where it writes."""

    base: Path
    student: StudentSettings
    sft: SftSettings
    folder: Path  # checkpoints and the final model go below it
    train: Path  # Arrow files of `models.train.data.write_examples`
    validation: Path | None  # None: no evaluation during training, no early stopping


@dataclass(frozen=True)
class Trained:
    model: Path
    steps: int  # the one whose weights were kept: the best by validation loss
    last_step: int
    log: list[tuple[int, str, float]]  # (step, term, value), resumed parts included


def run_sft(job: SftJob, progress: Progress = lambda done, total: None) -> Trained:
    """Train, or go on after a kill; save the best weights to `job.folder / "model"`.

    Raises ModelError for a base that cannot be used and TrainingError if the disk is full or the
    loss is no number; checkpoints before that are kept.
    """
    check_folder(job.base)
    tokenizer = load_student_tokenizer(job.base)
    device = pick_device(job.student.device, "student.device")
    set_seed(job.sft.seed)  # of adapters and dropout
    model = _load_base(job, device)
    check_fit(model, tokenizer, job.base)
    _check_disk(job.folder, model, job.sft)
    with quiet():
        trainer = _trainer(job, model, tokenizer, device, progress)
        checkpoints = job.folder / "checkpoints"
        last = newest_checkpoint(checkpoints)
        with checkpointing(job.folder, lambda: newest_checkpoint(checkpoints)):
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    target = job.folder / "model"
    trained = trainer.accelerator.unwrap_model(trainer.model)
    if not finite(trained):
        raise diverged("its weights are no numbers", trainer.state.global_step, job.sft)
    if trainer.is_world_process_zero():
        _save(trained, tokenizer, target, job)
    trainer.accelerator.wait_for_everyone()
    state = trainer.state
    kept = state.best_global_step if state.best_model_checkpoint else state.global_step
    return Trained(target, kept or state.global_step, state.global_step, log_rows(state))


def diverged(what: str, step: int, sft: SftSettings) -> TrainingError:
    """What is said of a training that came to no numbers."""
    return TrainingError(
        f"At step {step} {what}: the training diverged. Lower sft.learning_rate (it is "
        f"{sft.learning_rate:g})."
    )


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint below `folder`; half-written and damaged ones are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    written = [path for path in found if (path / COMPLETE).exists()]
    whole = [path for path in written if readable(path)]
    for path in set(written) - set(whole):
        LOG.warning("%s is damaged and was removed; an older checkpoint is used, if any.", path)
    for path in set(found) - set(whole):
        shutil.rmtree(path, ignore_errors=True)
    return whole[-1] if whole else None


def complete(folder: Path, step: int) -> None:
    """Say that the checkpoint of `step` below `folder` was written to its end."""
    with (folder / f"checkpoint-{step}" / COMPLETE).open("w") as file:
        file.write(f"{step}\n")
        file.flush()
        os.fsync(file.fileno())


def log_rows(state: Any) -> list[tuple[int, str, float]]:
    """(step, term, value) of everything that was logged, in order."""
    return [
        (entry["step"], term, float(value))
        for entry in state.log_history
        for term, value in entry.items()
        if term != "step" and isinstance(value, int | float) and math.isfinite(value)
    ]


def _load_base(job: SftJob, device: str) -> Any:
    """All weights are trained in float32 (under autocast where the device has bfloat16); below
    adapters the frozen ones stand in the student's own precision."""
    wish = job.student.dtype if job.sft.lora else "float32"
    dtype = pick_dtype(wish, device, prefer_bfloat16=True)
    model = load_model(job.base, dtype, device, AutoModelForCausalLM)
    return model.requires_grad_(True).train()


def _trainer(job: SftJob, model: Any, tokenizer: Any, device: str, progress: Progress) -> Any:
    from trl import SFTTrainer

    # What a trainer says to its own log is said by ours: settings in the row, figures in the table.
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    packed = job.sft.packing and takes_positions(model)
    args = _arguments(job, device, packed)
    train, validation = (_examples(path, job.sft, packed) for path in (job.train, job.validation))
    callbacks: list[TrainerCallback] = [_Watch(progress, job.sft)]
    if validation is not None and job.sft.patience:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=job.sft.patience))
    trainer = _resumable(SFTTrainer, job.sft.seed)(
        model=model,
        args=args,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        data_collator=_collator(tokenizer, packed),
        peft_config=_lora(job.sft),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _resumable(trainer: type, seed: int) -> type:
    """`trainer` with batches of like length whose order is a function of (seed, epoch) alone.

    The sampler of `transformers` draws it from torch's global state, so a run that went on in a
    later epoch saw other batches.
    """
    import torch
    from transformers.trainer_pt_utils import LengthGroupedSampler

    class Sampler(LengthGroupedSampler):
        def set_epoch(self, epoch: int) -> None:
            self.generator = torch.Generator().manual_seed(seed * 7_919 + epoch)

    class Resumable(trainer):
        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
            sampler = super()._get_train_sampler(*args, **kwargs)
            if not isinstance(sampler, LengthGroupedSampler):
                return sampler
            ours = Sampler(sampler.batch_size, lengths=sampler.lengths)
            ours.set_epoch(0)
            return ours

    return Resumable


def _arguments(job: SftJob, device: str, packed: bool) -> Any:
    import torch
    from trl import SFTConfig

    sft, evaluated = job.sft, job.validation is not None
    cuda = device.startswith("cuda")
    args = SFTConfig(
        output_dir=str(job.folder / "checkpoints"),
        per_device_train_batch_size=sft.batch,
        per_device_eval_batch_size=sft.batch,
        gradient_accumulation_steps=sft.accumulate,
        learning_rate=sft.learning_rate,
        lr_scheduler_type=sft.schedule,
        warmup_steps=sft.warmup_ratio,  # below 1: a share
        weight_decay=sft.weight_decay,
        num_train_epochs=sft.epochs,
        max_steps=sft.max_steps or -1,
        max_length=sft.max_length,
        bf16=cuda and torch.cuda.is_bf16_supported(),
        fp16=False,
        gradient_checkpointing=sft.gradient_checkpointing,
        eval_strategy="steps" if evaluated else "no",
        eval_steps=sft.evaluate_every,
        save_strategy="steps",
        save_steps=sft.evaluate_every,
        save_total_limit=KEPT,
        restore_callback_states_from_checkpoint=True,  # how patient it has been
        load_best_model_at_end=evaluated,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=LOG_EVERY,
        logging_nan_inf_filter=False,  # by default a loss that is no number is shown as 0
        report_to="none",
        disable_tqdm=True,
        use_cpu=device == "cpu",
        dataloader_pin_memory=cuda,
        dataloader_num_workers=2 if cuda else 0,  # on a CPU they only take cores from the model
        train_sampling_strategy="random" if packed else "group_by_length",
        length_column_name="length",
        # The examples are tokenised, labelled and packed: nothing is left to prepare.
        dataset_kwargs={"skip_prepare_dataset": True},
        seed=sft.seed,
        data_seed=sft.seed,
    )
    if args.parallel_mode.value == "not_distributed":
        args._n_gpu = 1  # several GPUs are for `accelerate launch`, never for nn.DataParallel
    return args


def takes_positions(model: Any) -> bool:
    """Whether packed examples can be told apart by position ids."""
    return "position_ids" in inspect.signature(type(model).forward).parameters


def _examples(path: Path | None, sft: SftSettings, packed: bool) -> Any:
    if path is None:
        return None
    dataset = open_examples(path)
    if not packed:
        return dataset.with_format("numpy")
    from datasets.utils.logging import disable_progress_bar, enable_progress_bar
    from trl import pack_dataset

    disable_progress_bar()
    try:
        # In memory: packing again after a kill is cheaper than a cache that can go stale.
        rows = dataset.select_columns(["input_ids", "labels"])
        return pack_dataset(rows, sft.max_length, "bfd", {"keep_in_memory": True})
    finally:
        enable_progress_bar()


def _collator(tokenizer: Any, packed: bool) -> Any:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    class Packed(DataCollatorForLanguageModeling):
        """Rows of several examples: `transformers` reads their borders from the position ids, but
        only where there is no attention mask."""

        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            batch = super().torch_call(examples)
            del batch["attention_mask"]
            return batch

    kind = Packed if packed else DataCollatorForLanguageModeling
    return kind(pad_token_id=tokenizer.pad_token_id, return_position_ids=packed)


def _lora(sft: SftSettings) -> Any:
    if sft.lora is None:
        return None
    from peft import LoraConfig

    modules = sft.lora.target_modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=sft.lora.rank,
        lora_alpha=sft.lora.alpha,
        lora_dropout=sft.lora.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
    )


def _check_disk(folder: Path, model: Any, sft: SftSettings) -> None:
    """Before hours of training: is there room for the checkpoints that will be kept?"""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    trained = 0 if sft.lora else sum(p.numel() for p in model.parameters())
    wanted = (KEPT + 1) * (weights * (not sft.lora) + trained * ADAM_BYTES) + weights
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(f.stat().st_size for f in (folder / "checkpoints").rglob("*") if f.is_file())
    free, wanted = shutil.disk_usage(folder).free, wanted - there
    if free < wanted:
        raise TrainingError(
            f"{folder} has {free / 1e6:,.0f} MB free and the checkpoints of this training take "
            f"about {wanted / 1e6:,.0f} MB more: free some space, or set $DIFFCHAT_HOME elsewhere."
        )


def _save(model: Any, tokenizer: Any, target: Path, job: SftJob) -> None:
    """A folder that `transformers`, `vllm serve` and `trl` load as it is, adapters merged in."""
    if job.sft.lora:
        model = model.merge_and_unload()
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=eos_ids(model, tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=job.student.max_new_tokens,
    )
    draft = target.with_name(f"{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    dtype = model.dtype if job.student.dtype == "auto" else pick_dtype(job.student.dtype, "cpu")
    with writing(target), quiet():
        model.to(dtype).save_pretrained(draft)
        tokenizer.save_pretrained(draft)
    draft.replace(target)


class _Watch(TrainerCallback):
    """Tells the progress, stops a diverged run, marks checkpoints written to their end."""

    def __init__(self, progress: Progress, sft: SftSettings) -> None:
        self.progress, self.sft = progress, sft

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.progress(state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        for name in ("loss", "eval_loss"):
            loss = (logs or {}).get(name, 0.0)
            if not math.isfinite(loss):
                raise diverged(f"the {name} is {loss}", state.global_step, self.sft)

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if not finite(model):  # the loss is looked at every few steps only
            raise diverged("the weights are no numbers", state.global_step, self.sft)
        if state.is_world_process_zero:
            complete(Path(args.output_dir), state.global_step)
