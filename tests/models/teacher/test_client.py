"""Asking over real HTTP: whatever the endpoint does, the run ends and each attempt is a row."""

import asyncio
import itertools
import logging
import random
import time

import pytest

from models.teacher.client import HOPELESS, ask
from schemas.errors import TeacherError
from schemas.records import TEACHER_CALLS
from schemas.settings import TeacherSettings
from tests.models.teacher.conftest import KEY, request_for
from tests.models.teacher.faulty_server import proposal

TRANSIENT = ("429", "500", "503", "hang", "drop", "half_body", "html")
FINAL = {
    "cut": "schema",
    "truncated": "schema",
    "wrong": "schema",
    "none": "schema",
    "surrogate": "schema",
    "empty": "schema",
    "null": "schema",
    "million": "schema",
    "refusal": "refusal",
    "filter": "refusal",
}


async def test_good_answers_are_rows_of_the_record(ask_server):
    asked = await ask_server(["a cat", "a dog"])
    assert asked.summary.ok == 2
    for row in asked.rows:
        assert set(row) <= set(TEACHER_CALLS.names)
        assert (row["status"], row["error"], row["attempt"]) == ("ok", None, 1)
        assert (row["prompt_tokens"], row["completion_tokens"], row["model"]) == (100, 50, "fake")
        assert proposal(row["subject"])["target_prompt"] in row["answer"]
        assert row["latency_ms"] > 0


@pytest.mark.parametrize("fault", TRANSIENT)
async def test_a_transient_error_is_a_row_and_is_repeated(ask_server, fault):
    prompt = f"a cat [{fault}]"
    asked = await ask_server([prompt, "a dog"], timeout_s=0.5)
    assert asked.statuses(prompt) == ["transient", "ok"]
    first, second = asked.of(prompt)
    assert first["error"]
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert first["attempt_id"] != second["attempt_id"]
    assert first["call_id"] == second["call_id"]
    assert asked.summary.ok == 2


@pytest.mark.parametrize("fault", ["429", "500", "drop"])
async def test_transient_errors_end_after_the_attempts_of_a_build(ask_server, server, fault):
    prompt = f"a cat [{fault}*]"
    asked = await ask_server([prompt, "a dog"])
    assert asked.statuses(prompt) == ["transient"] * 3
    assert server.seen[prompt] == 3
    assert (asked.summary.ok, asked.summary.given_up) == (1, 1)


@pytest.mark.parametrize("fault", FINAL)
async def test_refusals_and_schema_errors_are_tried_twice(ask_server, fault):
    once, always = f"a cat [{fault}]", f"a dog [{fault}*]"
    asked = await ask_server([once, always])
    assert asked.statuses(once) == [FINAL[fault], "ok"]
    assert asked.statuses(always) == [FINAL[fault]] * 2
    assert all(row["error"] for row in asked.rows if row["status"] != "ok")


async def test_final_failures_of_earlier_builds_count(ask_server):
    prompt = "a cat [wrong*]"
    asked = await ask_server([prompt, "a dog"], changes={"final_failures": 1, "attempt": 5})
    assert asked.statuses(prompt) == ["schema"]
    assert asked.of(prompt)[0]["attempt"] == 5


async def test_kinds_of_failure_are_counted_apart(ask_server):
    prompt = "a cat [500,wrong,500]"
    asked = await ask_server([prompt])
    assert asked.statuses(prompt) == ["transient", "schema", "transient", "ok"]


async def test_retry_after_delays_only_its_own_request(ask_server, server):
    slow = "a cat [429after,429after,429after,429after]"
    server.latency_s = 0.02
    asked = await ask_server([slow] + [f"dog {i}" for i in range(40)], concurrency=4)
    assert asked.statuses(slow) == ["transient"] * 4 + ["ok"]  # delays are no failures
    times = [row["called_at"] for row in asked.of(slow)]
    gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(times)]
    assert min(gaps) >= 0.3
    before = [row for row in asked.rows if row["called_at"] < times[1] and row["status"] == "ok"]
    assert len(before) > 10
    assert asked.summary.ok == 41


async def test_a_hanging_and_a_dripping_socket_time_out(ask_server):
    began = time.monotonic()
    asked = await ask_server(["a [hang]", "b [drip]", "c"], timeout_s=0.4)
    assert asked.summary.ok == 3
    assert {row["error"] for row in asked.rows if row["error"]} == {"no answer within 0.4 s"}
    assert time.monotonic() - began < 5


async def test_a_million_tokens_are_not_read(ask_server, server):
    asked = await ask_server(["a [million]"], max_completion_tokens=500)
    assert asked.statuses("a [million]") == ["schema", "ok"]
    assert "bytes" in asked.rows[0]["error"]
    assert asked.rows[0]["prompt_tokens"] is None  # nobody knows what was billed
    assert server.bytes_sent < 4_500_000  # of 5,000,000: what fits the sockets' buffers


