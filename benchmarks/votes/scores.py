"""Bradley–Terry scores of votes on pairs, with bootstrap intervals.

A method of strength p is preferred to one of strength q with probability p / (p + q) (Bradley and Terry, 1952). A tie
is half a win for both. Strengths are found by minorize–maximize steps (Hunter, The Annals of Statistics 32, 2004).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
# Steps end when no log strength changes by more than this.
CLOSE, MOST_STEPS = 1e-9, 10_000


@dataclass(frozen=True)
class Vote:
    """One voter's choice between two methods on one case; share: 1 where `first` was preferred, ½ for a tie, or 0."""

    voter: str
    case: str
    first: str
    second: str
    share: float


@dataclass(frozen=True)
class Score:
    """A method's log strength relative to the mean of all, with its 95 % interval, and its votes."""

    method: str
    score: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int


def strengths(wins: np.ndarray) -> np.ndarray:
    """Log strengths of mean 0, [..., N], for numbers of wins [..., N, N] of the row's method over the column's.

    Every method must be reached from every other by wins; otherwise the likelihood has no maximum.
    """
    games, own = wins + np.swapaxes(wins, -1, -2), wins.sum(-1)
    log = np.zeros(own.shape)
    for _ in range(MOST_STEPS):
        p = np.exp(log)
        stepped = np.log(own / (games / (p[..., :, None] + p[..., None, :])).sum(-1))
        stepped -= stepped.mean(-1, keepdims=True)
        close = np.abs(stepped - log).max() < CLOSE
        log = stepped
        if close:
            break
    return log


def steadied(wins: np.ndarray) -> np.ndarray:
    """Adds one tie of each method with a further one, the last: one that never lost then has a finite score."""
    count = wins.shape[-1]
    added = np.zeros((*wins.shape[:-2], count + 1, count + 1))
    added[..., :count, :count] = wins
    added[..., :count, count] = added[..., count, :count] = 0.5
    return added


def scored(votes: Sequence[Vote]) -> list[Score]:
    """The scores of all methods, the best first.

    The interval is of resamples of the voters and, independently, of the cases: votes of one voter, or on one case, are
    alike. With one voter it is of the cases alone.
    """
    methods = sorted({method for vote in votes for method in (vote.first, vote.second)})
    voters, cases = sorted({vote.voter for vote in votes}), sorted({vote.case for vote in votes})
    first, second, voter, case = (
        np.array([names.index(getattr(vote, key)) for vote in votes])
        for key, names in (("first", methods), ("second", methods), ("voter", voters), ("case", cases))
    )
    share = np.array([vote.share for vote in votes])

    def fitted(weights: np.ndarray) -> np.ndarray:
        """Scores [R,N] for the weights of the votes, [R,V]."""
        wins = np.zeros((len(weights), len(methods), len(methods)))
        for row, own in zip(wins, weights, strict=True):
            np.add.at(row, (first, second), own * share)
            np.add.at(row, (second, first), own * (1 - share))
        log = strengths(steadied(wins))[:, :-1]
        return log - log.mean(-1, keepdims=True)

    rng = np.random.default_rng(0)
    drawn = [rng.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES) for names in (voters, cases)]
    weights = np.float64(drawn[0][:, voter] * drawn[1][:, case])
    (best,), resampled = fitted(np.ones((1, len(votes)))), fitted(weights)
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    found = []
    for index, method in enumerate(methods):
        own = np.concatenate([share[first == index], 1 - share[second == index]])
        counts = (int((own == value).sum()) for value in (1, 0.5, 0))
        found.append(Score(method, float(best[index]), float(low[index]), float(high[index]), *counts))
    return sorted(found, key=lambda one: -one.score)
