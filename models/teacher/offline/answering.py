"""From a chat completion's request body to its response body: the protocol, without HTTP.

Reads the subject prompt, the kinds and the vocabulary hints out of the messages, asks the editor,
and says the answer as OpenAI's API does, with usage counts.  The same body always gets the same
answer; another temperature, seed or sample in the body gives another.  Leaves out streaming and
tools.
"""

import json
import random
import re
from collections.abc import Mapping
from typing import Any

from models.teacher.offline.draft import Proposal
from models.teacher.offline.editor import BUDGET, beautify_pair, propose
from schemas.identity import content_id
from schemas.units import EditKind

MODEL = "offline-editor"
DEFAULT_KINDS = 3  # proposals where the request names no kinds
_HINTS = re.compile(r"draws these words best[^\n]*\n(.*)", re.DOTALL)
_HINT = re.compile(r"^[-*\s]*([A-Za-z][\w -]{1,30}):\s*(.+)$", re.MULTILINE)
_REFUSED = re.compile(
    r"\b(?:child(?:ren)?|kids?|minors?|toddlers?|infants?|underage|little (?:girl|boy)s?|lolis?|"
    r"shotas?|preteens?)\b[^.]{0,60}\b(?:nude|naked|sex(?:ual|y)?|porn\w*|erotic\w*|topless|"
    r"undress\w*)\b|\b(?:nude|naked|sexual|sexy|porn\w*|erotic|topless)\b[^.]{0,40}\b(?:child(?:ren)?|"
    r"kids?|minors?|toddlers?|underage|little (?:girl|boy)s?|lolis?)\b|\bchild porn\w*",
    re.IGNORECASE,
)


class BadRequest(ValueError):
    """The body is no chat completion this server can answer; `param` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def complete(body: Any) -> dict[str, Any]:
    """The response body of a chat completion.  Raises BadRequest; never on what a prompt says."""
    messages = _messages(body)
    if body.get("stream"):
        raise BadRequest("This server does not stream; send stream=false.", "stream")
    number = body.get("n") or 1
    if not isinstance(number, int) or not 1 <= number <= 16:
        raise BadRequest(f"n must be 1 to 16, not {number!r}.", "n")
    seed = content_id("answer", _printable(body))
    choices, tokens = [], 0
    for index in range(number):
        choice = _choice(messages, f"{seed}/{index}", body)
        tokens += choice.pop("tokens")
        choices.append(choice | {"index": index})
    prompt_tokens = sum(_tokens(_text(message)) + 4 for message in messages) + 3
    return {
        "id": f"chatcmpl-{seed}",
        "object": "chat.completion",
        "created": 0,  # no clock: the same body gets the same answer, letter by letter
        "model": str(body.get("model") or MODEL),
        "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": prompt_tokens + tokens,
        },
    }


def _printable(body: Mapping[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, ensure_ascii=True)


def _messages(body: Any) -> list[dict[str, Any]]:
    if not isinstance(body, dict):
        raise BadRequest(f"The body must be a JSON object, not {type(body).__name__}.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list with at least one message.", "messages")
    for message in messages:
        if not isinstance(message, dict) or "role" not in message:
            raise BadRequest("Each message needs a role and content.", "messages")
    if not any(message["role"] == "user" for message in messages):
        raise BadRequest("There is no message of the user.", "messages")
    return messages


def _text(message: Mapping[str, Any]) -> str:
    """The content of a message, of parts too."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _tokens(text: str) -> int:
    """About what a language model's tokenizer counts: four characters a token."""
    return -(-len(text) // 4)


def _choice(messages: list[dict[str, Any]], seed: str, body: Mapping[str, Any]) -> dict[str, Any]:
    asked = _asked(messages)
    subject = str(asked.get("prompt") or "")
    if _REFUSED.search(subject):
        refusal = "I can't help with prompts about this."
        message = {"role": "assistant", "content": None, "refusal": refusal}
        return {"message": message, "finish_reason": "stop", "tokens": _tokens(refusal)}
    proposals = _proposals(asked, hints_of(messages), seed, _allowed(body))
    text = json.dumps({"proposals": [answer_of(p) for p in proposals]}, ensure_ascii=False)
    text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates are no UTF-8
    tokens, reason = _tokens(text), "stop"
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if isinstance(limit, int) and 0 < limit < tokens:
        text, tokens, reason = text[: 4 * limit], limit, "length"
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"message": message, "finish_reason": reason, "tokens": tokens}


def _asked(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What the last message of the user asks: its JSON object, or its text as the prompt."""
    text = next(_text(m) for m in reversed(messages) if m["role"] == "user")
    try:
        asked = json.loads(text)
    except ValueError:
        asked = None
    return asked if isinstance(asked, dict) and "prompt" in asked else {"prompt": text}


def hints_of(messages: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Vocabulary hints of the system message: lines "name: word, word" behind its last sentence."""
    hints: dict[str, list[str]] = {}
    for message in messages:
        if message["role"] not in ("system", "developer"):
            continue
        if found := _HINTS.search(_text(message)):
            for name, words in _HINT.findall(found.group(1)):
                hints[name] = [word.strip() for word in words.split(",") if word.strip()]
    return hints


def _allowed(body: Mapping[str, Any]) -> list[EditKind]:
    """The kinds that the answer's schema lets through; all of them if it names none."""
    try:
        schema = body["response_format"]["json_schema"]["schema"]
        named = schema["properties"]["proposals"]["items"]["properties"]["kind"]["enum"]
        return [EditKind(kind) for kind in named]
    except (KeyError, TypeError, ValueError):
        return list(EditKind)


def _proposals(
    asked: Mapping[str, Any],
    hints: Mapping[str, list[str]],
    seed: str,
    allowed: list[EditKind],
) -> list[Proposal]:
    prompt = str(asked["prompt"])
    limit = asked.get("token_budget") or asked.get("max_tokens")
    budget = limit if isinstance(limit, int) and limit > 0 else BUDGET
    target = asked.get("target_prompt")
    if isinstance(target, str) and target and "kinds" not in asked:
        instruction = str(asked.get("instruction") or "")
        return [beautify_pair(prompt, instruction, target, seed, hints, budget)]
    return propose(prompt, _kinds(asked.get("kinds"), seed), seed, hints, budget, allowed)


def _kinds(named: Any, seed: str) -> list[EditKind]:
    if named is None:
        single = [kind for kind in EditKind if kind is not EditKind.FOLLOW_UP]
        return random.Random(seed).sample(single, DEFAULT_KINDS)
    if not isinstance(named, list):
        raise BadRequest(f"kinds must be a list, not {named!r}.", "messages")
    try:
        return [EditKind(kind) for kind in named[:64]]
    except ValueError as error:
        known = ", ".join(EditKind)
        raise BadRequest(f"{error}. Known kinds: {known}.", "messages") from None


def answer_of(proposal: Proposal) -> dict[str, Any]:
    """A proposal in the shape of `models.teacher.answer`."""
    pair = {} if proposal.raw_prompt is None else {"raw_prompt": proposal.raw_prompt}
    roles: dict[str, list[str]] = {"keep": [], "add": [], "remove": []}
    for unit in proposal.units:
        roles[unit.role].append(unit.text)
    return {
        "kind": str(proposal.kind),
        "instruction": proposal.instruction,
        "target_prompt": proposal.target_prompt,
        "intent": proposal.intent,
        **pair,
        **roles,
    }
