"""What an evaluation leaves for people: the report, Prefect artifacts, and a dictionary."""

from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from tasks.artifacts import plain
from tasks.evaluation_plan import EvaluationRun, evaluation_plan, finished, said
from tasks.evaluation_results import Row, write_report
from tasks.plan import lake_of

SUMMARY_KEY = "evaluation-summary"
MEANS_KEY = "evaluation-means"
AGAINST_KEY = "evaluation-against-raw"
REPORT_KEY = "evaluation-report"


@task(name="look", persist_result=False)
def look(run: EvaluationRun) -> dict[str, Any] | None:
    """The evaluation that already answers this, or None."""
    lake, plan = lake_of(run), evaluation_plan(run)
    row = finished(lake, plan)
    return None if row is None else said(run, row, new=False)


@task(name="conclude", persist_result=False)
def conclude(run: EvaluationRun, started: float) -> dict[str, Any]:
    """Write the report and its row, show artifacts."""
    row = write_report(run, started)
    show(row["summary"], Path(run.home) / row["report"] / "index.html")
    return said(run, row, new=True)


def show(summary: Row, page: Path) -> None:
    """The run's artifacts: the verdict, the tables, the link."""
    points = "\n".join(f"- {plain(point['text'])}" for point in summary["verdict"]["points"])
    create_markdown_artifact(
        markdown=f"**{plain(summary['verdict']['headline'])}**\n\n{points}",
        key=SUMMARY_KEY,
        description="What the evaluation says.",
    )
    for key, table in ((MEANS_KEY, "means"), (AGAINST_KEY, "against")):
        create_table_artifact(
            table=[{k: v for k, v in row.items() if v is not None} for row in summary[table]],
            key=key,
            description="Means with intervals." if table == "means" else "Differences to raw.",
        )
    create_link_artifact(
        link=page.resolve().as_uri(),
        link_text=f"Evaluation {summary['version']}",
        key=REPORT_KEY,
        description=f"{plain(str(page))} on the machine that evaluated.",
    )
