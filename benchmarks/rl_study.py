"""Ablations of the RL method: the same budget of pictures for every arm, several training seeds.

    make rl-study         # or: python -m benchmarks.rl_study --seeds 5 --steps 125 --best-of 4

Method: every arm starts from one SFT model (`--parent`, default the latest) and runs `steps`
rollouts of 32 answers, one picture each (4,000 pictures by default, cache hits counted).  The last
model of each run answers the test split greedily, and once more sampled at temperature 1 ("sampled"
is the reward of that, which is what RL maximises, and "sampled_integrity" its integrity); answers
are rendered and scored on the seeds of `[render]`, and gains are over the raw prompt on the same
seeds.  Requests for beauty alone, where answers differ most, and compound ones, where integrity is
lowest, have tables of all that the split holds.  Intervals are those of the evaluation reports
(`models.evaluation.statistics`): 95%, a bootstrap over raw prompts, with the variance between
training seeds beside it; differences are paired by case.  σ of this reward is measured as by a
training with seed 0, the same for every run; a run of another seed has its own, a little different.
A run is a model version: one that is there is not trained again, so a killed study goes on, and one
with more seeds or arms keeps what is done.  A study that is to go on after another SFT needs its
`--parent` said.

Best-of-n stands in a block of its own, since it spends its budget at inference.  Leaves out what
people think (`diffchat vote`).
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.evaluation.statistics import Estimate, Resampler

if TYPE_CHECKING:
    from models.train.rollout import Question
    from warehouse import Warehouse

NO_ADM = {"rl.adm.positive_share": 0.0, "rl.adm.negative_share": 0.0}
ARMS: dict[str, dict[str, Any]] = {
    "rloo": {"rl.method": "rloo"},
    "grpo": {"rl.method": "grpo"},
    "ppo": NO_ADM | {"rl.integrity_value": False},
    "ppo + positives": {"rl.adm.negative_share": 0.0, "rl.integrity_value": False},
    "ppo + negatives": {"rl.adm.positive_share": 0.0, "rl.integrity_value": False},
    "ppo + adm": {"rl.integrity_value": False},
    "full": {},
    "full, no integrity in reward": {"rl.reward.integrity": 0.0},
}
MEASURES = ("aesthetics", "preference", "held_out")
COLUMNS = ("reward", "integrity", *MEASURES, "tokens", "sampled", "sampled_integrity")
PAIRS = (("full", "full, no integrity in reward"), ("full", "ppo + adm"))
COMPARED = ("reward", "sampled", "integrity", "sampled_integrity", "held_out")
APART = {"beautify": "Asked for beauty alone", "compound": "Asked for several edits"}
RESAMPLES = 2_000
Results = dict[str, list[np.ndarray]]  # arm → a (cases, COLUMNS) array for each training seed


def main() -> None:
    """Train what is missing, measure, print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=125)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--parent", help="id of the model to start from (default: the latest SFT)")
    parser.add_argument("--profile", default="embedded")
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--best-of", type=int, help="also: best of N samples of the parent")
    arguments = parser.parse_args()
    study = Study(arguments)
    results: Results = {"sft": [study.measure(study.parent)]} | {a: [] for a in arguments.arms}
    for seed in range(arguments.seeds):
        for arm in arguments.arms:
            print(f"{arm}, seed {seed}", file=sys.stderr, flush=True)
            results[arm].append(study.measure(study.train(arm, seed)))
        print(report(results, study), flush=True)
    if arguments.best_of:
        name = f"best of {arguments.best_of}"
        its = {"sft": results["sft"], name: [study.best_of(arguments.best_of)]}
        resampler = study.resampler(np.ones(len(study.questions), bool))
        print(means(its, resampler), differences(its, resampler), sep="\n\n")


