"""What the bars are told: a stage counts over all its shards, not each shard for itself."""

import pytest

from tasks.progress import begin, listen, stage


@pytest.fixture
def told():
    heard = []
    listen(lambda *words: heard.append(words))
    yield heard
    listen(None)


def test_shards_of_a_stage_add_up_to_the_whole(told):
    begin("render", 5)
    for size in (3, 2):
        with stage("render", size) as advance:
            for _ in range(size):
                advance(1)
    assert told[0] == ("render", 0, 5)
    assert told[-1] == ("render", 5, 5)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_a_stage_begun_again_starts_again(told):
    for total in (2, 4):
        begin("score", total)
        with stage("score", 2) as advance:
            advance(2)
    assert told[-1] == ("score", 2, 4)


def test_a_shard_alone_counts_for_itself(told):
    with stage("render", 3) as advance:
        advance(2)
    assert told[-1] == ("render", 2, 3)
