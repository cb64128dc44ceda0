"""A vision-language model behind an OpenAI-compatible endpoint as judge.

One request a picture (the picture as a PNG data URL), many at a time over one aiohttp session: the
plain HTTP client costs a fraction of a millisecond where the openai client costs three.  The
answer is JSON, `{"score": 0 … 100}`; an answer that cannot be read, or an endpoint that stays
overloaded, is NaN.  The key is read from the environment when asked and is in no message.

Left out: caching (scores are stored by the warehouse) and a budget (one short answer a picture).
"""

import asyncio
import base64
import io
import json
import logging
import os
import random
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from models.scorers.base import Scorer, ScorerIdentity
from models.scorers.registry import Checkpoint
from schemas.errors import ModelError, SettingsError
from schemas.settings import ScorerSettings

LOG = logging.getLogger(__name__)
ATTEMPTS = 4
RETRY = {408, 409, 425, 429, 500, 502, 503, 504, 529}
QUESTION = (
    "You judge a picture against a description. Say how well the picture shows what is described "
    "and how good it looks, as one number from 0 (wrong or ugly) to 100 (all of it, beautifully). "
    'Answer with JSON only: {{"score": <number>}}.\nDescription: {}'
)


class VlmJudge(Scorer):
    """The judge's score, 0 to 100."""

    def __init__(self, settings: ScorerSettings, identity: ScorerIdentity, found: Checkpoint):
        super().__init__(settings, identity)
        if not settings.base_url:
            raise SettingsError(
                "Scorer vlm_judge needs base_url, such as https://api.openai.com/v1, and model, "
                "the name of a vision model that is served there."
            )
        self.url = settings.base_url.rstrip("/") + "/chat/completions"

    def score_batch(self, images: list[Image.Image], intents: list[str]) -> np.ndarray:
        # A thread of its own: the caller may already be inside an event loop.
        with ThreadPoolExecutor(1) as pool:
            answers = pool.submit(asyncio.run, self._ask_all(images, intents)).result()
        return np.array(answers, np.float64)

    async def _ask_all(self, images: list[Image.Image], intents: list[str]) -> list[float]:
        import aiohttp

        key = os.environ.get(self.settings.api_key_env, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = aiohttp.ClientTimeout(total=self.settings.timeout_s)
        gate = asyncio.Semaphore(self.settings.concurrency)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:

            async def ask(image: Image.Image, intent: str) -> float:
                async with gate:
                    return await self._ask(session, request_body(self.settings, image, intent))

            return await asyncio.gather(*map(ask, images, intents))

    async def _ask(self, session: Any, body: bytes) -> float:
        import aiohttp

        said = ""
        for attempt in range(ATTEMPTS):
            wait = 2.0**attempt * random.uniform(0.25, 0.75)
            try:
                async with session.post(
                    self.url, data=body, headers={"Content-Type": "application/json"}
                ) as response:
                    text = await response.text()
                    if response.status == 200:
                        return read_score(text)
                    said = f"status {response.status}"
                    if response.status not in RETRY:
                        raise ModelError(
                            f"The judge at {self.url} refuses: {said}: {text[:200]!r}. Check "
                            f"base_url, the model {self.settings.model!r} and the key in the "
                            f"variable {self.settings.api_key_env}."
                        )
                    wait = retry_after(response.headers, wait)
            except aiohttp.ClientConnectorError as error:
                said = str(error)
                if attempt == ATTEMPTS - 1:
                    raise ModelError(
                        f"The judge at {self.url} cannot be reached: {error}"
                    ) from error
            except (TimeoutError, aiohttp.ClientError) as error:
                said = type(error).__name__
            await asyncio.sleep(wait)
        LOG.warning("The judge gave no answer after %d attempts: %s", ATTEMPTS, said)
        return float("nan")


def request_body(settings: ScorerSettings, image: Image.Image, intent: str) -> bytes:
    """The chat completion request for one picture, as JSON bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    picture = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    content = [
        {"type": "text", "text": QUESTION.format(intent)},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    body = {
        "model": settings.model,
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        "max_tokens": 50,
    }
    return json.dumps(body).encode()


def read_score(text: str) -> float:
    """The score in an answer's body, NaN if there is no number from 0 to 100 in it."""
    try:
        answer = json.loads(text)["choices"][0]["message"]["content"]
        found = re.search(r'"score"\s*:\s*(-?\d+(?:\.\d+)?)', answer)
        score = float(found[1]) if found else float(answer.strip())
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return float("nan")
    return score if 0 <= score <= 100 else float("nan")


def retry_after(headers: Any, otherwise: float) -> float:
    """Seconds that the server asks to wait (at most a minute), else `otherwise`."""
    try:
        return min(60.0, max(0.0, float(headers["Retry-After"])))
    except (KeyError, ValueError):
        return otherwise
