"""Rows of a Hugging Face dataset, streamed: `hf://owner/name[/config][@revision]`.

`hf://` followed by the path of a folder reads a dataset kept there.  Left out: data sets that
need code of their own to load (`datasets` refuses them).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from models.collect.source import HUB
from models.collect.tables import Choose, Row
from schemas.errors import SourceError
from schemas.settings import SourceSettings


class HubId(NamedTuple):
    path: str
    config: str | None
    revision: str | None


def parse_hub_id(location: str) -> HubId:
    """`hf://owner/name/config@revision` in its parts; an existing folder is taken whole."""
    text = location.removeprefix(HUB)
    if Path(text).expanduser().is_dir():
        return HubId(str(Path(text).expanduser()), None, None)
    text, _, revision = text.partition("@")
    parts = text.split("/")
    if not all(parts) or len(parts) > 3:
        raise SourceError(
            f"{location!r} is not a dataset id. Write hf://owner/name, "
            "hf://owner/name/config or hf://owner/name@revision."
        )
    config = parts[2] if len(parts) == 3 else None
    return HubId("/".join(parts[:2]), config, revision or None)


def hub_rows(source: SourceSettings, choose: Choose) -> Iterator[Row]:
    """The chosen columns of one split.  Raises SourceError with what `datasets` said."""
    import datasets

    name = parse_hub_id(source.location)
    try:
        stream: Any = datasets.load_dataset(
            name.path, name.config, split=source.split, revision=name.revision, streaming=True
        )
        if stream.column_names:
            stream = stream.select_columns(list(choose(tuple(stream.column_names))))
        for values in stream:
            yield Row(values)
    except SourceError:
        raise
    except Exception as error:  # datasets, hub, network and parsers each raise their own
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise SourceError(
            f"The dataset {source.location!r} (split {source.split!r}) cannot be read: {said}"
        ) from error


def revision_of(source: SourceSettings) -> str:
    """Commit of the dataset on the hub, or a hash of the folder's files."""
    name = parse_hub_id(source.location)
    if Path(name.path).is_dir():
        from models.collect.source import hash_files

        return hash_files(sorted(p for p in Path(name.path).rglob("*") if p.is_file()))
    from huggingface_hub import HfApi

    try:
        sha = HfApi().dataset_info(name.path, revision=name.revision).sha
    except Exception as error:  # offline, missing, gated: each its own class
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise SourceError(f"The dataset {source.location!r} cannot be looked up: {said}") from error
    return sha or "unknown"
