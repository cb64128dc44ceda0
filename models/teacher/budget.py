"""A cap on tokens and money that cannot be overrun: reserve before sending, settle afterwards.

A call reserves the most it can cost.  Where that does not fit any more, it waits for others to
come back cheaper than feared; where none is under way, the budget is spent.
"""

from dataclasses import dataclass

from schemas.settings import Price, TeacherSettings

CHARACTERS_A_TOKEN = 3.0  # English has about 4; fewer, so that the guess is too high, not too low


@dataclass
class Budget:
    """Tokens (prompt and completion together) and US dollars; None is no cap."""

    price: Price
    max_tokens: int | None = None
    max_usd: float | None = None
    tokens: int = 0  # spent so far, earlier shards of the build included
    usd: float = 0.0
    reserved_tokens: int = 0
    reserved_usd: float = 0.0

    @classmethod
    def of(cls, settings: TeacherSettings, tokens: int = 0, usd: float = 0.0) -> "Budget":
        """The cap of the settings, of which `tokens` and `usd` are spent."""
        return cls(settings.price, settings.max_tokens, settings.max_usd, tokens, usd)

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars of a call; prices are for a million tokens."""
        price = self.price
        return (prompt_tokens * price.prompt + completion_tokens * price.completion) / 1e6

    def reserve(self, prompt_tokens: int, completion_tokens: int) -> bool:
        """Set aside the most that a call can cost; False if it does not fit."""
        tokens, usd = prompt_tokens + completion_tokens, self.cost(prompt_tokens, completion_tokens)
        planned_tokens = self.tokens + self.reserved_tokens + tokens
        planned_usd = self.usd + self.reserved_usd + usd
        if self.max_tokens is not None and planned_tokens > self.max_tokens:
            return False
        if self.max_usd is not None and planned_usd > self.max_usd:
            return False
        self.reserved_tokens += tokens
        self.reserved_usd += usd
        return True

    def settle(
        self, reserved: tuple[int, int], prompt_tokens: int, completion_tokens: int
    ) -> float:
        """Give back what was reserved, book what was used; returns its cost in US dollars."""
        self.reserved_tokens -= sum(reserved)
        self.reserved_usd -= self.cost(*reserved)
        cost = self.cost(prompt_tokens, completion_tokens)
        self.tokens += prompt_tokens + completion_tokens
        self.usd += cost
        return cost


def guess_tokens(size: int) -> int:
    """Tokens of a text of so many characters (or bytes), rather too many than too few."""
    return int(size / CHARACTERS_A_TOKEN) + 1
