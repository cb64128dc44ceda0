"""Pictures, content-addressed: a PNG is named by the SHA-256 of its bytes.

Under `$DIFFCHAT_HOME/images`, or below the lake's data path if that is `s3://…`.  Writes are
atomic (a temporary file, then a rename; S3 objects appear whole), so a name that is there holds
its content, and the same picture is stored once.

Left out: other formats than PNG.  Thumbnails are made when first asked for and kept beside.
"""

import hashlib
import io
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from schemas.errors import WarehouseError
from warehouse.commits import is_full
from warehouse.connection import Address

THUMBNAIL_PX = 128  # longest side; as shown in reports and artifacts
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class ImageStore:
    """put, get and thumbnail; `gc` lists and deletes what is not wanted any more."""

    def __init__(self, address: Address, read_only: bool = False) -> None:
        self.root = address.images
        self._read_only = read_only
        if self.root.startswith("s3://"):
            self._files: _Folder | _Bucket = _Bucket(address)
        else:
            self._files = _Folder(Path(self.root))

    def put(self, png: bytes) -> str:
        """Store PNG bytes; returns their SHA-256.  Raises WarehouseError for anything else."""
        if not png.startswith(PNG_SIGNATURE):
            raise WarehouseError(f"Only PNG bytes can be stored, these begin {png[:8]!r}.")
        sha = hashlib.sha256(png).hexdigest()
        if not self._files.exists(_name(sha)):
            self._write(_name(sha), png)
        return sha

    def get(self, sha256: str) -> bytes:
        """PNG bytes of a picture; raises WarehouseError if it is missing or corrupt."""
        name = _name(sha256)
        png = self._files.read(name)
        if png is None:
            raise WarehouseError(f"The image {self.root}/{name} is missing: render it again.")
        if hashlib.sha256(png).hexdigest() != sha256:
            raise WarehouseError(
                f"The image {self.root}/{name} is corrupt ({len(png)} bytes that are not what its "
                "name says): delete it and render it again."
            )
        return png

    def path(self, sha256: str) -> str:
        """Where the picture is stored: a file path or an s3:// url."""
        return f"{self.root}/{_name(sha256)}"

    def thumbnail(self, sha256: str, pixels: int = THUMBNAIL_PX) -> bytes:
        """WebP bytes of the picture, longest side `pixels`; errors as in `get`."""
        name = f"thumbnails/{pixels}/{sha256[:2]}/{sha256}.webp"
        found = self._files.read(name)
        if found is not None:
            return found
        small = _shrink(self.get(sha256), pixels, self.path(sha256))
        if not self._read_only:
            self._write(name, small)
        return small

    def known(self) -> Iterator[tuple[str, float]]:
        """(SHA-256, age in seconds) of every stored picture."""
        now = time.time()
        for name, changed in self._files.walk():
            stem, _, suffix = name.rpartition("/")[2].partition(".")
            if suffix == "png":
                yield stem, now - changed

    def delete(self, shas: Iterable[str]) -> int:
        """Delete pictures and their thumbnails; returns how many pictures were there."""
        count = 0
        for sha in shas:
            count += self._files.delete(_name(sha))
            self._files.delete(f"thumbnails/{THUMBNAIL_PX}/{sha[:2]}/{sha}.webp")
        return count

    def _write(self, name: str, data: bytes) -> None:
        if self._read_only:
            raise WarehouseError("The warehouse was opened for reading only.")
        try:
            self._files.write(name, data)
        except OSError as error:
            if is_full(error):
                said = "the disk is full: free some space and run the same command again"
            else:
                said = str(error)
            raise WarehouseError(f"{self.root}/{name} could not be written: {said}.") from None


def _name(sha: str) -> str:
    if len(sha) != 64 or not set(sha) <= set("0123456789abcdef"):
        raise WarehouseError(f"{sha!r} is not a SHA-256 in hex.")
    return f"{sha[:2]}/{sha[2:4]}/{sha}.png"


def _shrink(png: bytes, pixels: int, path: str) -> bytes:
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(png)).convert("RGB")
    except OSError as error:
        raise WarehouseError(f"The image {path} cannot be decoded: {error}.") from None
    picture.thumbnail((pixels, pixels))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def exists(self, name: str) -> bool:
        return (self._root / name).is_file()

    def read(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}.tmp")
        try:
            temporary.write_bytes(data)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def delete(self, name: str) -> int:
        try:
            (self._root / name).unlink()
        except FileNotFoundError:
            return 0
        return 1

    def walk(self) -> Iterator[tuple[str, float]]:
        for folder, _, names in os.walk(self._root):
            for name in names:
                path = Path(folder) / name
                try:
                    yield str(path.relative_to(self._root)), path.stat().st_mtime
                except FileNotFoundError:
                    continue  # another process's temporary file


class _Bucket:
    """The same over S3, through pyarrow (whose client is already a dependency)."""

    def __init__(self, address: Address) -> None:
        self._settings = address.settings
        self._prefix = address.images.removeprefix("s3://")
        self._client: Any = None

    def _s3(self) -> Any:
        if self._client is None:
            from pyarrow import fs

            options: dict[str, Any] = {"region": self._settings.s3_region}
            if self._settings.s3_endpoint:
                scheme, _, host = self._settings.s3_endpoint.rpartition("://")
                options |= {"endpoint_override": host, "scheme": scheme or "https"}
            self._client = fs.S3FileSystem(**options)
        return self._client

    def exists(self, name: str) -> bool:
        from pyarrow import fs

        return self._s3().get_file_info(f"{self._prefix}/{name}").type == fs.FileType.File

    def read(self, name: str) -> bytes | None:
        try:
            with self._s3().open_input_file(f"{self._prefix}/{name}") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        with self._s3().open_output_stream(f"{self._prefix}/{name}") as file:
            file.write(data)

    def delete(self, name: str) -> int:
        if not self.exists(name):
            return 0
        self._s3().delete_file(f"{self._prefix}/{name}")
        return 1

    def walk(self) -> Iterator[tuple[str, float]]:
        from pyarrow import fs

        selector = fs.FileSelector(self._prefix, recursive=True, allow_not_found=True)
        for info in self._s3().get_file_info(selector):
            if info.type == fs.FileType.File:
                yield info.path.removeprefix(f"{self._prefix}/"), info.mtime.timestamp()
