"""Fine-tuning on a miniature: it learns, is resumed to the same numbers, and says what is wrong."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from models.train import sft as module
from models.train.data import write_examples
from models.train.policy import load_policy
from models.train.sft import COMPLETE, SftJob, newest_checkpoint, run_sft
from schemas.chat import messages_of
from schemas.errors import TrainingError
from schemas.training import LoraTraining, SftSettings, StudentSettings
from tests.models.train.miniatures import student, tokenizer
from tests.models.train.test_data import row

CPU = StudentSettings(device="cpu", max_new_tokens=24)
SETTINGS = SftSettings(
    epochs=4, learning_rate=1e-2, batch=4, max_length=160, packing=False, evaluate_every=4
)
THINGS = ("cat", "dog", "car", "house", "red cat", "blue dog", "red car", "green house")
ROWS = [row(str(i), f"a {t}", "make it night", f"a {t} at night") for i, t in enumerate(THINGS * 3)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return student(tmp_path_factory.mktemp("base"), context=256, initializer_range=0.02)


def job(base, folder, settings=SETTINGS, validation=True) -> SftJob:
    folder.mkdir(exist_ok=True)
    for name, rows in (("train", ROWS), ("validation", ROWS[:4])):
        batch = pa.RecordBatch.from_pylist(rows)
        write_examples([batch], {}, tokenizer(), folder / f"{name}.arrow", settings.max_length)
    held = folder / "validation.arrow" if validation else None
    return SftJob(base, CPU, settings, folder, folder / "train.arrow", held)


def weights(folder: Path):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def same(left: Path, right: Path) -> bool:
    a, b = weights(left), weights(right)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def values(trained, term):
    return [value for _, name, value in trained.log if name == term]


def test_it_learns_and_the_folder_loads_unchanged(base, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    settings = SETTINGS.model_copy(
        update={"epochs": 25, "evaluate_every": 10, "learning_rate": 5e-3}
    )
    trained = run_sft(job(base, tmp_path / "run", settings))
    losses = values(trained, "eval_loss")
    assert min(losses) < 0.35 < losses[0]
    policy = load_policy(str(trained.model), CPU)
    assert policy.rewrite([messages_of("a cat", "make it night")])[0][0].prompt == "a cat at night"
    plain = AutoModelForCausalLM.from_pretrained(trained.model)
    words = AutoTokenizer.from_pretrained(trained.model)
    assert words.chat_template == tokenizer().chat_template
    assert plain.generation_config.eos_token_id == [words.eos_token_id]


def test_packed_examples_do_not_see_each_other(base):
    """The loss of two packed examples is that of the two alone."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base).eval()
    assert module.takes_positions(model)
    texts = ("a cat at night in the rain", "red house")
    alone = [tokenizer()(text)["input_ids"] for text in texts]
    both = alone[0] + alone[1]
    packed: dict = {"input_ids": both, "labels": both}
    packed["seq_lengths"] = [len(ids) for ids in alone]
    batch = module._collator(tokenizer(), packed=True)([packed, packed])
    batch.pop("labels")
    together = model(**batch, use_cache=False).logits[0]  # as the trainer calls it
    apart = torch.cat([model(input_ids=torch.tensor([ids])).logits[0] for ids in alone])
    assert torch.allclose(together, apart, atol=1e-5)


def test_a_model_without_position_ids_is_not_packed(tmp_path):
    from transformers import BloomConfig, BloomForCausalLM

    words = tokenizer(None)
    base = tmp_path / "bloom"
    config = BloomConfig(vocab_size=len(words), hidden_size=32, n_layer=1, n_head=2)
    BloomForCausalLM(config).save_pretrained(base)
    words.save_pretrained(base)
    settings = SETTINGS.model_copy(update={"packing": True, "epochs": 1})
    trained = run_sft(job(base, tmp_path / "run", settings, validation=False))
    assert trained.last_step == len(ROWS) / settings.batch  # one row an example
    assert "### Assistant" in (trained.model / "chat_template.jinja").read_text()


def test_packing_makes_fewer_steps(base, tmp_path):
    settings = SETTINGS.model_copy(update={"packing": True, "epochs": 1})
    trained = run_sft(job(base, tmp_path / "run", settings, validation=False))
    assert 0 < trained.last_step < len(ROWS) / settings.batch


@pytest.mark.parametrize("packing", [False, True])
def test_a_killed_run_goes_on_to_the_same_weights(base, tmp_path, packing):
    settings = SETTINGS.model_copy(
        update={"packing": packing, "epochs": 8 if packing else 3, "patience": 0}
    )
    whole = run_sft(job(base, tmp_path / "whole", settings))

    cut = job(base, tmp_path / "cut", settings)
    killed(cut, at=6)
    half = cut.folder / "checkpoints" / "checkpoint-5"  # as a kill in the middle of writing leaves
    shutil.copytree(cut.folder / "checkpoints" / "checkpoint-4", half)
    (half / COMPLETE).unlink()
    (half / "model.safetensors").write_bytes(b"half")
    steps = []
    resumed = run_sft(cut, lambda done, total: steps.append(done))
    assert steps[0] == 5
    assert same(whole.model, resumed.model)
    assert values(whole, "eval_loss") == values(resumed, "eval_loss")


