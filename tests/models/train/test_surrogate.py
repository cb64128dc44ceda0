"""The stand-in for pictures: it learns what words do together, and says how far it is off."""

import itertools
import random

import numpy as np

from models.train import surrogate as module
from models.train.reward import Reward
from models.train.rollout import Question
from models.train.surrogate import Known, Surrogate, drift, features, fit
from schemas.training import RewardSettings, SurrogateSettings
from schemas.units import Unit

PLACES, WORDS = ("city", "meadow", "desert", "sea"), ("neon", "gold", "fog", "mist", "rain")
SETTINGS = SurrogateSettings(every=3, least_rows=20)


def worth(prompt: str, intent: str) -> tuple[float, float]:
    """Neon helps in the city and hurts elsewhere: no sum over single words says that."""
    neon = 0.0 if "neon" not in prompt else 1.0 if "city" in prompt else -1.0
    return 5 + neon + 0.3 * ("gold" in prompt), float(intent.split()[1] in prompt)


def known(count: int, seed: int = 0) -> Known:
    generator, pairs = random.Random(seed), []
    for _ in range(count):
        place, other = generator.choice(PLACES), generator.choice(PLACES)
        words = generator.sample(WORDS, generator.randint(0, 3))
        pairs.append((", ".join([f"a house in the {place}", *words]), f"A {other} picture."))
    return Known(pairs, np.array([worth(*pair) for pair in pairs]).reshape(-1, 2))


def test_it_learns_what_words_do_together(tmp_path):
    surrogate = Surrogate(SETTINGS, known(400), tmp_path)
    assert surrogate.stands_in(1)
    fresh = known(200, seed=1)
    found = drift(surrogate.predict(fresh.pairs), fresh.scores)
    assert found["surrogate_rank_aesthetics"] > 0.9
    assert found["surrogate_rank_preference"] > 0.6  # 0.75 at most: the truth is a yes or a no
    assert found["surrogate_error_preference"] < 0.2
    alone = ["a house in the city, neon", "a house in the meadow, neon"]
    city, meadow = surrogate.predict([(prompt, "A city picture.") for prompt in alone])
    assert city[0] > meadow[0] + 1


def test_every_third_step_is_rendered_and_so_is_the_calibration(tmp_path):
    surrogate = Surrogate(SETTINGS, known(50), tmp_path)
    assert [surrogate.stands_in(step) for step in (None, 0, 1, 2, 3, 4)] == [
        False, False, True, True, False, True,
    ]  # fmt: skip


def test_with_few_rows_it_never_stands_in_until_there_are_enough(tmp_path):
    surrogate = Surrogate(SETTINGS, known(0), tmp_path)
    assert not surrogate.stands_in(1)
    more = known(30)
    surrogate.learn(1, more.pairs, more.scores)
    assert surrogate.drift == {}, "nothing was expected, so nothing was off"
    assert surrogate.stands_in(2)


def test_new_rows_change_what_it_expects_and_a_resumed_run_expects_the_same(tmp_path):
    surrogate = Surrogate(SETTINGS, known(60), tmp_path)
    ask = known(20, seed=2).pairs
    assert surrogate.stands_in(2)
    before = surrogate.predict(ask)
    seen = known(60, seed=3)
    surrogate.learn(3, seen.pairs, seen.scores + 1)
    assert set(surrogate.drift) == {3}
    assert surrogate.drift[3]["surrogate_error_aesthetics"] > 0.5
    assert surrogate.stands_in(4)
    after = surrogate.predict(ask)
    assert not np.allclose(before, after)

    again = Surrogate(SETTINGS, known(5), tmp_path)  # the warehouse has grown: that must not count
    assert again.stands_in(2), "of before step 3"
    assert np.array_equal(again.predict(ask), before)
    later = Surrogate(SETTINGS, known(5), tmp_path)
    assert later.stands_in(4)
    assert np.array_equal(later.predict(ask), after)


def test_ridge_agrees_with_the_closed_form():
    some = known(80)
    fitted = fit([some], SETTINGS.model_copy(update={"ridge": 0.7}))
    assert fitted is not None
    weights, means = fitted
    used = np.flatnonzero(np.abs(features(some.pairs)).sum(axis=0).A1)
    matrix = features(some.pairs).toarray()[:, used].astype(np.float64)
    wanted = some.scores - some.scores.mean(axis=0)
    exact = np.linalg.solve(matrix.T @ matrix + 0.7 * np.eye(len(used)), matrix.T @ wanted)
    assert np.allclose(means, some.scores.mean(axis=0))
    assert np.allclose(matrix @ weights[used], matrix @ exact, atol=1e-3)


def test_features_are_unit_rows_and_an_empty_prompt_has_one():
    matrix = features([("a red car", "A red car."), ("", "")])
    assert np.allclose(np.sqrt(matrix.multiply(matrix).sum(axis=1)).A1, 1)
    assert matrix.shape == (2, module.BUCKETS)


def test_the_reward_asks_the_judge_only_at_true_steps(tmp_path):
    asked = []

    def judge(pairs):
        asked.append(len(pairs))
        return np.array([worth(*pair) for pair in pairs])

    question = Question(
        "q", "a house in the city", "", "A city picture.", (Unit("add", "neon"),), ()
    )
    reward = Reward(
        RewardSettings(), judge, lambda text: len(text.split()), 40, (1.0, 1.0),
        Surrogate(SETTINGS, known(200), tmp_path),
    )  # fmt: skip
    answers = ["a house in the city, neon", "a house in the city, mist"]
    for step, truly in itertools.product(range(6), [1]):
        good, plain = reward([question] * 2, answers, step)
        assert good.total > plain.total + truly
    assert asked == [4, 4]  # steps 0 and 3: two answers and their raw prompts
