"""`import gradio` in half the time.

Gradio writes a type stub beside the source of each of its components whenever it is imported: it
parses every file anew, which is nearly half of what the import costs, and nothing of ours reads the
stubs.  `import_gradio` leaves that out.  It has to be the first import of Gradio in the process;
later it is an ordinary import.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

WRITER = ("gradio.component_meta", "create_or_modify_pyi")


def import_gradio() -> ModuleType:
    """The module `gradio`."""
    with _without_stubs():
        return importlib.import_module("gradio")


@contextmanager
def _without_stubs() -> Iterator[None]:
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != WRITER[0]:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None and found.loader is not None:
            found.loader = _Loader(found.loader)
        return found


class _Loader(Loader):
    """Gradio's own module, with the function that writes stubs doing nothing."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        setattr(module, WRITER[1], _nothing)


def _nothing(*_: Any) -> None:
    return None
