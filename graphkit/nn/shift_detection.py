"""A stream of graphs: a loss that leaves its usual range calls for another expert, an old one or a new one."""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from graphkit.errors import UserError

__all__ = ["ExpertSwitcher", "ReservoirBuffer", "ShiftDetector", "Switch"]


class ShiftDetector:
    r"""Tells when a smoothed loss is out of the range of the last losses.

    .. math:: L_s \leftarrow \alpha L + (1 - \alpha) L_s, \qquad \text{shift when } L_s > \operatorname{mean} + n \operatorname{std}

    over the last ``window`` raw losses. A loss above the threshold does not enter the window. Steps of less than n standard
    deviations are never seen, as the smoothed loss converges to the new mean; nor is slow drift, unless ``cusum`` is set. Whether
    the paper's window holds raw or smoothed losses is not clear; this one holds raw ones.

    Args:
        alpha: weight of the newest loss.
        window: losses that the range is of; no shift is told before it is full.
        n_sigma: n.
        warmup: first losses that do not count, while the loss still falls.
        floor: least standard deviation.
        robust: median and 1.4826 times the median absolute deviation instead, for heavy tails.
        cusum: sum of excesses over half a standard deviation of the first full window that tells a slow drift; None: not looked at.

    Attributes:
        smoothed: :math:`L_s`, or None before the first loss.

    Raises:
        UserError: numbers out of range; a loss that is not finite.

    Source:
        Zhu et al., TAME (arXiv 2210.03869).

    Example:
        >>> detector = ShiftDetector(window=10, floor=0.1)
        >>> [detector.update(1.0) for _ in range(12)].count(True)
        0
        >>> [detector.update(2.0) for _ in range(3)]
        [False, True, True]
    """

    def __init__(
        self,
        *,
        alpha: float = 0.2,
        window: int = 100,
        n_sigma: float = 3.0,
        warmup: int = 0,
        floor: float = 1e-6,
        robust: bool = False,
        cusum: float | None = None,
    ) -> None:
        if not 0 < alpha <= 1:
            raise UserError(f"alpha is {alpha!r}, expected a number above 0 up to 1")
        if window < 2:
            raise UserError(f"window is {window!r}, expected at least 2 losses")
        if not n_sigma > 0 or not floor > 0:
            raise UserError(f"n_sigma is {n_sigma!r} and floor {floor!r}, expected numbers above 0")
        self.alpha, self.window, self.n_sigma, self.warmup = alpha, window, n_sigma, warmup
        self.floor, self.robust, self.cusum = floor, robust, cusum
        self.reset()

    def reset(self) -> None:
        """Forget all losses: after a change of objective, augmentation or batch size."""
        self.smoothed: float | None = None
        self.losses: deque[float] = deque(maxlen=self.window)
        self.left = self.warmup
        self.excess, self._first = 0.0, (0.0, 0.0)

    @property
    def threshold(self) -> float:
        """The largest loss in range; infinite while the window is not full."""
        if len(self.losses) < self.window:
            return math.inf
        middle, spread = self._range()
        return middle + self.n_sigma * spread

    def update(self, loss: float) -> bool:
        """Take in a loss; True when it tells of a shift."""
        loss = float(loss)
        if not math.isfinite(loss):
            raise UserError(f"a loss is {loss}, expected a finite number; the training has diverged")
        if self.left:
            self.left -= 1
            return False
        self.smoothed = loss if self.smoothed is None else self.alpha * loss + (1 - self.alpha) * self.smoothed
        threshold = self.threshold
        shifted = self.smoothed > threshold
        if threshold < math.inf and self.cusum is not None:
            middle, spread = self._first
            self.excess = max(0.0, self.excess + (loss - middle) / spread - 0.5)
            shifted = shifted or self.excess > self.cusum
        if not shifted and loss <= threshold:
            self.losses.append(loss)
            if threshold == math.inf and len(self.losses) == self.window:
                self._first = self._range()
        return shifted

    def settle(self) -> None:
        """Begin again from the usual loss, as when an expert is taken up again."""
        self.smoothed = self._range()[0] if self.losses else None
        self.excess = 0.0

    def _range(self) -> tuple[float, float]:
        if self.robust:
            middle = statistics.median(self.losses)
            spread = 1.4826 * statistics.median(abs(loss - middle) for loss in self.losses)
        else:
            middle = math.fsum(self.losses) / len(self.losses)
            spread = math.sqrt(math.fsum((loss - middle) ** 2 for loss in self.losses) / (len(self.losses) - 1))
        return middle, max(spread, self.floor)


