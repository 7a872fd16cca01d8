"""A function over many items in several processes: results as they come, and an item that kills its process is named.

Compiled decoders crash on some broken files. The pool is then made anew, the items that were under way are tried one by
one in a process of their own, and the guilty one's result is `Crashed`. loky needs no `if __name__ == "__main__"`.
"""

import signal
from collections.abc import Callable, Generator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from vesalius.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "BLOSC_NTHREADS": "1"}
IDLE = 60  # seconds after which a process without work ends: those of a parent that was killed do not stay
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

    workers <= 1: in this process, in order, one by one. Closing the iterator ends the processes.
    """
    if workers <= 1:
        yield from ([Done(item, function(item))] for item in items)
        return
    chunks = {n: items[at : at + chunk] for n, at in enumerate(range(0, len(items), chunk))}
    breaks = 0
    while chunks:
        crash = False
        for number, results in _pooled(function, chunks, workers):
            if number is None:
                crash = True
            else:
                del chunks[number]
                yield results
        if not crash:
            continue
        guilty = False
        for number in list(chunks)[: 2 * workers + 2]:  # those that may have been under way
            results = _one_by_one(function, chunks.pop(number))
            yield results
            guilty = any(isinstance(done.result, Crashed) for done in results)
            if guilty:
                break
        breaks += not guilty
        if breaks == BREAKS:
            raise DataError("worker processes keep dying", remedy="Perhaps memory ran out: use fewer workers.")


def _pooled(
    function: Callable[[Item], Result], chunks: dict[int, Sequence[Item]], workers: int
) -> Generator[tuple[int | None, list[Done[Item, Result]]], None, None]:
    """(number of the chunk, results); (None, []) and nothing after it when a process died."""
    from joblib.externals.loky import as_completed  # lazy: most calls find nothing to do
    from joblib.externals.loky.process_executor import BrokenProcessPool

    pool = _pool(function, min(workers, len(chunks)))
    try:
        futures = {pool.submit(_work, items): number for number, items in chunks.items()}
        for future in as_completed(futures):
            results = future.result()
            yield futures[future], [Done(item, r) for item, r in zip(chunks[futures[future]], results, strict=True)]
    except BrokenProcessPool:
        yield None, []
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _one_by_one(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Done[Item, Result]]:
    done: list[Done[Item, Result]] = []
    for item in items:
        for number, results in _pooled(function, {0: [item]}, 1):
            done += results if number == 0 else [Done(item, Crashed())]
    return done


_FUNCTION: Any = None  # of this worker process; set once, when it starts


def _pool(function: Callable[..., Any], workers: int) -> Any:
    from joblib.externals.loky import ProcessPoolExecutor

    return ProcessPoolExecutor(workers, timeout=IDLE, initializer=_start, initargs=(function,), env=ONE_THREAD)


def _start(function: Callable[..., Any]) -> None:
    global _FUNCTION
    _FUNCTION = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers


def _work(items: Sequence[Any]) -> list[Any]:
    return [_FUNCTION(item) for item in items]
