"""A cap is never overrun, whatever calls turn out to cost, and the run stops cleanly at it."""

from hypothesis import given
from hypothesis import strategies as st

from models.teacher.budget import Budget
from schemas.settings import Price


async def test_the_run_stops_cleanly_at_the_cap_in_tokens(ask_server, server):
    server.latency_s = 0.01
    prompts = [f"cat {i}" for i in range(100)]
    asked = await ask_server(prompts, max_tokens=6_000, max_completion_tokens=400, concurrency=16)
    summary = asked.summary
    assert summary.stopped_by_budget
    assert summary.tokens <= 6_000
    assert summary.ok == len(asked.rows) == sum(server.seen.values())
    assert summary.ok + summary.not_sent == 100
    assert summary.ok >= 25  # 150 tokens each; the last may not fit with their reserve


async def test_the_cap_in_money_counts_what_was_spent_before(ask_server):
    price = Price(prompt=10.0, completion=100.0)  # 0.006 dollars a call
    budget = Budget(price, None, 1.0, usd=0.9)
    prompts = [f"cat {i}" for i in range(100)]
    asked = await ask_server(prompts, budget=budget, price=price, max_completion_tokens=60)
    assert asked.summary.stopped_by_budget
    assert 0.05 < asked.summary.usd <= 0.1
    assert abs(sum(row["cost_usd"] for row in asked.rows) - asked.summary.usd) < 1e-9


async def test_calls_without_a_count_are_guessed_not_free(ask_server, server):
    server.usage = None
    asked = await ask_server([f"cat {i}" for i in range(100)], max_tokens=20_000)
    assert asked.summary.stopped_by_budget
    assert all(row["prompt_tokens"] > 100 for row in asked.rows)


async def test_errors_that_nobody_bills_are_free(ask_server):
    asked = await ask_server(["a [500]", "b [429]"], price=Price(prompt=1.0, completion=1.0))
    free = [row for row in asked.rows if row["status"] == "transient"]
    assert [row["cost_usd"] for row in free] == [0.0, 0.0]


calls = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 500), st.floats(0, 1), st.booleans()),
    max_size=60,
)


@given(calls, st.integers(0, 5_000), st.floats(0, 5_000))
def test_never_more_than_the_cap(calls, max_tokens, max_usd):
    """Calls that cost up to what they reserved, in any order of sending and coming back."""
    budget = Budget(Price(prompt=1e6, completion=2e6), max_tokens, max_usd)
    under_way = []
    for prompt, completion, share, first in calls:
        if budget.reserve(prompt, completion):
            under_way.append((prompt, completion, share))
        if under_way and first:
            prompt, completion, share = under_way.pop(0)
            budget.settle((prompt, completion), prompt, int(completion * share))
        assert budget.tokens + budget.reserved_tokens <= max_tokens
        assert budget.usd + budget.reserved_usd <= max_usd * (1 + 1e-9) + 1e-6
    for prompt, completion, share in under_way:
        budget.settle((prompt, completion), prompt, int(completion * share))
    assert budget.reserved_tokens == 0
    assert budget.tokens <= max_tokens