class Study:
    """The cases, the judge and the parent of one study."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from models.tis import load_token_counter
        from models.train.data import turns_before
        from models.train.questions import questions_of
        from models.train.reward import Reward
        from schemas.settings import home, load_settings
        from tasks.judging import Judge
        from tasks.model_versions import resolve_model
        from tasks.plan import new_run, plan_of
        from tasks.training_data import training_data
        from warehouse import Warehouse

        self.arguments, self.home = arguments, home()
        self.settings = load_settings(arguments.profile)
        self.run = new_run(self.settings, self.home)
        self.plan = plan_of(self.settings)
        self.lake = Warehouse.open(self.settings.warehouse, self.home)
        parent = arguments.parent or latest_sft(self.lake)
        self.parent = resolve_model(self.lake, self.home, parent, self.settings.student).folder
        data = training_data(self.lake, self.settings.rl, "rl")
        rows = [row for b in data.batches("test", None) for row in b.to_pylist()]
        parents = data.parents()
        self.questions = cases_of(questions_of(rows, parents), arguments.cases)
        roots = {row["triple_id"]: turns_before(row, parents)[0] for row in rows}
        self.roots = np.array([roots[question.question_id] for question in self.questions])
        self.judge = Judge(self.lake, self.plan, self.settings.render.seeds, MEASURES)
        pair = Judge(self.lake, self.plan, self.settings.render.seeds, MEASURES[:2])
        assert self.plan.tis is not None
        self.count, budget = load_token_counter(self.settings.tis), self.plan.tis.token_budget
        train = (row for b in data.batches("train", None) for row in b.to_pylist())
        scales = self._scales(questions_of(train, parents), budget)
        self.reward = Reward(self.settings.rl.reward, pair, self.count, budget, scales)

    def _scales(self, questions: list["Question"], budget: int) -> tuple[float, float] | None:
        """σ of the reward, as a training from the parent measures it before its first step."""
        from models.train.experience import calibrate
        from models.train.policy import load_policy
        from models.train.questions import fitting
        from models.train.reward import Reward
        from tasks.judging import Judge

        rl, longest = self.settings.rl, self.settings.student.max_new_tokens
        policy = load_policy(str(self.parent), self.settings.student)
        asked = fitting(questions, policy, longest, self.count, budget).questions
        judge = Judge(self.lake, self.plan, rl.reward.seeds, MEASURES[:2])
        reward = Reward(rl.reward, judge, self.count, budget)
        calibrate(policy, asked, reward, rl, longest)
        return reward.scales

    def resampler(self, cases: np.ndarray) -> Resampler:
        """Of the cases (a mask): those of one raw prompt are drawn together."""
        return Resampler(self.roots[cases].tolist(), RESAMPLES, 0, 0.95)

    def train(self, arm: str, seed: int) -> Path:
        """The folder of the arm's model, trained now if it is not there."""
        from schemas.settings import load_settings
        from tasks.model_versions import resolve_model
        from tasks.plan import new_run
        from tasks.training import reinforce

        changes = {"rl.steps": self.arguments.steps, "rl.seed": seed, **ARMS[arm]}
        run = new_run(load_settings(self.arguments.profile, changes), self.home)
        result = reinforce.fn(run, str(self.parent))
        return resolve_model(self.lake, self.home, result["model_id"]).folder

    def measure(self, folder: Path) -> np.ndarray:
        """(cases, COLUMNS) of a model's answers, measured once."""
        kept = self.home / "studies" / f"{self._measured_as(folder)}.npy"
        if kept.exists():
            return np.load(kept)
        found = self._measured(folder)
        kept.parent.mkdir(exist_ok=True)
        with kept.with_suffix(".draft").open("wb") as draft:
            np.save(draft, found)
        kept.with_suffix(".draft").replace(kept)
        return found

    def _measured_as(self, folder: Path) -> str:
        from models.train.policy import student_hash
        from schemas.identity import content_id

        assert self.plan.tis is not None
        return content_id(
            "rl-study", COLUMNS, self.settings.rl.reward.model_dump(), self.reward.scales,
            student_hash(folder), [question.question_id for question in self.questions],
            self.plan.tis.tis_id, [scorer.scorer_id for scorer in self.plan.scorers],
            list(self.settings.render.seeds),
        )  # fmt: skip

    def _measured(self, folder: Path) -> np.ndarray:
        from models.train.policy import load_policy

        policy = load_policy(str(folder), self.settings.student)
        asked = [list(q.messages) for q in self.questions]
        greedy = self._figures([answer.prompt for (answer,) in policy.rewrite(asked)])
        drawn = policy.rewrite(asked, n=1, temperature=1.0)
        sampled = self.reward(self.questions, [answer.prompt for (answer,) in drawn])
        return np.hstack([greedy, [[row.total, row.integrity] for row in sampled]])

    def best_of(self, n: int) -> np.ndarray:
        """The same of the parent's best of `n` samples by the reward."""
        from models.train.policy import load_policy

        policy = load_policy(str(self.parent), self.settings.student)
        answers = policy.rewrite([list(q.messages) for q in self.questions], n=n, temperature=1.0)
        texts = [row.prompt for drawn in answers for row in drawn]
        asked = [question for question in self.questions for _ in range(n)]
        totals = np.array([row.total for row in self.reward(asked, texts)]).reshape(-1, n)
        best = [answers[i][k].prompt for i, k in enumerate(totals.argmax(axis=1))]
        return np.pad(self._figures(best), ((0, 0), (0, 2)), constant_values=np.nan)

    def _figures(self, texts: list[str]) -> np.ndarray:
        """(cases, COLUMNS) of one answer a case, but for the sampled ones."""
        scored = self.reward(self.questions, texts)
        fits = [not row.too_long for row in scored]
        pairs = [
            (text if ok else q.raw_prompt, q.intent)
            for text, q, ok in zip(texts, self.questions, fits, strict=True)
        ]
        ours = self.judge(pairs)
        raw = self.judge([(q.raw_prompt, q.intent) for q in self.questions])
        head = [(row.total, row.integrity) for row in scored]
        return np.hstack([head, ours - raw, [[row.tokens] for row in scored]])


