"""Time at work, for schedules that a stopped process or a busy machine must not use up."""
from __future__ import annotations

import statistics
import time
from collections import deque


class Clock:
    """Seconds at work: the sum of steps, of which none counts more than a few times the usual."""

    def __init__(self, most: float = 4.0) -> None:
        self.spent, self.most, self.last = 0.0, most, time.monotonic()
        self.recent: deque[float] = deque(maxlen=50)

    def step(self) -> None:
        """Count the time since the last call (or the start) as one step."""
        now = time.monotonic()
        self.recent.append(now - self.last)
        self.spent += min(self.recent[-1], self.most * statistics.median(self.recent))
        self.last = now

    def restart(self) -> None:
        """Leave out what was done since the last step, such as an evaluation."""
        self.last = time.monotonic()
