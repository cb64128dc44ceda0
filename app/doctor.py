"""`diffchat doctor`: what works on this machine, what does not, and what to do about it.

Each check is a small function that returns a `Finding`; nothing is loaded onto a device and
nothing is paid: the teacher's endpoint is asked for its list of models only.
"""

import os
import platform
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple

from app.console import console, print_json
from schemas.errors import DiffChatError
from schemas.settings import Settings, home, load_settings

State = Literal["ok", "warning", "problem"]
MIN_FREE_GB = 2.0  # images, Parquet and Prefect's database of a demo, with room to spare
MIN_MEMORY_GB = 4.0

PINNED = ("prefect", "fastapi", "duckdb", "openai", "torch", "transformers", "diffusers", "trl")


class Finding(NamedTuple):
    name: str
    state: State
    said: str


def run_doctor(profile: str, as_json: bool) -> None:
    """Print all findings; exit code 1 if one of them is a problem."""
    findings = [python(), packages(), memory(), disk()]
    try:
        settings = load_settings(profile)
    except DiffChatError as error:
        findings.append(Finding("profile", "problem", str(error)))
    else:
        findings.append(Finding("profile", "ok", f"{profile}, settings {settings.hash()[:8]}"))
        checks: tuple[Callable[[Settings], Finding], ...] = (
            text_to_image,
            scorers,
            teacher,
            sources,
            warehouse,
        )
        findings += [check(settings) for check in checks]
    findings.append(system_packages())
    if as_json:
        print_json({"findings": [finding._asdict() for finding in findings]})
    else:
        marks = {
            "ok": "[green]ok     [/]",
            "warning": "[yellow]warning[/]",
            "problem": "[red]problem[/]",
        }
        for finding in findings:
            console.print(marks[finding.state], f"{finding.name:<16}", end=" ")
            console.print(finding.said, markup=False, soft_wrap=True)
    if any(finding.state == "problem" for finding in findings):
        sys.exit(1)


def python() -> Finding:
    said = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("python", "ok" if sys.version_info >= (3, 11) else "problem", said)


def packages() -> Finding:
    """Installed versions of the packages whose versions matter, without importing them."""
    found = []
    for name in PINNED:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            return Finding("packages", "problem", f"{name} is missing: run `make setup`")
    return Finding("packages", "ok", ", ".join(found))


def memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    said = f"{total:.1f} GiB, {os.cpu_count()} cores"
    if total < MIN_MEMORY_GB * 0.95:
        return Finding("memory", "warning", f"{said}; the demo wants {MIN_MEMORY_GB:g} GiB")
    return Finding("memory", "ok", said)


def disk() -> Finding:
    folder = home()
    there = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(there).free / 2**30
    said = f"{free:.1f} GiB free for {folder}"
    if not os.access(there, os.W_OK):
        return Finding("home", "problem", f"{folder} cannot be written; set DIFFCHAT_HOME")
    if free < MIN_FREE_GB:
        return Finding("home", "warning", f"{said}; a demo wants {MIN_FREE_GB:g} GiB")
    return Finding("home", "ok", said)


def text_to_image(settings: Settings) -> Finding:
    from models.tis import describe_tis

    if not settings.render.enabled:
        return Finding("text-to-image", "ok", "rendering is switched off")
    try:
        tis = describe_tis(settings.tis)
    except DiffChatError as error:
        return Finding("text-to-image", "problem", str(error))
    said = f"{settings.tis.model}, weights {tis.weights_hash[:12]}, {tis.token_budget} tokens"
    return Finding("text-to-image", "ok", said)


def scorers(settings: Settings) -> Finding:
    from models.scorers import describe_scorer

    try:
        names = [f"{describe_scorer(s).name} ({s.measures})" for s in settings.scorers]
    except DiffChatError as error:
        return Finding("scorers", "problem", str(error))
    missing = {"aesthetics", "preference"} - {s.measures for s in settings.scorers}
    if missing and settings.render.enabled:
        said = f"nothing measures {' and '.join(sorted(missing))}, which decide needs"
        return Finding("scorers", "problem", said)
    return Finding("scorers", "ok", ", ".join(names))


def teacher(settings: Settings) -> Finding:
    import httpx

    chosen = settings.teacher
    if chosen.base_url is None:
        return Finding("teacher", "ok", "the offline one, started when needed")
    key = os.environ.get(chosen.api_key_env)
    if not key:
        said = f"set {chosen.api_key_env} to the key of {chosen.base_url}"
        return Finding("teacher", "problem", said)
    try:
        answer = httpx.get(
            f"{chosen.base_url.rstrip('/')}/models",
            headers={"Authorization": f"Bearer {key}"},
            timeout=5,
        )
    except httpx.HTTPError as error:
        return Finding("teacher", "problem", f"{chosen.base_url}: {type(error).__name__}")
    state: State = "ok" if answer.is_success else "warning"
    return Finding("teacher", state, f"{chosen.base_url} answers {answer.status_code}")


def sources(settings: Settings) -> Finding:
    from models.collect import fingerprint

    problems = []
    for source in settings.collect.sources:
        try:
            fingerprint(source, settings.collect.limit)
        except DiffChatError as error:
            problems.append(str(error))
    if problems:
        return Finding("sources", "problem", "; ".join(problems))
    return Finding("sources", "ok", f"{len(settings.collect.sources)} of raw prompts")


def warehouse(settings: Settings) -> Finding:
    from warehouse import Warehouse

    if settings.warehouse.catalog is None and not Path(home(), "warehouse").exists():
        return Finding("warehouse", "ok", "none yet; the first build makes it")
    try:
        with Warehouse.open(settings.warehouse, home(), read_only=True) as lake:
            count = lake.query("SELECT count(*) FROM dataset_versions").column(0)[0].as_py()
    except DiffChatError as error:
        return Finding("warehouse", "problem", str(error))
    return Finding("warehouse", "ok", f"{count} published versions")


def system_packages() -> Finding:
    """What some tests want of Debian; nothing else of the project does."""
    wanted = {"chromium": "chromium chromium-driver", "pg_config": "postgresql"}
    places = ("/usr/lib/postgresql",)
    missing = [
        package
        for program, package in wanted.items()
        if not shutil.which(program) and not any(Path(p).exists() for p in places if package in p)
    ]
    if missing:
        said = f"tests skip what needs them: apt-get install {' '.join(missing)}"
        return Finding("system packages", "warning", said)
    return Finding("system packages", "ok", "chromium, postgresql (for tests)")