def cases_of(questions: list["Question"], count: int) -> list["Question"]:
    """The first `count`, and after them all others of the kinds that have a table of their own."""
    return questions[:count] + [q for q in questions[count:] if q.edit_kind in APART]


def latest_sft(lake: "Warehouse") -> str:
    """Id of the newest model of an SFT; a study's own models are newer and no parents."""
    from schemas.errors import ModelError

    rows = lake.query(
        "SELECT model_id FROM model_versions WHERE method = 'sft' AND status = 'ok' "
        "ORDER BY trained_at DESC LIMIT 1"
    ).to_pylist()
    if not rows:
        raise ModelError("There is no model to start from: run `diffchat sft` first.")
    return rows[0]["model_id"]


def report(results: Results, study: "Study") -> str:
    """All tables, of the runs there are by now."""
    kinds = np.array([question.edit_kind for question in study.questions])
    groups = {"Test split": np.arange(len(kinds)) < study.arguments.cases}
    groups |= {title: kinds == kind for kind, title in APART.items()}
    groups["Asked for one change"] = groups["Test split"] & ~np.isin(kinds, list(APART))
    parts = []
    for title, cases in groups.items():
        its, resampler = only(results, cases), study.resampler(cases)
        parts += [f"## {title}, {cases.sum()} cases", means(its, resampler)]
        parts += [differences(its, resampler)]
        parts += [by_seed(its), pairs(its, resampler)] if title == "Test split" else []
    return "\n\n".join(parts) + "\n"


def only(results: Results, cases: np.ndarray) -> Results:
    """The same of some cases."""
    return {arm: [run[cases] for run in runs] for arm, runs in results.items()}


def means(results: Results, resampler: Resampler) -> str:
    """Means with intervals, a row an arm."""
    lines = _head("arm", "seeds", *COLUMNS)
    for arm, runs in results.items():
        cells = _cells(resampler.estimate(np.stack(runs)))
        lines.append(f"| {arm} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def differences(results: Results, resampler: Resampler) -> str:
    """Reward, integrity and held-out score less those of SFT and of PPO without its additions."""
    others = [arm for arm in ("sft", "ppo") if arm in results]
    lines = _head("arm", *(f"{name} − {other}" for other in others for name in COMPARED))
    for arm in results:
        if arm == "sft":
            continue
        cells = []
        for other in others:
            itself = arm == other
            cells += [""] * len(COMPARED) if itself else _difference(results, arm, other, resampler)
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def by_seed(results: Results) -> str:
    """Reward of greedy answers, a column a training seed."""
    longest = max(map(len, results.values()))
    lines = _head("reward", *(f"seed {seed}" for seed in range(longest)))
    for arm, runs in results.items():
        cells = [f"{run[:, 0].mean():+.3f}" for run in runs] + [""] * (longest - len(runs))
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def pairs(results: Results, resampler: Resampler) -> str:
    """`PAIRS`: what one part of the method does beside all others."""
    lines = _head("", *COMPARED)
    for ours, theirs in PAIRS:
        if ours in results and theirs in results:
            cells = _difference(results, ours, theirs, resampler)
            lines.append(f"| {ours} − {theirs} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _head(*names: str) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]


def _difference(results: Results, ours: str, theirs: str, resampler: Resampler) -> list[str]:
    columns = [COLUMNS.index(name) for name in COMPARED]
    sides = [np.stack(results[arm])[:, :, columns] for arm in (ours, theirs)]
    return _cells(resampler.estimate(*sides))


def _cells(found: Estimate) -> list[str]:
    """Mean and interval of each column, nothing for one without values."""
    return [
        "" if np.isnan(mean) else f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
        for mean, low, high in zip(found.mean, found.low, found.high, strict=True)
    ]


if __name__ == "__main__":
    main()
