"""Work that blocks, seen from outside: what it gives as it comes, and a word in between."""

import logging
import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")
LOG = logging.getLogger(__name__)


def beside(items: Iterator[T], every_s: float, left: threading.Event) -> Iterator[T | None]:
    """The items, made in a thread; None whenever `every_s` seconds pass without one.

    `left` is set when nobody listens any more; the work goes on to its end.  Raises what making an
    item raises; what nobody hears is logged.
    """
    end = object()
    found: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            for item in items:
                found.put((item, None))
            found.put((end, None))
        except BaseException as error:
            if left.is_set():
                LOG.exception("A turn failed after its page was closed")
            found.put((end, error))  # raised again where somebody listens

    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            try:
                item, error = found.get(timeout=every_s)
            except queue.Empty:
                yield None
                continue
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        left.set()
