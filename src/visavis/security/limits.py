"""How much is allowed: rates as token buckets, and numbers at a time. `now` is seconds on a steady clock."""

from __future__ import annotations

from collections import Counter, OrderedDict

MOST_KEYS = 100_000
"""That are remembered at a time; the one that was used longest ago is forgotten first."""


class Bucket:
    """Lets `rate` a second through, and `burst` at once after a pause; both at least above 0."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._level, self._at = burst, now

    def take(self, amount: float, now: float) -> bool:
        """Whether `amount` may pass now. One that is larger than `burst` passes when the bucket is full, and
        is paid back afterwards."""
        if self.wait(amount, now) > 0:
            return False
        self._level -= amount
        return True

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` may pass; 0 is at once."""
        self._level = min(self._burst, self._level + max(0.0, now - self._at) * self._rate)
        self._at = max(now, self._at)
        return max(0.0, (min(amount, self._burst) - self._level) / self._rate)

    def give_back(self, amount: float) -> None:
        """What was taken does not count after all."""
        self._level = min(self._burst, self._level + amount)

    def full(self, now: float) -> bool:
        return self.wait(self._burst, now) == 0


class Rates:
    """A bucket for each key: an address, a user. Remembers at most `MOST_KEYS` of them."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> float:
        """0 when one more is allowed now, otherwise the seconds until it is."""
        bucket = self._bucket(key, now)
        return 0.0 if bucket.take(1, now) else bucket.wait(1, now)

    def wait(self, key: str, now: float) -> float:
        """Seconds until one more would be allowed; takes none."""
        bucket = self._buckets.get(key)
        return 0.0 if bucket is None else bucket.wait(1, now)

    def give_back(self, key: str) -> None:
        """What was taken last does not count after all."""
        if (bucket := self._buckets.get(key)) is not None:
            bucket.give_back(1)

    def _bucket(self, key: str, now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            self._forget(now)
            bucket = self._buckets[key] = Bucket(self._rate, self._burst, now)
        self._buckets.move_to_end(key)
        return bucket

    def _forget(self, now: float) -> None:
        """Forget those that were used longest ago while they are full again, or too many."""
        while self._buckets:
            key, oldest = next(iter(self._buckets.items()))
            if not oldest.full(now) and len(self._buckets) < MOST_KEYS:
                break
            del self._buckets[key]


class Counts:
    """How many there are at a time of each key, at most `most`; 0 is any number."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._counts)

    def held(self) -> tuple[str, ...]:
        """Those of which there are any."""
        return tuple(self._counts)

    def of(self, key: str) -> int:
        return self._counts[key]

    def enter(self, key: str) -> bool:
        """Count one more, unless there are enough."""
        if self._most and self._counts[key] >= self._most:
            return False
        self._counts[key] += 1
        return True

    def leave(self, key: str) -> None:
        self._counts[key] -= 1
        if self._counts[key] <= 0:
            del self._counts[key]
