"""How far a batch is: one line that is redrawn on a terminal, a line now and then elsewhere."""

import collections
import sys
import threading
import time

# In seconds: how often a terminal and anything else gets a line, and the time over which the rate is measured.
REDRAW, PRINT, WINDOW = 0.5, 30.0, 120.0
BAR = 24


class Progress:
    """Counts jobs as they end. May be used from any thread."""

    def __init__(self, counts: dict[str, int], per_worker: bool):
        self.counts, self.per_worker = dict(counts), per_worker
        self.running: dict[str, tuple[int, float]] = {}
        self.ends: collections.deque[float] = collections.deque(maxlen=1000)
        self.begun = time.monotonic()
        self.drawn = 0.0
        self.live = sys.stderr.isatty()
        self._lock = threading.RLock()

    def counted(self, counts: dict[str, int]) -> None:
        """What the ledger has, which other processes change too."""
        with self._lock:
            self.counts = dict(counts)

    def began(self, worker: str, row: int) -> None:
        with self._lock:
            self.running[worker] = (row, time.monotonic())

    def ended(self, worker: str, row: int, state: str, seconds: float) -> None:
        with self._lock:
            self.running.pop(worker, None)
            if state in ("done", "failed", "refused"):
                self.ends.append(time.monotonic())
                self.counts[state] += 1
                self.counts["queued"] = max(0, self.counts["queued"] - 1)
            if self.per_worker:
                self.say(f"{worker}: row {row} {state} in {seconds:.1f} s")

    def say(self, text: str) -> None:
        """A line above the bar."""
        with self._lock:
            print(f"\r\033[K{text}" if self.live else text, file=sys.stderr, flush=True)

    def draw(self, frames: dict[str, tuple[int, int] | None] | None = None) -> None:
        """frames: of the workers that run a clip, how many are done, of how many."""
        now = time.monotonic()
        if now - self.drawn < (REDRAW if self.live else PRINT):
            return
        self.drawn = now
        with self._lock:
            start, end = ("\r\033[K", "") if self.live else ("", "\n")
            print(start + self.line(now) + self.clips(frames or {}), end=end, file=sys.stderr, flush=True)

    def line(self, now: float) -> str:
        total = max(1, sum(self.counts.values()))
        over = self.counts["done"] + self.counts["failed"] + self.counts["refused"]
        filled = BAR * over // total
        text = f"[{'█' * filled}{'·' * (BAR - filled)}] {over}/{total}"
        if bad := self.counts["failed"] + self.counts["refused"]:
            text += f", {bad} failed"
        recent = [end for end in self.ends if now - end <= WINDOW]
        if recent:
            rate = len(recent) / max(1e-3, min(WINDOW, now - self.begun))
            left = (total - over) / rate
            text += f", {rate:.3g}/s, {duration(left)} left"
        return text

    def clips(self, frames: dict[str, tuple[int, int] | None]) -> str:
        """How far each clip is that is being worked on."""
        known = [(self.running[name][0], *count) for name, count in frames.items() if count and name in self.running]
        return "".join(f", row {row}: frame {done} of {total}" for row, done, total in known)

    def close(self) -> None:
        if self.live:
            with self._lock:
                print("\r\033[K", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Such as "3 h 20 min"."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
