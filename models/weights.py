"""Weights on disk: where a checkpoint lies, which files count, what they hash to.

`resolve` turns a folder or a hub id into a folder; `hash_files` gives the content hash that goes
into identities; `verify` compares files with the folder's own `SHA256SUMS`.  Hashes of files are
remembered by path, size and modification time in `$DIFFCHAT_HOME/models/sha256.json`, so asking
again costs a `stat` a file.  Only safetensors count as weights; a checkpoint that has nothing but
pickles is refused with the reason.

Left out: downloading by anything but `huggingface_hub`, and noticing that the bytes of a file
changed while its size and time did not.  No torch here: the command line asks for identities.

    python -m models.weights models/embedded/weights/*      # write SHA256SUMS in each folder
"""

import glob
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from schemas.errors import ModelError
from schemas.identity import content_id
from schemas.settings import home

PROJECT = Path(__file__).resolve().parent.parent
SUMS = "SHA256SUMS"
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
# Files that decide what a checkpoint computes. Cards, pictures and licences do not.
CONTENT = (".safetensors", ".json", ".txt", ".model", ".jinja")
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w.-]+)?$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_WEIGHT_NAME = re.compile(
    r"^(?P<base>[^.]+?)(?:\.(?P<variant>[^.]+?))?(?:-\d{5}-of-\d{5})?\.safetensors$"
)
HUB_PATTERNS = ("*.json", "*.txt", "*.model", "*.safetensors", "*.jinja")


def resolve(model: str, patterns: Iterable[str] = HUB_PATTERNS, ignore: Iterable[str] = ()) -> Path:
    """The folder (or file) that `model` names.

    A path is taken as given, then relative to the project (so that the shipped weights are found
    from any working directory).  Otherwise `owner/name` or `owner/name@revision` is a hub id: the
    snapshot in the local cache, else downloaded (`patterns` without `ignore`) unless
    HF_HUB_OFFLINE is set.
    Raises ModelError that says where was looked.
    """
    found = local(model)
    if found is not None:
        return found
    if not _HUB_ID.match(model):
        path = Path(model).expanduser()
        raise ModelError(
            f"There is no checkpoint at {model!r}: neither {path.absolute()} nor "
            f"{PROJECT / path} exists, and it is no hub id of the form owner/name."
        )
    return _snapshot(model, tuple(patterns), tuple(ignore))


def local(model: str) -> Path | None:
    """The folder or file of this machine that `model` names, as `resolve` reads it, if any."""
    path = Path(model).expanduser()
    found = (candidate for candidate in (path, PROJECT / path) if candidate.exists())
    return next((candidate.resolve() for candidate in found), None)


def matching(pattern: str) -> list[Path]:
    """What a path or glob names on this machine, as given, else relative to the project; sorted."""
    path = Path(pattern).expanduser()
    for root in (Path(), PROJECT):
        if found := sorted(glob.glob(str(root / path), recursive=True)):
            return [Path(name) for name in found]
    return []


def resolve_file(name: str) -> Path:
    """One file: a path (as given, then relative to the project) or `owner/name/path` on the hub.

    Raises ModelError that says where was looked.
    """
    path = Path(name).expanduser()
    for candidate in (path, PROJECT / path):
        if candidate.is_file():
            return candidate.resolve()
    owner, _, rest = name.partition("/")
    repo, _, inner = rest.partition("/")
    if inner and _HUB_ID.match(f"{owner}/{repo}"):
        found = _snapshot(f"{owner}/{repo}", (inner,)) / inner
        if found.is_file():
            return found
    raise ModelError(
        f"There is no file {name!r}: neither {path.absolute()} nor {PROJECT / path} exists, and "
        "it is not owner/name/file on the hub."
    )


def _snapshot(model: str, patterns: tuple[str, ...], ignore: tuple[str, ...] = ()) -> Path:
    from huggingface_hub import snapshot_download

    repo, _, revision = model.partition("@")
    try:
        return Path(
            snapshot_download(
                repo,
                revision=revision or None,
                allow_patterns=list(patterns),
                ignore_patterns=list(ignore),
            )
        )
    except Exception as error:  # the hub client raises a dozen unrelated types
        raise ModelError(
            f"{model!r} is no folder here and could not be had from the hub: "
            f"{type(error).__name__}: {str(error).splitlines()[0]} "
            "Check the name, unset HF_HUB_OFFLINE, set HF_TOKEN for gated models, or give the "
            "path of a downloaded folder."
        ) from error


