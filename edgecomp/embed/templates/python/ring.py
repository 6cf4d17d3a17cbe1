"""A ring of samples between the microphone's thread and the model's: never blocks the writer, and counts what it loses."""

from __future__ import annotations

import threading

import numpy as np


class Ring:
    """Holds the last `capacity` samples that were not read; the oldest go first, and `dropped` says how many.

    At every moment: written = read + dropped + waiting.
    """

    def __init__(self, capacity: int):
        self._held = np.zeros(capacity, np.float32)
        self._written, self._taken, self._dropped, self._closed = 0, 0, 0, False
        self._changed = threading.Condition()

    @property
    def dropped(self) -> int:
        """Return how many samples the reader was too slow for."""
        return self._dropped

    @property
    def waiting(self) -> int:
        """Return how many samples are there to be read."""
        with self._changed:
            return self._written - self._taken

    def write(self, wave: np.ndarray) -> int:
        """Take (n,) float32; return how many samples were lost by it."""
        capacity = len(self._held)
        with self._changed:
            tail = wave[-capacity:]
            at = (self._written + len(wave) - len(tail) + np.arange(len(tail))) % capacity
            self._held[at] = tail
            self._written += len(wave)
            lost = max(0, self._written - self._taken - capacity)
            self._taken += lost
            self._dropped += lost
            self._changed.notify_all()
            return lost

    def read(self, most: int) -> tuple[int, np.ndarray]:
        """Return the index of the first sample since the beginning, and up to `most` samples, (n,) float32.

        Where the index is not where the last read ended, the samples between are lost.
        """
        with self._changed:
            first, count = self._taken, min(most, self._written - self._taken)
            self._taken += count
            return first, self._held[(first + np.arange(count)) % len(self._held)]

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to read; return whether more may come."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._written > self._taken, timeout_s)
            return not self._closed or self._written > self._taken

    def close(self) -> None:
        """Say that nothing more will be written."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
