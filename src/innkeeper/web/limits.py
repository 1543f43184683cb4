"""How often something may be tried: a bucket of tries for each key, refilled over time, in bounded memory."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from starlette.exceptions import HTTPException

MAX_KEYS = 10_000


@dataclass(slots=True)
class Limiter:
    """`tries` at once, and as many again over `seconds`. The key that was used longest ago is forgotten first."""

    tries: int
    seconds: float
    clock: Callable[[], datetime]
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def _left(self, key: str) -> float:
        now = self.clock().timestamp()
        left, since = self._buckets.get(key, (float(self.tries), now))
        return min(self.tries, left + max(0.0, now - since) * self.tries / self.seconds)

    def take(self, key: str) -> None:
        """Uses one try up; HTTPException 429 with Retry-After where none is left."""
        left = self.check(key)
        self._buckets[key] = (left - 1, self.clock().timestamp())
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)

    def check(self, key: str) -> float:
        """How many tries are left; HTTPException 429 where none is."""
        left = self._left(key)
        if left < 1:
            wait = math.ceil((1 - left) * self.seconds / self.tries)
            raise HTTPException(429, f"too many tries; the next one is good in {wait} s", {"Retry-After": str(wait)})
        return left

    def forget(self, key: str) -> None:
        """What was tried under this key was in order."""
        self._buckets.pop(key, None)


@dataclass(frozen=True, slots=True)
class Limits:
    """`refused`: webhooks that were not genuine, by address; `deliveries`: those that were, by source."""

    addresses: Limiter
    users: Limiter
    refused: Limiter
    deliveries: Limiter

    @staticmethod
    def of(clock: Callable[[], datetime]) -> "Limits":
        return Limits(
            addresses=Limiter(20, 60, clock),
            users=Limiter(10, 300, clock),
            refused=Limiter(30, 60, clock),
            deliveries=Limiter(6000, 60, clock),
        )