class Switch(NamedTuple):
    """A change of the active expert: from, to, whether it is new, and whether the cap stood against a new one."""

    before: int
    after: int
    new: bool
    capped: bool


class ExpertSwitcher:
    """Keeps one expert active, and changes it when the loss shifts.

    At a shift every other expert is tried on the batch. Among those within their own range the one with the lowest loss is
    taken up; else a new expert is made. At the cap the one that is least out of range is taken instead (merge some to make room).

    Args:
        max_experts: cap.
        options: of each expert's :class:`ShiftDetector`.

    Attributes:
        active: number of the active expert, from 0.
        num_experts: experts so far.

    Raises:
        UserError: a cap below 1.

    Source:
        Zhu et al., TAME (arXiv 2210.03869). Trying experts by their raw loss on one batch is graphkit's reading.

    Example:
        >>> switcher = ExpertSwitcher(max_experts=4, window=5, floor=0.1)
        >>> steps = [switcher.step(1.0, lambda m: 9.0) for _ in range(6)] + [switcher.step(9.0, lambda m: 9.0)]
        >>> steps[-1]
        Switch(before=0, after=1, new=True, capped=False)
    """

    def __init__(self, *, max_experts: int = 16, **options: Any) -> None:
        if max_experts < 1:
            raise UserError(f"max_experts is {max_experts!r}, expected a whole number from 1 upwards")
        self.max_experts, self.options = max_experts, options
        self.detectors = [ShiftDetector(**options)]
        self.active = 0

    @property
    def num_experts(self) -> int:
        return len(self.detectors)

    def step(
        self, loss: float, evaluate: Callable[[int], float], create: Callable[[int], None] | None = None
    ) -> Switch | None:
        """Take in the active expert's loss on a batch.

        Args:
            loss: label-free loss of a batch of one source.
            evaluate: from the number of an expert to its loss on this batch; called at a shift only.
            create: makes the expert of this number, when a new one is needed.

        Returns:
            the change, or None.
        """
        if not self.detectors[self.active].update(loss):
            return None
        before = self.active
        tried = {m: float(evaluate(m)) for m in range(self.num_experts) if m != before}
        fits = [m for m, value in tried.items() if value <= self.detectors[m].threshold < math.inf]
        self.detectors[before].settle()
        if fits:
            self.active = min(fits, key=lambda m: tried[m])
            self.detectors[self.active].settle()
            return Switch(before, self.active, False, False)
        if self.num_experts < self.max_experts:
            self.detectors.append(ShiftDetector(**self.options))
            self.active = self.num_experts - 1
            if create is not None:
                create(self.active)
            return Switch(before, self.active, True, False)
        tried[before] = float(loss)
        self.active = min(tried, key=lambda m: tried[m] - min(self.detectors[m].threshold, 1e300))
        self.detectors[self.active].settle()
        return Switch(before, self.active, False, True)


class ReservoirBuffer:
    """A fixed number of items, drawn evenly from all that were offered: those with the largest random priorities stay.

    Args:
        size: how many.
        seed: of the priorities.

    Raises:
        UserError: a size below 1.

    Example:
        >>> buffer = ReservoirBuffer(2)
        >>> for item in range(100):
        ...     buffer.add(item)
        >>> len(buffer.items())
        2
    """

    def __init__(self, size: int, *, seed: int = 0) -> None:
        if size < 1:
            raise UserError(f"size is {size!r}, expected a whole number from 1 upwards")
        self.size = size
        self._random = random.Random(seed)
        self._heap: list[tuple[float, int, Any]] = []
        self._offered = 0

    def add(self, item: Any) -> None:
        """Offer an item."""
        entry = (self._random.random(), self._offered, item)
        self._offered += 1
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def items(self) -> list[Any]:
        """What is kept, in the order in which it was offered."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: entry[1])]
