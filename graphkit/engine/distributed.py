"""Several processes that train and evaluate as one: started by torchrun, gloo on the CPU, nccl on CUDA.

Every process draws the same joint batch, because a batch depends on (seed, epoch, step) only, and works on its share of
the rows. A row's loss depends on the joint batch alone, so the sum of the weighted gradients is the gradient of the
joint batch, and all processes hold the same weights after every step. The first process alone writes files.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from graphkit.engine.interrupt import Interrupted, InterruptGuard
from graphkit.engine.seeding import seed_all
from graphkit.errors import SaidByFirst, UserError

if TYPE_CHECKING:
    from graphkit.engine.checkpoint import Keeper
    from graphkit.engine.state import TrainingState

__all__ = ["OneProcess", "ProcessLost", "SeveralProcesses", "joined"]

# How long a process waits for the slowest one, which may have a longer share of an evaluation to do. A process that has
# ended is noticed at once, because its connections close.
_TIMEOUT = datetime.timedelta(minutes=30)
_T = TypeVar("_T")


class ProcessLost(UserError):
    """Another process has ended or does not answer."""


class OneProcess:
    """This process alone: nothing is shared, sent or waited for.

    Example:
        >>> processes = OneProcess()
        >>> processes.first, processes.tell(5), processes.gather(torch.tensor([3]))
        (True, 5, tensor([3]))
    """

    rank, size, local_size = 0, 1, 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def device(self, wanted: str | None) -> torch.device:
        """Where this process computes; None takes CUDA where present."""
        return torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))

    def begin_epoch(self, model: Any, task: Any, epoch: int) -> None:
        """Tell a model that wants to know it, by a method of this name, that an epoch begins."""
        if hasattr(model, "begin_epoch"):
            model.begin_epoch(task, epoch)

    def loss(self, model: Any, batch: Any, seed: int, step: int) -> Tensor:
        """This process's part of the loss of the joint batch; the parts add up to it.

        Raises:
            UserError: when there are several processes and the batch cannot be shared.
        """
        return model.loss(batch)

    def reduce(self, model: torch.nn.Module, loss: Tensor) -> float:
        """Make the gradients those of the joint batch; returns its loss."""
        return loss.item()

    def gather(self, parts: Tensor) -> Tensor:
        """The whole of a tensor of which every process has filled its own entries and left the others zero."""
        return parts

    def tell(self, value: _T) -> _T:
        """The first process's value, on all of them."""
        return value

    def on_first(self, call: Callable[[], _T]) -> _T:
        """Call on the first process; its result, or its UserError, on all of them."""
        return call()

    def in_turn(self, call: Callable[[], _T]) -> _T:
        """Call on the first process, then on the others, which find in the cache what the first has put there."""
        return call()

    @contextlib.contextmanager
    def around_first(self, context: contextlib.AbstractContextManager[Any]) -> Iterator[None]:
        """A context that the first process enters; a UserError at its entry is everybody's."""
        with contextlib.ExitStack() as stack:
            self.on_first(lambda: _enter(stack, context))
            yield

    def start(self, keeper: Keeper, resume: bool) -> TrainingState:
        """Take up the training, with the weights, the moments and the position of the first process."""
        return keeper.open(resume)

    def load_best(self, keeper: Keeper) -> None:
        """Put the best weights into the model."""
        keeper.load_best()

    def check(self, guard: InterruptGuard) -> None:
        """Raise Interrupted on all processes after the same step if control-C was pressed in one of them."""
        guard.check()

    def settle(self) -> None:
        """After :meth:`check` has raised: nobody leaves before everybody is here, the checkpoint written."""