async def test_a_mixture_of_faults_at_30_percent(ask_server, server):
    rng, faults = random.Random(0), [*TRANSIENT, *FINAL, "429after"]
    prompts = [
        f"prompt {i} [{rng.choice(faults)}]" if rng.random() < 0.3 else f"prompt {i}"
        for i in range(120)
    ]
    # The time limit leaves room for a busy machine: only what hangs may reach it.
    asked = await ask_server(prompts, timeout_s=4, concurrency=32)
    assert asked.summary.ok == 120
    assert asked.summary.given_up == 0
    assert len(asked.rows) == sum(server.seen.values())
    assert len({row["attempt_id"] for row in asked.rows}) == len(asked.rows)
    for prompt in prompts:
        assert asked.statuses(prompt)[-1] == "ok"
    # No more than one failure a fault; a busy machine may add a time-out.
    extra = len(asked.rows) - 120 - sum("[" in prompt for prompt in prompts)
    assert 0 <= extra <= 4, [row["error"] for row in asked.rows if row["error"]]


async def test_overload_is_waited_out(ask_server, server):
    server.capacity, server.latency_s = 4, 0.02
    asked = await ask_server([f"cat {i}" for i in range(60)], concurrency=16, attempts_per_build=99)
    assert asked.summary.ok == 60


async def test_the_key_is_sent_and_shows_nowhere(ask_server, server, caplog):
    caplog.set_level(logging.DEBUG)
    asked = await ask_server(["a [echo]", "b [echo_answer]"])
    assert server.keys == {f"Bearer {KEY}"}
    assert asked.summary.ok == 2
    assert "[key]" in asked.of("a [echo]")[0]["error"]
    assert "[key]" in asked.of("b [echo_answer]")[0]["answer"]
    # Not even the first half of it, where an error was cut.
    assert KEY[:8] not in repr(asked.rows)
    assert KEY[:8] not in caplog.text
    with pytest.raises(TeacherError) as caught:
        await ask_server(["c [echo401*]"])
    assert "[key]" in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY[:8] not in repr(error)
        error = error.__cause__ or error.__context__
    assert KEY[:8] not in caplog.text


@pytest.mark.parametrize(
    ("fault", "said"), [("401", "refuses the key"), ("404", "path or model"), ("quota", "quota")]
)
async def test_an_endpoint_of_no_use_stops_the_run(ask_server, server, fault, said):
    with pytest.raises(TeacherError, match=said) as caught:
        await ask_server([f"cat {i} [{fault}*]" for i in range(200)], concurrency=8)
    rows = caught.value.asked.rows  # type: ignore[attr-defined]
    assert HOPELESS <= len(rows) <= HOPELESS + 8
    assert len(rows) == sum(server.seen.values())
    assert "teacher.base_url" in str(caught.value)


async def test_one_request_is_enough_to_say_that_the_key_is_wrong(ask_server):
    with pytest.raises(TeacherError, match="OPENAI_API_KEY"):
        await ask_server(["a [401*]"])


async def test_an_endpoint_that_is_not_there(unused_tcp_port):
    settings = TeacherSettings(base_url=f"http://127.0.0.1:{unused_tcp_port}/v1")
    rows = []
    with pytest.raises(TeacherError, match="cannot be reached"):
        await ask([request_for("a", settings)], settings, rows.append)
    assert [row["status"] for row in rows] == ["transient"] * 3
    assert rows[0]["error"].startswith("connection:")


@pytest.mark.parametrize("url", ["ftp://x/v1", "localhost:8000", "http://"])
async def test_what_is_no_address(url):
    settings = TeacherSettings(base_url=url)
    with pytest.raises(TeacherError, match="https://host/v1"):
        await ask([request_for("a", settings)], settings, print)


async def test_a_key_that_is_missing_or_broken(monkeypatch):
    settings = TeacherSettings(base_url="https://api.example.com/v1")
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(TeacherError, match="set the variable OPENAI_API_KEY"):
        await ask([request_for("a", settings)], settings, print)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-häßlich\nx")
    with pytest.raises(TeacherError) as caught:
        await ask([request_for("a", settings)], settings, print)
    assert "häßlich" not in str(caught.value)


async def test_a_row_that_cannot_be_kept_stops_the_run(server):
    """A full disk: nothing more may be bought."""
    settings = TeacherSettings(base_url=server.base_url, concurrency=4)
    kept = []

    def full(row):
        if len(kept) == 10:
            raise OSError(28, "No space left on device")
        kept.append(row)

    with pytest.raises(OSError, match="No space left"):
        await ask([request_for(f"cat {i}", settings) for i in range(100)], settings, full)
    assert sum(server.seen.values()) <= 10 + 4


async def test_cancelling_keeps_what_had_arrived(server):
    server.latency_s = 0.1
    settings = TeacherSettings(base_url=server.base_url, concurrency=5)
    rows, enough = [], asyncio.Event()

    def keep(row):
        rows.append(row)
        if len(rows) == 10:
            enough.set()

    requests = [request_for(f"cat {i}", settings) for i in range(500)]
    task = asyncio.create_task(ask(requests, settings, keep))
    await enough.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sum(server.seen.values()) - len(rows) <= 5


async def test_nothing_to_ask_needs_no_endpoint():
    assert (await ask([], TeacherSettings(), print)).ok == 0
