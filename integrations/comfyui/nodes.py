"""The node "DiffChat Rewrite": prompt and instruction in, new prompt out, as a STRING.

It asks an OpenAI-compatible endpoint (`vllm serve …`), or, with the endpoint left empty and
DiffChat installed in ComfyUI's Python, a local model.  The endpoint needs nothing but the standard
library, so the folder works by itself; where DiffChat is installed, its protection of weights,
BREAK, LoRA tags and quoted text is applied as well.

Conventions: https://docs.comfy.org/custom-nodes/backend/server_overview
"""

import json
import os
import urllib.error
import urllib.request

SYSTEM = "You rewrite prompts for text-to-image models."  # as in schemas/chat.py; a test compares
MAX_BYTES = 1 << 20


class DiffChatRewrite:
    """Rewrites a prompt as an instruction asks."""

    CATEGORY = "conditioning/diffchat"
    DESCRIPTION = "Rewrites a prompt as the instruction asks, for a text encoder behind it."
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("prompt",)
    OUTPUT_TOOLTIPS = ("The rewritten prompt.",)
    FUNCTION = "rewrite"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "prompt": ("STRING", {"multiline": True, "dynamicPrompts": False,
                                      "tooltip": "The prompt as it is."}),
                "instruction": ("STRING", {"multiline": True, "dynamicPrompts": False,
                                           "default": "make it look better",
                                           "tooltip": "What to change, in plain words."}),
                "endpoint": ("STRING", {"default": "http://127.0.0.1:8000/v1",
                                        "tooltip": "OpenAI-compatible; empty: a local model."}),
                "model": ("STRING", {"default": "diffchat",
                                     "tooltip": "Name at the endpoint, or a local model."}),
            },
            "optional": {
                "timeout_s": ("FLOAT", {"default": 60.0, "min": 1.0, "max": 600.0}),
            },
        }  # fmt: skip

    @classmethod
    def VALIDATE_INPUTS(cls, endpoint):
        if endpoint and not endpoint.startswith(("http://", "https://")):
            return f"endpoint {endpoint!r}: write it as http://host:port/v1, or leave it empty."
        return True

    def rewrite(self, prompt, instruction, endpoint, model, timeout_s=60.0):
        """A tuple of one STRING, as ComfyUI wants it.  Raises RuntimeError, shown on the node."""
        if not prompt.strip():
            raise RuntimeError("DiffChat: the prompt is empty.")
        try:
            from app.rewrite import rewrite_with
        except ImportError:
            rewrite_with = None
        if rewrite_with:
            return (rewrite_with(prompt, instruction, endpoint.strip() or None, model, timeout_s),)
        if not endpoint.strip():
            raise RuntimeError(
                "DiffChat: a local model needs DiffChat in ComfyUI's Python (pip install -e …); "
                "or give an endpoint."
            )
        return (ask(prompt, instruction, endpoint.strip(), model, timeout_s),)


def ask(prompt, instruction, endpoint, model, timeout_s):
    """One chat completion by the standard library alone.  Raises RuntimeError that says what."""
    url = endpoint.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"Prompt: {prompt}\nInstruction: {instruction}"},
    ]
    body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 256}
    headers = {"Content-Type": "application/json"}
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            answer = json.loads(response.read(MAX_BYTES))
        text = " ".join(answer["choices"][0]["message"]["content"].split())
    except urllib.error.HTTPError as error:
        said = error.read(300).decode("utf-8", "replace")
        raise RuntimeError(f"DiffChat: {url} answered {error.code}: {said}") from None
    except (OSError, ValueError) as error:
        raise RuntimeError(f"DiffChat: {url} cannot be used ({error}): does it run?") from None
    except (KeyError, IndexError, TypeError, AttributeError):
        raise RuntimeError(f"DiffChat: {url} did not answer with a chat completion.") from None
    if not text:
        raise RuntimeError("DiffChat: the model answered with nothing: say it in other words.")
    return text


NODE_CLASS_MAPPINGS = {"DiffChatRewrite": DiffChatRewrite}
NODE_DISPLAY_NAME_MAPPINGS = {"DiffChatRewrite": "DiffChat Rewrite"}
