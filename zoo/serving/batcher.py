"""Many small questions to a network, answered as few large ones."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from zoo.data.decode import View
from zoo.evaluate.inference import BATCH
from zoo.evaluate.predictor import Predictor

Seen = Mapping[View, np.ndarray]  # one image: for each view uint8 of shape (size, size, 3)


class _Question(NamedTuple):
    seen: Seen
    answer: Future[np.ndarray]


class Batcher:
    """A thread that runs a predictor over all images that came in while it was busy.

    No image waits for others to come: batches grow with the load.

    Args:
        predict: what is asked.
        on_batch: is told the number of images of each batch.
        most: images in a batch.
    """

    def __init__(
        self, predict: Predictor, on_batch: Callable[[int], None], most: int = BATCH
    ) -> None:
        self._predict, self._on_batch, self._most = predict, on_batch, most
        self._waiting: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="zoo-batcher", daemon=True)
        self._thread.start()

    def ask(self, seen: Seen) -> Future[np.ndarray]:
        """Probabilities of an image, of shape (k,); none are computed if it is cancelled."""
        answer: Future[np.ndarray] = Future()
        self._waiting.put(_Question(seen, answer))
        return answer

    def close(self) -> None:
        """Answer what was asked so far, and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        closed = False
        while not closed:
            found = self._gathered()
            closed = None in found
            self._answer(
                [one for one in found if one and one.answer.set_running_or_notify_cancel()]
            )

    def _gathered(self) -> list[_Question | None]:
        """What waits, at most a batch; there is something when this returns."""
        found = [self._waiting.get()]
        while len(found) < self._most:
            try:
                found.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return found

    def _answer(self, questions: list[_Question]) -> None:
        if not questions:
            return
        self._on_batch(len(questions))
        views = questions[0].seen
        try:
            rows = self._predict({v: np.stack([one.seen[v] for one in questions]) for v in views})
        except Exception as error:  # raised where the answers are waited for
            for one in questions:
                one.answer.set_exception(error)
            return
        for one, row in zip(questions, rows, strict=True):
            one.answer.set_result(row)
