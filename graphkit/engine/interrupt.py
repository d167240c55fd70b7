"""Control-C that waits for the end of the optimizer step, so that the checkpoint it causes is consistent."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["InterruptGuard", "Interrupted"]


class Interrupted(KeyboardInterrupt):
    """Control-C seen at a moment at which the training is consistent."""


class InterruptGuard:
    """Notes the first control-C for :meth:`check`; the second one interrupts at once.

    Outside the main thread, where signals never arrive, it does nothing.

    Example:
        >>> with InterruptGuard() as guard:
        ...     guard.check()  # raises Interrupted after a control-C
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> InterruptGuard:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if error[0] is None:
            self.check()

    def check(self, *progress: object) -> None:
        """Raise :class:`Interrupted` if control-C was pressed; fit to be called as a progress function."""
        if self.requested:
            raise Interrupted

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
