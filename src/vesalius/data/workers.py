"""A function over many items in several processes: results as they come, and an item that kills its process is named.

Compiled decoders crash on some broken files. The items that were under way are then tried one by one in a process of
their own, the guilty one's result is `Crashed`, and a new pool does the rest. The pools are loky's, which spare scripts
the `if __name__ == "__main__"`.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from vesalius.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")
ENV = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "BLOSC_NTHREADS": "1"}
BREAKS = 3  # crashes without a guilty item, such as the system killing for memory, before giving up


class Crashed(NamedTuple):
    """In place of a result: the process that worked on the item ended without a word."""

    reason: str = "the process that read it crashed"


class Done(NamedTuple, Generic[Item, Result]):
    """An item and what became of it."""

    item: Item
    result: Result | Crashed


def run(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, chunk: int = 1
) -> Generator[list[Done[Item, Result]], None, None]:
    """Lists of (item, result), in no certain order. `function` travels to each process once; what it raises ends the run.

    Items are distinct. workers <= 1: in this process, in order. Closing the iterator ends the processes.
    """
    if workers <= 1:
        yield from ([Done(item, function(item))] for item in items)
        return
    left, breaks = list(items), 0
    while left:
        pooled = _Pooled(function, [left[at : at + chunk] for at in range(0, len(left), chunk)], workers)
        yield from pooled.results()
        if not pooled.left:
            return
        alone = _Pooled(function, [[item] for item in pooled.left[: chunk * (2 * workers + 2)]], 1)  # had been sent out
        yield from alone.results()
        left = [item for item in pooled.left if item not in alone.finished]
        if alone.left:
            yield [Done(alone.left[0], Crashed())]
            left.remove(alone.left[0])
        else:
            breaks += 1
        if breaks == BREAKS:
            raise DataError("worker processes keep dying", remedy="Perhaps memory ran out: use fewer workers.")


class _Pooled(Generic[Item, Result]):
    """Chunks of items through one pool of processes, until all are done or a process dies; `left`: the items not done."""

    def __init__(self, function: Callable[[Item], Result], chunks: Sequence[Sequence[Item]], workers: int) -> None:
        self.function, self.chunks, self.workers = function, chunks, min(workers, len(chunks))
        self.finished: set[Item] = set()

    @property
    def left(self) -> list[Item]:
        return [item for chunk in self.chunks for item in chunk if item not in self.finished]

    def results(self) -> Generator[list[Done[Item, Result]], None, None]:
        from joblib.externals.loky import ProcessPoolExecutor, as_completed  # lazy: most calls find nothing to do
        from joblib.externals.loky.process_executor import BrokenProcessPool

        pool = ProcessPoolExecutor(self.workers, initializer=_start, initargs=(self.function,), env=ENV)
        try:
            futures = {pool.submit(_work, chunk): chunk for chunk in self.chunks}
            for future in as_completed(futures):  # after a crash too, to have all that was done before it
                if isinstance(future.exception(), BrokenProcessPool):
                    continue
                chunk, results = futures[future], future.result()
                self.finished.update(chunk)
                yield [Done(item, result) for item, result in zip(chunk, results, strict=True)]
        finally:
            pool.shutdown(wait=True, kill_workers=True)


_FUNCTION: Any = None  # of this worker process; set once, when it starts


def _start(function: Callable[..., Any]) -> None:
    global _FUNCTION
    _FUNCTION = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """A parent that was killed cannot end its workers: they look, once a second."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(items: Sequence[Any]) -> list[Any]:
    return [_FUNCTION(item) for item in items]
