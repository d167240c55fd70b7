"""What every model of graphkit has in common."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["Model"]


class Model(torch.nn.Module):
    """A trainable model that knows how it was made.

    A subclass is one paper in one file. It takes its sizes in the constructor as PyG's models do, defines
    :meth:`for_task` (sizes from the data) and :meth:`loss`, and is then trained, saved and loaded by the engine.

    Attributes:
        config: the constructor's arguments as plain values; ``type(model)(**model.config)`` is the same model untrained.
        sizes: names of constructor arguments that come from the data and therefore never stand in an experiment file.
        trainable: whether there is anything to train; a heuristic is evaluated as it is.

    Example:
        >>> from graphkit.models import NBFNet
        >>> NBFNet(3, 8, 2).config["hidden_channels"]
        8
    """

    config: dict[str, Any]
    sizes: tuple[str, ...] = ()
    trainable: bool = True

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        original = cls.__init__
        signature = inspect.signature(original)

        @functools.wraps(original)
        def recording(self: Model, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            if type(self) is cls:
                bound = signature.bind(self, *args, **kwargs)
                bound.apply_defaults()
                self.config = dict(list(bound.arguments.items())[1:])

        cls.__init__ = recording  # type: ignore[assignment, method-assign]

    @classmethod
    def for_task(cls, task: Any, **options: Any) -> Model:
        """A model of the sizes of the task's data.

        Raises:
            AttributeError: the task lacks a size that the model needs; it is of another kind.
        """
        return cls(**{name: getattr(task, name) for name in cls.sizes}, **options)

    def loss(self, batch: Any) -> Tensor:
        """Training loss of a batch of the task's loader, a scalar."""
        raise NotImplementedError(f"{type(self).__name__} defines no training loss")

    def training_step(self, task: Any, *, lr: float = 5e-3, **loader: Any) -> float:
        """One step of Adam on the next batch of the task's loader: for timing, or for a loop of one's own.

        Args:
            task: gives the batches; its passes follow each other.
            lr: learning rate, used when the first step makes the optimizer.
            loader: options of ``task.loader``.

        Returns:
            The batch's loss before the step.
        """
        if self not in _STEPS:
            _STEPS[self] = (torch.optim.Adam(self.parameters(), lr=lr), _batches(task, loader))
        optimizer, batches = _STEPS[self]
        self.train()
        optimizer.zero_grad(set_to_none=True)
        loss = self.loss(next(batches))
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def num_parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


_STEPS: weakref.WeakKeyDictionary[Model, tuple[torch.optim.Optimizer, Iterator[Any]]] = weakref.WeakKeyDictionary()


def _batches(task: Any, options: dict[str, Any]) -> Iterator[Any]:
    epoch = 0
    while True:
        yield from task.loader("train", epoch=epoch, **options)
        epoch += 1