class SeveralProcesses(OneProcess):
    """The processes of torch's default process group, which has to exist; :func:`joined` makes it.

    A collective that fails raises ProcessLost, which says so to a person.
    """

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))
        # what the group cannot send from the CPU goes over the GPU
        self._sends_cpu = "cpu" in str(dist.get_backend_config())
        self._interrupted = False

    def device(self, wanted: str | None) -> torch.device:
        """Where this process computes: on CUDA, each of a machine's processes has a GPU of its own.

        Raises:
            UserError: when there are fewer GPUs than processes, or ``wanted`` names one GPU.
        """
        place = super().device(wanted)
        if place.type != "cuda":
            return place
        count, local = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", self.rank % self.local_size))
        if place.index is not None:
            raise UserError(
                f"device is {wanted!r}, but each of {self.size} processes needs a GPU of its own; say 'cuda'"
            )
        if local >= count:
            raise UserError(
                f"{self.local_size} processes need a GPU each, and {count} are here; start fewer, or pass device='cpu'"
            )
        torch.cuda.set_device(local)
        return torch.device("cuda", local)

    def begin_epoch(self, model: Any, task: Any, epoch: int) -> None:
        super().begin_epoch(model, task, epoch)
        if hasattr(model, "begin_epoch"):
            self._spread_buffers(model)

    def loss(self, model: Any, batch: Any, seed: int, step: int) -> Tensor:
        if not hasattr(batch, "share"):
            raise UserError(
                f"a {type(batch).__name__} cannot be shared among {self.size} processes (it has no method share); "
                "train this task with one process"
            )
        # A stream per step and process: dropout differs between shares, and a resume needs no states of the others.
        seed_all(int.from_bytes(hashlib.sha256(f"{seed} {step} {self.rank}".encode()).digest()[:4], "big"))
        share = batch.share(self.rank, self.size)
        if share.weight == 0:
            return torch.zeros((), requires_grad=True)
        return model.loss(share) * share.weight

    def reduce(self, model: torch.nn.Module, loss: Tensor) -> float:
        parameters = [p for p in model.parameters() if p.requires_grad]
        part = [loss.item(), *(float(p.grad is not None) for p in parameters)]
        whole = self._sum(torch.tensor(part, dtype=torch.float64)).tolist()
        alike: dict[tuple[torch.device, torch.dtype], list[torch.nn.Parameter]] = {}
        for parameter, users in zip(parameters, whole[1:], strict=True):
            if users:  # what no process used has no gradient, as in one process
                alike.setdefault((parameter.device, parameter.dtype), []).append(parameter)
        for some in alike.values():
            flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in some])
            for parameter, piece in zip(some, self._sum(flat).split([p.numel() for p in some]), strict=True):
                parameter.grad = piece.view_as(parameter).clone()
        self._spread_buffers(model)
        return whole[0]

    def _spread_buffers(self, model: torch.nn.Module) -> None:
        """Give everybody the buffers of the first process."""
        for buffer in model.buffers():
            self._collect(dist.broadcast, buffer, src=0)

    def gather(self, parts: Tensor) -> Tensor:
        return self._sum(parts.clone())

    def tell(self, value: _T) -> _T:
        box = [value if self.first else None]
        with _told():
            dist.broadcast_object_list(box, src=0)
        return value if self.first else box[0]  # type: ignore[return-value]

    def on_first(self, call: Callable[[], _T]) -> _T:
        found: tuple[Any, str | None] = (None, None)
        if self.first:
            try:
                found = (call(), None)
            except UserError as error:
                self.tell((None, str(error)))
                raise
        result, fault = self.tell(found)
        if fault is not None:
            raise SaidByFirst(fault)
        return result

    def in_turn(self, call: Callable[[], _T]) -> _T:
        kept: list[_T] = []
        self.on_first(lambda: kept.append(call()) if self.first else None)
        return kept[0] if kept else call()

    def start(self, keeper: Keeper, resume: bool) -> TrainingState:
        state = keeper.state = self.on_first(lambda: keeper.open(resume))
        weights, moments = self.tell(_on_cpu((keeper.model.state_dict(), keeper.optimizer.state_dict())))
        if not self.first:
            keeper.model.load_state_dict(weights)
            keeper.optimizer.load_state_dict(moments)
        return state

    def load_best(self, keeper: Keeper) -> None:
        self.on_first(keeper.load_best)
        weights = self.tell(_on_cpu(keeper.model.state_dict()))
        if not self.first:
            keeper.model.load_state_dict(weights)

    def check(self, guard: InterruptGuard) -> None:
        if self._sum(torch.tensor([float(guard.requested)])).item():
            self._interrupted = True
            raise Interrupted

    def settle(self) -> None:
        if self._interrupted:
            self._interrupted = False
            self.tell(None)

    def _sum(self, tensor: Tensor) -> Tensor:
        return self._collect(dist.all_reduce, tensor)

    def _collect(self, collective: Callable[..., Any], tensor: Tensor, **options: Any) -> Tensor:
        """Run a collective that changes the tensor in place."""
        sent = tensor if tensor.is_cuda or self._sends_cpu else tensor.cuda()
        with _told():
            collective(sent, **options)
        if sent is not tensor:
            tensor.copy_(sent)
        return tensor


def joined() -> OneProcess:
    """The processes that work together: those of torch's default process group, or those that torchrun started.

    In the latter case the group is made here, once, and taken down when the process ends.

    Raises:
        UserError: when the processes that torchrun announces do not find each other.

    Example:
        >>> joined().size
        1
    """
    if not dist.is_available():
        return OneProcess()
    if not dist.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
            return OneProcess()
        both = torch.cuda.is_available() and dist.is_nccl_available()
        try:
            store, rank, size = next(dist.rendezvous("env://", timeout=_TIMEOUT))
            # torchrun keeps its store when it restarts processes; the addresses of the dead ones are still in it
            store = dist.PrefixStore(f"graphkit/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
            backend = "cpu:gloo,cuda:nccl" if both else "gloo"
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"{os.environ['WORLD_SIZE']} processes were announced, but they do not find each other ({error}); "
                "start them with torchrun, or unset RANK and WORLD_SIZE to train with one process"
            ) from error
        atexit.register(_leave)
    return SeveralProcesses() if dist.get_world_size() > 1 else OneProcess()


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn the failure of a collective into a message for a person."""
    try:
        yield
    except RuntimeError as error:
        minutes = int(_TIMEOUT.total_seconds() // 60)
        raise ProcessLost(
            f"another process of this training has ended, or did not answer for {minutes} minutes "
            f"({str(error).splitlines()[0]}); look for its own message, then go on with resume"
        ) from error


def _enter(stack: contextlib.ExitStack, context: contextlib.AbstractContextManager[Any]) -> None:
    stack.enter_context(context)


def _on_cpu(value: Any) -> Any:
    """Nested state with its tensors on the CPU: a tensor names its device when it is sent."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(one) for key, one in value.items()}
    return type(value)(map(_on_cpu, value)) if isinstance(value, (list, tuple)) else value
