"""Jobs in fresh processes that compile side by side and take turns on the device."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

from benchmarks.processes import in_fresh_process

Row = dict[str, Any]


class Job(NamedTuple):
    function: Callable[..., Any]  # of a module; its arguments and its result pass through JSON
    arguments: tuple[Any, ...]
    variables: dict[str, str] = {}  # noqa: RUF012 - environment variables, never changed
    labels: Row = {}  # noqa: RUF012 - added to the result


def side_by_side(jobs: Sequence[Job], at_once: int = 3) -> Iterator[Row]:
    """The results of the jobs as they end. A job that fails gives a row with its last messages.

    Few run at once, since compiling times kernels: seventeen had not ended on a GPU after three minutes.
    """
    with ThreadPoolExecutor(at_once) as pool:
        running = {
            pool.submit(in_fresh_process, job.function, *job.arguments, **job.variables): job for job in jobs
        }
        for done in as_completed(running):
            job = running[done]
            named = {"arguments": job.arguments, **job.labels}
            error = done.exception()
            yield named | ({"failed": str(error)[-1_500:]} if error else done.result())
