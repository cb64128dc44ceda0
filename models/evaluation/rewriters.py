"""Other people's prompt rewriters: `transformers` causal LMs that know no instructions.

Each has an input format of its own, from its model card; what they are asked is the raw prompt
with the instruction pasted behind it.  Decoding is greedy, where the cards sample or search: the
same weights give the same table.

    promptist        microsoft/Promptist: "{prompt} Rephrase:"
    beautifulprompt  alibaba-pai/pai-bloom-1b1-text2prompt-sd: instruction, input, output
    plain            the prompt is continued (MagicPrompt and the like)
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.device import pick_device, pick_dtype
from models.evaluation.methods import Answer, Answerer, Method, Question, pasted
from models.loading import load_model, load_tokenizer

BATCH = 16
FORMATS = {
    "promptist": "{prompt} Rephrase:",
    "beautifulprompt": (
        "Instruction: Give a simple description of the image to generate a drawing prompt.\n"
        "Input: {prompt}\nOutput:"
    ),
    "plain": "{prompt}",
}


def load_rewriter(method: Method, max_new_tokens: int) -> Answerer:
    """Answers of the checkpoint in `method.folder`.  Raises ModelError if it cannot be loaded."""
    from transformers import AutoModelForCausalLM

    folder, form = Path(str(method.folder)), method.settings.format
    device = pick_device("auto")
    tokenizer: Any = load_tokenizer(folder)
    model = load_model(folder, pick_dtype("auto", device), device, AutoModelForCausalLM)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token

    def answer(questions: Sequence[Question]) -> list[Answer]:
        answers: list[Answer] = []
        for start in range(0, len(questions), BATCH):
            prompts = [pasted(question) for question in questions[start : start + BATCH]]
            answers += _generate(model, tokenizer, form, prompts, max_new_tokens)
        return answers

    return answer


def _generate(model: Any, tokenizer: Any, form: str, prompts: list[str], most: int) -> list[Answer]:
    import torch

    started = time.perf_counter()
    texts = [FORMATS[form].format(prompt=prompt) for prompt in prompts]
    inputs = tokenizer(texts, return_tensors="pt", padding=True).to(model.device)
    with torch.inference_mode():
        made = model.generate(
            **inputs, max_new_tokens=most, do_sample=False, pad_token_id=tokenizer.pad_token_id
        )[:, inputs.input_ids.shape[1] :]
    each = (time.perf_counter() - started) * 1e3 / len(prompts)
    answers = []
    for prompt, ids in zip(prompts, made, strict=True):
        kept = [int(i) for i in ids if int(i) != tokenizer.pad_token_id]
        finished = len(kept) < most or kept[-1] == tokenizer.eos_token_id
        text = tokenizer.decode(kept, skip_special_tokens=True).strip()
        text = (
            f"{prompt}{', ' if text and text[0].isalnum() else ''}{text}"
            if form == "plain"
            else text
        )
        error = None if text else "the rewriter wrote nothing"
        answers.append(Answer(text or None, error, finished, len(kept), each))
    return answers