def weight_files(folder: Path, variant: str | None = None) -> list[Path]:
    """The safetensors files that `from_pretrained(folder, variant=…)` reads; [] if there is none.

    With a variant: its files, else (as diffusers does) the plain ones.  Copies of other variants
    and precisions beside them do not count.  Raises ModelError if there are only pickles.
    """
    plain, wanted = [], []
    for path in sorted(folder.glob("*.safetensors")):
        match = _WEIGHT_NAME.match(path.name)
        found = match["variant"] if match else None
        if found is None:
            plain.append(path)
        elif found == variant:
            wanted.append(path)
    if wanted or plain:
        return wanted or plain
    pickles = sorted(p.name for p in folder.glob("*") if p.suffix in PICKLES)
    if pickles:
        raise ModelError(
            f"{folder} holds its weights only as pickles ({', '.join(pickles[:3])}). Loading a "
            "pickle runs whatever code is in it, so only safetensors are read: convert it once "
            "(`model.save_pretrained(folder)` writes safetensors) or take a revision that has them."
        )
    return []


def config_files(folder: Path) -> list[Path]:
    """Configs, vocabularies and templates of one model folder (no weights, no cards)."""
    keep = [p for p in folder.iterdir() if p.is_file() and p.suffix in CONTENT]
    return sorted(
        p for p in keep if p.suffix != ".safetensors" and not p.name.endswith(".index.json")
    )


def hash_files(root: Path, files: Iterable[Path]) -> str:
    """Content hash of `files`, named relative to `root` (32 hex digits).

    Where the folder ships `SHA256SUMS`, its figures are taken (they are verified on load).
    """
    stated = read_sums(root)
    digests = {}
    for path in files:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        digests[name] = stated.get(name) or sha256(path)
    return content_id("weights", digests)


def combine(*hashes: str) -> str:
    """One hash for several checkpoints used together (a base and its LoRAs, a model and a head)."""
    return hashes[0] if len(hashes) == 1 else content_id("weights", list(hashes))


def verify(root: Path, files: Iterable[Path]) -> None:
    """Compare `files` with the folder's `SHA256SUMS`; nothing to do where there is none.

    Raises ModelError naming the first file that differs, its hash and the expected one.
    """
    stated = read_sums(root)
    present = {path.relative_to(root).as_posix() for path in files}
    for name in sorted(stated):
        path = root / name
        if not path.is_file():
            raise ModelError(f"{path} is missing although {root / SUMS} lists it: restore it.")
        if name in present and (found := sha256(path)) != stated[name]:
            raise ModelError(
                f"{path} is corrupt: its SHA-256 is {found}, {SUMS} says {stated[name]}. "
                "Restore the file (`git checkout`, or download it again)."
            )


def read_sums(root: Path) -> Mapping[str, str]:
    """`SHA256SUMS` of a folder as {relative name: hex digest}; {} if there is none."""
    try:
        lines = (root / SUMS).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return {name.lstrip("*").removeprefix("./").strip(): digest for digest, name in pairs}


def write_sums(root: Path) -> Path:
    """Write `SHA256SUMS` for every content file below `root`, in the format of `sha256sum`."""
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.suffix in CONTENT)
    lines = [f"{_digest(p)}  {p.relative_to(root).as_posix()}\n" for p in files]
    target = root / SUMS
    target.write_text("".join(lines), encoding="utf-8")
    return target


def sha256(path: Path) -> str:
    """SHA-256 of a file, remembered by size and modification time.

    Files in the hub's cache are links to blobs named by their SHA-256: that name is taken.
    """
    real = path.resolve()
    if real.parent.name == "blobs" and _SHA256.match(real.name):
        return real.name
    try:
        stat = real.stat()
    except FileNotFoundError:
        raise ModelError(f"The weights file {path} is missing.") from None
    memory = home() / "models" / "sha256.json"
    known = _read_memory(memory)
    stamp = [stat.st_size, stat.st_mtime_ns]
    entry = known.get(str(real))
    if entry and entry[:2] == stamp:
        return entry[2]
    digest = _digest(real)
    _remember(memory, str(real), [*stamp, digest])
    return digest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_memory(memory: Path) -> dict[str, list]:
    try:
        return json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _remember(memory: Path, key: str, value: list) -> None:
    # A lost race loses a remembered hash, which is then computed again: no lock needed.
    known = _read_memory(memory) | {key: value}
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        partial = memory.with_name(f"{memory.name}.{os.getpid()}")
        partial.write_text(json.dumps(known), encoding="utf-8")
        partial.replace(memory)
    except OSError:
        pass  # a read-only home only means hashing again


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(write_sums(Path(name)))
