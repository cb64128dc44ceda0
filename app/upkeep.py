"""`diffchat purge`, `gc` and `maintain`: what keeps a warehouse small and lawful."""

from app.console import note
from schemas.errors import SettingsError
from schemas.settings import Settings, home
from warehouse import Warehouse


def run_purge(settings: Settings, ids: list[str], reason: str, yes: bool) -> None:
    """Remove rows for good; asks first unless `yes`."""
    if not yes:
        answer = input(f"Remove {len(ids)} ids and all that comes of them, for good? [y/N] ")
        if answer.strip().lower() != "y":
            raise SettingsError("Nothing was removed.")
    with Warehouse.open(settings.warehouse, home()) as lake:
        retired = lake.purge(ids, reason)
    said = f"versions {retired} are retired" if retired else "no version is concerned"
    note(f"removed; {said}. `diffchat build` publishes a version without these rows.")


def run_gc(settings: Settings) -> None:
    """Remove images that nothing refers to."""
    with Warehouse.open(settings.warehouse, home()) as lake:
        note(f"{lake.gc()} images removed")


def run_maintain(settings: Settings) -> None:
    """Merge small files, expire snapshots that no version needs."""
    with Warehouse.open(settings.warehouse, home()) as lake:
        report = lake.maintain()
    note(", ".join(f"{name}: {value}" for name, value in report.items()))
