"""Sources written on the spot."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models.collect import Line, read_source
from schemas.settings import SourceSettings

Read = Callable[..., list[Line]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write bytes or text under a name and read them back as lines."""

    def write_and_read(name: str, content: str | bytes, **source: str) -> list[Line]:
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode("utf-8")
        path.write_bytes(data)
        return list(read_source(SourceSettings(location=str(path), **source)))

    return write_and_read


def texts(lines: list[Line]) -> list[str]:
    """Prompts of the lines that can be judged."""
    return [line.text for line in lines if line.reason is None]


def reasons(lines: list[Line]) -> list[str | None]:
    return [line.reason for line in lines]