def test_a_run_killed_in_a_later_epoch_sees_the_same_batches(base, tmp_path):
    settings = SETTINGS.model_copy(update={"evaluate_every": 2, "patience": 0})
    whole = run_sft(job(base, tmp_path / "whole", settings))
    resumed = killed_and_gone_on(job(base, tmp_path / "cut", settings), at=9)  # of 6 an epoch
    assert values(whole, "eval_loss") == values(resumed, "eval_loss")
    assert same(whole.model, resumed.model)


def test_a_run_killed_before_it_would_stop_early_is_no_more_patient(base, tmp_path):
    settings = SETTINGS.model_copy(
        update={"epochs": 50, "learning_rate": 0.5, "evaluate_every": 2, "patience": 2}
    )
    whole = run_sft(job(base, tmp_path / "whole", settings))
    cut = job(base, tmp_path / "cut", settings)
    resumed = killed_and_gone_on(cut, at=whole.last_step - 1)  # after one loss that was worse
    assert (resumed.last_step, resumed.steps) == (whole.last_step, whole.steps)


def killed(cut: SftJob, at: int) -> None:
    class Killed(Exception):
        pass

    def kill(done, total):
        if done == at:
            raise Killed

    with pytest.raises(Killed):
        run_sft(cut, kill)


def killed_and_gone_on(cut: SftJob, at: int):
    killed(cut, at)
    return run_sft(cut)


def test_the_best_weights_are_kept_and_it_stops_early(base, tmp_path):
    settings = SETTINGS.model_copy(
        update={"epochs": 50, "learning_rate": 0.5, "evaluate_every": 2, "patience": 2}
    )
    trained = run_sft(job(base, tmp_path / "run", settings))
    assert trained.last_step < 50 * len(ROWS) / settings.batch
    losses = values(trained, "eval_loss")
    assert trained.steps == 2 * (losses.index(min(losses)) + 1)


def test_adapters_are_merged_into_a_standard_checkpoint(base, tmp_path):
    settings = SETTINGS.model_copy(update={"lora": LoraTraining(rank=4, dropout=0.0)})
    trained = run_sft(job(base, tmp_path / "run", settings))
    assert not (trained.model / "adapter_config.json").exists()
    assert weights(trained.model).keys() == weights(base).keys()
    assert not same(trained.model, base)
    assert values(trained, "eval_loss")[-1] < values(trained, "eval_loss")[0]


@pytest.mark.usefixtures("full_at_the_second_checkpoint")
def test_a_full_disk_keeps_the_last_good_checkpoint(base, tmp_path):
    cut = job(base, tmp_path / "run")
    with pytest.raises(TrainingError, match=r"is full.*step 4 is kept"):
        run_sft(cut)
    last = newest_checkpoint(cut.folder / "checkpoints")
    assert last is not None
    assert last.name == "checkpoint-4"
    assert json.loads((last / "trainer_state.json").read_text())["global_step"] == 4
    assert run_sft(cut).last_step == 24


def test_too_little_room_is_said_before_the_training(base, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(TrainingError, match=r"0 MB free .* about \d+ MB more: free some space"):
        run_sft(job(base, tmp_path / "run"))


def test_checkpoints_that_are_there_need_no_more_room(base, tmp_path, monkeypatch):
    cut = job(base, tmp_path / "run")
    killed(cut, at=12)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=1 << 21))
    assert run_sft(cut).last_step == 24


def test_a_loss_that_is_no_number_is_no_model(base, tmp_path):
    settings = SETTINGS.model_copy(update={"learning_rate": 1e30, "epochs": 10})
    with pytest.raises(TrainingError, match=r"Lower sft\.learning_rate"):
        run_sft(job(base, tmp_path / "run", settings, validation=False))
    assert not (tmp_path / "run" / "model").exists()


def test_weights_that_are_no_numbers_are_not_kept(base, tmp_path, monkeypatch):
    """Between two looks at the loss (every tenth step): a checkpoint of them must not count."""
    save = module._Watch.on_save

    def broken(self, args, state, control, model=None, **more):
        if state.global_step == 8:
            with torch.no_grad():
                next(model.parameters()).fill_(float("nan"))
        save(self, args, state, control, model=model, **more)

    monkeypatch.setattr(module._Watch, "on_save", broken)
    cut = job(base, tmp_path / "run", validation=False)
    with pytest.raises(TrainingError, match="At step 8 the weights are no numbers"):
        run_sft(cut)
    last = newest_checkpoint(cut.folder / "checkpoints")
    assert last is not None
    assert last.name == "checkpoint-4"


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt", "trainer_state.json"])
def test_a_damaged_checkpoint_is_passed_over(base, tmp_path, caplog, file):
    cut = job(base, tmp_path / "run")
    killed(cut, at=12)
    newest = newest_checkpoint(cut.folder / "checkpoints")
    assert newest is not None
    path = newest / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    older = newest_checkpoint(cut.folder / "checkpoints")
    assert older is not None
    assert older.name < newest.name
    assert str(newest) in caplog.text
    assert "is damaged" in caplog.text
    assert run_sft(cut).last_step == 24
