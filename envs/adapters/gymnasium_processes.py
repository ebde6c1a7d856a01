"""Steps Gymnasium's environments outside of XLA: in a thread and, where it pays, in further processes."""

import atexit
import concurrent.futures
import contextlib
import functools
import itertools
import os
import pickle
import subprocess
import sys
import time
import warnings
from typing import Any

import jax
import numpy as np

from envs.adapters.gymnasium_host import Host, spec_of
from jaxrl.errors import InputError

WORTHWHILE = 150e-6  # seconds; a process with less to do in each step is not worth the messages to it
TIMED_STEPS = 10  # steps of a batch


class Hosts:
    """Steps the copies of a batch: a Host in a thread of this process, and more in processes of their own.

    Copies keep their place in a batch, so each host meets the same episodes again; it restores any other.
    XLA makes its threads round denormal numbers to 0. No environment runs in one of them, so that it computes
    what it computes in Gymnasium, and the same in every process. XLA may call from several threads.
    """

    def __init__(self, name: str) -> None:
        """Raises InputError if Gymnasium cannot make this environment. Must not be made inside a callback."""
        self.name, self.spec = name, spec_of(name)
        self.here = Host(name, self.spec)
        self.processes: list[HostProcess] = []
        self.most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.seconds: list[float] = []  # of one copy's step, mean of a batch, for the first TIMED_STEPS
        self.thread = concurrent.futures.ThreadPoolExecutor(1)
        self.thread.submit(int).result()  # starts the thread, which takes over how its creator rounds
        atexit.register(self.end_processes)

    def first(self, numbers: Any) -> np.ndarray:
        """First observations, [*batch, *obs]. numbers: [*batch, 2] uint32, seed and count of actions so far.

        Zeros where the count is not 0.
        """
        numbers = np.asarray(numbers)
        (obs,) = self.thread.submit(self._shared, "first", *numbers.reshape(-1, 2).T).result()
        return obs.reshape((*numbers.shape[:-1], *obs.shape[1:]))

    def step(self, numbers: Any, actions: Any) -> tuple[np.ndarray, ...]:
        """Observations, [*batch, *obs], rewards and terminations, [*batch] each, of one more action.

        Args:
          numbers: [*batch, 2] uint32, seeds of the episodes, and the number of actions before the next one.
          actions: [*batch, max_steps, *action], the actions so far and the next one.
        """
        numbers, actions = np.asarray(numbers), np.asarray(actions)
        batch = numbers.shape[:-1]
        seeds, counts = numbers.reshape(-1, 2).T
        limit = actions.shape[len(batch)]
        needed = actions.reshape(-1, *actions.shape[len(batch) :])[:, : counts.max() + 1]
        results = self.thread.submit(self._shared, "step", seeds, counts, needed, limit=limit).result()
        return tuple(result.reshape((*batch, *result.shape[1:])) for result in results)

    def _shared(self, method: str, *arrays: np.ndarray, **options: Any) -> tuple[np.ndarray, ...]:
        """Calls a method of the hosts, each with its share of the rows of the arrays."""
        rows = len(arrays[0])
        self.here.batches = jax.local_device_count()
        shares = self._shares(rows)
        if shares == 1:
            start = time.perf_counter()
            result = getattr(self.here, method)(*arrays, **options)
            if method == "step" and len(self.seconds) < TIMED_STEPS:
                self.seconds.append((time.perf_counter() - start) / rows)
            return result
        bounds = [rows * i // shares for i in range(shares + 1)]
        parts = [[array[i:j] for array in arrays] for i, j in itertools.pairwise(bounds)]
        asked = self.processes[: shares - 1]
        try:
            for process, part in zip(asked, parts[1:], strict=True):
                process.ask(method, part, options)
            results = [getattr(self.here, method)(*parts[0], **options)]
            results += [process.answer() for process in asked]
        except BaseException:
            self.end_processes()  # since some may have answers that nobody has read
            raise
        return tuple(np.concatenate(parts) for parts in zip(*results, strict=True))

    def _shares(self, rows: int) -> int:
        """How many hosts share this many rows; 1 until the first steps are timed. Starts their processes."""
        if len(self.seconds) < TIMED_STEPS:
            return 1
        shares = max(1, min(self.most, rows, int(rows * min(self.seconds) / WORTHWHILE)))
        try:
            while len(self.processes) < shares - 1:
                self.processes.append(HostProcess(self.name, self.spec, self.here.batches))
        except Exception as error:  # whatever the user's class raises while it is pickled
            warnings.warn(f"gymnasium:{self.name} is stepped in one process: {error}", stacklevel=2)
            self.most = shares = 1
        return shares

    def end_processes(self) -> None:
        """Ends them. They start again when they are needed."""
        for process in self.processes:
            process.end()
        self.processes = []


class HostProcess:
    """A Host in a process of its own, which ends when its input is closed, at the latest by our own end."""

    def __init__(self, name: str, spec: Any, batches: int) -> None:
        """Starts it. The arguments are Host's."""
        import cloudpickle  # comes with Gymnasium, and takes classes of a notebook along

        host = cloudpickle.dumps((name, spec, batches))
        self.name = name
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)  # the user's modules too
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"},
            start_new_session=True,  # so that Ctrl-C reaches this process alone
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input, self._output = self.process.stdin, self.process.stdout
        self._send(host)

    def ask(self, method: str, arrays: list[np.ndarray], options: dict[str, Any]) -> None:
        """Begins a call of a method of the host."""
        self._send(pickle.dumps((method, arrays, options), pickle.HIGHEST_PROTOCOL))

    def answer(self) -> tuple[np.ndarray, ...]:
        """The result of the call. Raises what the host raised, and InputError if the process has ended."""
        try:
            answer = pickle.load(self._output)
        except EOFError:
            raise InputError(
                f"a process that stepped gymnasium:{self.name} ended with exit code {self.process.wait()}"
            ) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.communicate()

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, as `answer` will say
            self._input.write(message)
            self._input.flush()


@functools.cache
def hosts_of(name: str) -> Hosts:
    """The hosts for an id. Raises InputError if Gymnasium cannot make the environment."""
    return Hosts(name)


def serve() -> None:
    """Answers what a HostProcess asks, until its input is closed."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what an environment prints must not mix with the answers
    host = Host(*pickle.load(sys.stdin.buffer))
    while True:
        try:
            method, arrays, options = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = getattr(host, method)(*arrays, **options)
        except Exception as error:
            answer = error
        pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    serve()
