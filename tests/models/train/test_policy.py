"""A student that answers: the same for the same seed, and clear about folders it cannot use."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from models.train.policy import Policy, load_policy
from models.train.template import DEFAULT_TEMPLATE, prepare_tokenizer, render, turn_texts
from schemas.chat import SYSTEM, Turn, messages_of
from schemas.errors import ModelError, PromptTooLong
from schemas.training import StudentSettings
from tests.models.train.miniatures import NO_SYSTEM, student, tokenizer

CPU = StudentSettings(device="cpu", max_new_tokens=12)
ASKED = [
    messages_of("a cat", "make it night"),
    messages_of("a red house in the rain", "add a dog"),
    messages_of("a cat", "add a car", [Turn("make it red", "a red cat")]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def policy(folder):
    return load_policy(str(folder), CPU)


def test_greedy_answers_do_not_depend_on_the_batch_they_are_in(policy):
    together = policy.rewrite(ASKED)
    alone = [policy.rewrite([one])[0] for one in ASKED]
    assert together == alone
    assert all(0 <= answer.tokens <= 12 for (answer,) in together)


def test_greedy_is_the_argmax_of_the_model_itself(policy):
    ids = policy.encode(ASKED[0])
    for _ in range(12):
        logits = policy.model(torch.tensor([ids])).logits[0, -1]
        ids.append(int(logits.argmax()))
        if ids[-1] == policy.tokenizer.eos_token_id:
            break
    new = ids[len(policy.encode(ASKED[0])) :]
    expected = policy.tokenizer.decode(new, skip_special_tokens=True).strip()
    assert policy.rewrite(ASKED[:1])[0][0].prompt == expected


def test_samples_follow_the_seed_and_leave_the_callers_random_state(policy):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = policy.rewrite(ASKED, n=4, temperature=1.0, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert first == policy.rewrite(ASKED, n=4, temperature=1.0, seed=1)
    assert first != policy.rewrite(ASKED, n=4, temperature=1.0, seed=2)
    assert [len(answers) for answers in first] == [4, 4, 4]
    assert len({answer.prompt for answer in first[0]}) > 1


def test_sampling_ignores_the_checkpoints_own_truncation(folder, tmp_path):
    from transformers import GenerationConfig

    other = tmp_path / "narrow"
    shutil.copytree(folder, other)
    GenerationConfig(do_sample=True, top_k=1, repetition_penalty=5.0).save_pretrained(other)
    narrow, plain = load_policy(str(other), CPU), load_policy(str(folder), CPU)
    wanted = plain.rewrite(ASKED, n=3, temperature=1.0, seed=3)
    assert narrow.rewrite(ASKED, n=3, temperature=1.0, seed=3) == wanted
    assert narrow.rewrite(ASKED) == plain.rewrite(ASKED)


@pytest.mark.parametrize("asked", ASKED, ids=["night", "dog", "history"])
def test_streamed_pieces_are_the_greedy_answer(policy, asked):
    assert "".join(policy.stream(asked)).strip() == policy.rewrite([asked])[0][0].prompt


ANSWERS = ["a red cat 夜", "קט in the rain", "🚗🚗", "a 👩‍👧 house", "  a cat", "夜"]


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_sign_of_several_tokens_comes_whole(policy, monkeypatch, answer):
    """A byte-level vocabulary spells these signs in two to four tokens each."""
    ids = policy.tokenizer(answer, add_special_tokens=False)["input_ids"]
    says(policy, monkeypatch, [*ids, policy.tokenizer.eos_token_id])
    pieces = list(policy.stream(ASKED[0], max_new_tokens=60))
    assert "".join(pieces) == answer
    assert len(pieces) > 1 or len(answer) == 1
    assert not any("\ufffd" in piece for piece in pieces)
    says(policy, monkeypatch, [*ids, policy.tokenizer.eos_token_id])
    assert policy.rewrite(ASKED[:1], max_new_tokens=60)[0][0].prompt == answer.strip()


def test_an_answer_cut_within_a_sign_is_told_as_rewrite_tells_it(policy, monkeypatch):
    ids = policy.tokenizer("a 夜", add_special_tokens=False)["input_ids"]
    room = len(ids) - 1
    says(policy, monkeypatch, ids)
    streamed = "".join(policy.stream(ASKED[0], max_new_tokens=room))
    says(policy, monkeypatch, ids)
    assert streamed == policy.rewrite(ASKED[:1], max_new_tokens=room)[0][0].prompt


def says(policy, monkeypatch, tokens: list[int]) -> None:
    """Make the model prefer these tokens, one after the other."""
    forward, turn = type(policy.model).forward, iter(tokens)

    def biased(*inputs, **options):
        output = forward(policy.model, *inputs, **options)
        output.logits[:, -1, next(turn)] += 1e4
        return output

    monkeypatch.setattr(policy.model, "forward", biased)


@pytest.mark.parametrize("kind", ["Bloom", "Qwen3", "Gemma3Text"])
def test_other_architectures_stream_what_they_rewrite(kind):
    """Positions from the mask, grouped heads, a sliding window over the cache."""
    from pathlib import Path

    import transformers

    words = prepare_tokenizer(tokenizer(), "miniature")
    sizes = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16,
        "num_attention_heads": 2, "num_key_value_heads": 1, "sliding_window": 8,
    }  # fmt: skip
    if kind == "Bloom":
        sizes = {"hidden_size": 32, "n_layer": 2, "n_head": 2}
    special = {
        f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("bos", "eos", "pad")
    }
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(words), initializer_range=0.3, **special, **sizes
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind.removesuffix('Text')}ForCausalLM")(config).eval()
    policy = Policy(model, words, "cpu", Path(kind), 24, None)
    assert "".join(policy.stream(ASKED[1])).strip() == policy.rewrite(ASKED[1:2])[0][0].prompt


def test_a_model_that_keeps_no_cache_streams_the_same(policy, monkeypatch):
    wanted = "".join(policy.stream(ASKED[1]))
    forward = type(policy.model).forward

    def forgetful(*inputs, **options):
        output = forward(policy.model, *inputs, **options)
        output.past_key_values = None
        return output

    monkeypatch.setattr(policy.model, "forward", forgetful)
    assert "".join(policy.stream(ASKED[1])) == wanted


def test_a_reader_who_leaves_stops_the_model(policy, monkeypatch):
    forward, ran = type(policy.model).forward, []

    def counted(*inputs, **options):
        ran.append(1)
        return forward(policy.model, *inputs, **options)

    monkeypatch.setattr(policy.model, "forward", counted)
    pieces = policy.stream(ASKED[1], max_new_tokens=60)
    next(pieces)
    began = len(ran)
    pieces.close()
    assert began < 10
    assert len(ran) == began


def test_a_failure_in_the_model_reaches_the_reader(policy, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(policy.model, "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(policy.stream(ASKED[0]))


def test_a_conversation_beyond_the_context_is_refused(policy):
    with pytest.raises(PromptTooLong, match="128"):
        policy.rewrite([messages_of("a cat " * 200, "add a dog")])


def test_the_last_answer_is_cut_at_the_context_and_said_to_be_unfinished(tmp_path):
    words = tokenizer()
    room = len(words(render(words, ASKED[0]), add_special_tokens=False)["input_ids"]) + 3
    policy = load_policy(str(student(tmp_path, context=room)), CPU)
    answer = policy.rewrite(ASKED[:1])[0][0]
    assert answer.tokens <= 3


def test_a_tokenizer_without_template_gets_the_plain_one(tmp_path):
    policy = load_policy(str(student(tmp_path, template=None)), CPU)
    text = render(policy.tokenizer, ASKED[2])
    assert policy.tokenizer.chat_template == DEFAULT_TEMPLATE
    assert text.startswith(f"{SYSTEM}\n\n### User:\nPrompt: a cat\nInstruction: make it red")
    assert text.endswith("### User:\nInstruction: add a car\n\n### Assistant:\n")
    assert turn_texts(policy.tokenizer, ASKED[2], "a red car") == (text, "a red car</s>")
    assert policy.rewrite(ASKED)


def test_a_template_without_system_role_gets_the_system_text_in_the_first_question(tmp_path):
    policy = load_policy(str(student(tmp_path, template=NO_SYSTEM)), CPU)
    text = render(policy.tokenizer, ASKED[0])
    assert f"<|user|>{SYSTEM}\n\nPrompt: a cat\nInstruction: make it night</s>" in text
    assert policy.rewrite(ASKED)


@pytest.mark.parametrize("what", ["refuses", "drops"])
def test_what_is_saved_takes_the_system_text_in_any_program(tmp_path, what):
    dropping = NO_SYSTEM.replace("{{ raise_exception('no system role') }}", "")
    assert dropping != NO_SYSTEM
    folder = student(tmp_path, template=NO_SYSTEM if what == "refuses" else dropping)
    ours = load_policy(str(folder), CPU).tokenizer
    ours.save_pretrained(tmp_path / "saved")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "saved")
    for messages in ASKED:
        text = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert text == render(ours, messages)
        assert text.count(SYSTEM) == 1
    again = load_policy(str(folder), CPU).tokenizer
    assert again.chat_template == ours.chat_template, "folded twice"


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    folder = student(tmp_path)
    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values()))[0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="no numbers"):
        load_policy(str(folder), CPU)


def test_a_template_that_hides_answers_is_refused(tmp_path):
    hiding = "{{ messages[0]['content'] }}{% if add_generation_prompt %}think{% endif %}"
    with pytest.raises(ModelError, match="differently"):
        load_policy(str(student(tmp_path, template=hiding)), CPU)


def test_a_template_that_fails_is_refused(tmp_path):
    with pytest.raises(ModelError, match="chat template"):
        load_policy(str(student(tmp_path, template="{{ raise_exception('never') }}")), CPU)


def damaged(folder, tmp_path):
    copy = tmp_path / "damaged"
    shutil.copytree(folder, copy)
    return copy


def test_a_truncated_checkpoint_is_named(folder, tmp_path):
    copy = damaged(folder, tmp_path)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_policy(str(copy), CPU)


def test_a_checkpoint_that_lacks_tensors_is_not_filled_with_random_ones(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = damaged(folder, tmp_path)
    state = load_file(copy / "model.safetensors")
    lost = next(name for name in state if "layers.1" in name)
    del state[lost]
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"layers\.1"):
        load_policy(str(copy), CPU)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(folder, tmp_path):
    copy = damaged(folder, tmp_path)
    words = tokenizer()
    words.add_tokens([f"<extra{i}>" for i in range(9)])
    words.save_pretrained(copy)
    with pytest.raises(ModelError, match="does not fit its model"):
        load_policy(str(copy), CPU)


def test_a_tokenizer_without_the_models_end_token_is_refused(tmp_path):
    with pytest.raises(ModelError, match="ends an answer with token 5000"):
        load_policy(str(student(tmp_path, vocab_size=6000, eos_token_id=5000)), CPU)


def test_pickles_are_refused_with_the_reason(folder, tmp_path):
    copy = damaged(folder, tmp_path)
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match="runs whatever code is in it"):
        load_policy(str(copy), CPU)


def test_an_adapter_alone_is_refused(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="adapter without its base"):
        load_policy(str(tmp_path), CPU)


def test_a_folder_that_does_not_exist_is_named():
    with pytest.raises(ModelError, match="no/such/student"):
        load_policy("no/such/student", CPU)
