import pytest
import torch
from kg_samples import TableModel, random_task

from graphkit.data import QueryBatch, rank_triples, shard
from graphkit.data.batch_size import queries_per_batch


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("total", [0, 1, 2, 6, 7, 50])
def test_shares_cover_every_row_once_and_are_even(total, size):
    bounds = [shard(total, rank, size) for rank in range(size)]
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(total))
    lengths = [stop - start for start, stop in bounds]
    assert max(lengths) - min(lengths) <= 1 and lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_of_a_batch(rows, size):
    task = random_task()
    batch = next(iter(task.loader(batch_size=rows, num_negatives=3)))
    shares = [batch.share(rank, size) for rank in range(size)]
    assert torch.equal(torch.cat([share.triples for share in shares]), batch.triples)
    assert all(torch.equal(share.joint_triples, batch.triples) and share.graph is batch.graph for share in shares)
    assert sum(share.weight for share in shares) == pytest.approx(1)
    assert [share.weight for share in shares] == [share.num_queries / rows for share in shares]
    corrupts_tail = torch.cat([share.corrupts_tail for share in shares])
    assert corrupts_tail.tolist() == [row < rows // 2 for row in range(rows)] == batch.corrupts_tail.tolist()
    # said by the triples themselves: the head of a row that corrupts tails never changes
    heads, tails = batch.triples[corrupts_tail, :, 0], batch.triples[~corrupts_tail, :, 2]
    assert bool((heads == heads[:, :1]).all() and (tails == tails[:, :1]).all())


def test_a_share_of_a_share_and_a_moved_share_know_their_rows():
    task = random_task()
    batch = next(iter(task.loader(batch_size=7, num_negatives=2)))
    inner = batch.share(1, 2).share(1, 2)
    assert torch.equal(inner.triples, batch.triples[6:]) and inner.first == 6 and inner.weight == 1 / 7
    moved = batch.share(1, 2).to("meta")
    assert moved.first == 4 and moved.joint_triples.device.type == moved.corrupts_tail.device.type == "meta"
    assert isinstance(moved, QueryBatch) and moved.weight == 3 / 7


class Rank:
    """One of several processes, seen from outside: the parts are added up by the test."""

    local_size = 1

    def __init__(self, rank, size):
        self.rank, self.size = rank, size

    def gather(self, parts):
        self.parts = parts
        return parts


@pytest.mark.parametrize("ties", ["pessimistic", "mean"])
@pytest.mark.parametrize(("entities", "facts", "batch_size"), [(12, 90, 4), (12, 90, 50), (40, 2400, 64)])
@pytest.mark.parametrize("size", [2, 3])
def test_parts_of_the_ranks_add_up(entities, facts, batch_size, size, ties):
    task = random_task(entities=entities, facts=facts)
    options = {"ties": ties, "batch_size": batch_size}
    whole = TableModel(task)
    expected = torch.cat(rank_triples(whole, task.graph(), task.test, task.fact_index("test"), **options))
    sums, asked, sizes = torch.zeros_like(expected), [], []
    for rank in range(size):
        one, model, done = Rank(rank, size), TableModel(task), []
        parts = rank_triples(
            model, task.graph(), task.test, task.fact_index("test"), **options, processes=one,
            progress=lambda *numbers, done=done: done.append(numbers),
        )  # fmt: skip
        assert int((one.parts > 0).sum()) < len(expected)  # no process ranks all
        assert done[-1] == (len(model.asked), len(model.asked))
        sums, asked = sums + torch.cat(parts), asked + model.asked
        sizes.append(len(model.asked))
    assert torch.equal(sums, expected) and asked == whole.asked  # every query once, none is padding
    blocks = [n for n in sizes[:-1] if n % 32 == 0]
    assert max(sizes) - min(sizes) <= (1 if len(whole.asked) < 4 * 32 * size else 32)
    assert len(whole.asked) < 4 * 32 * size or len(blocks) == size - 1


def test_a_process_without_queries():
    task = random_task()
    model, one = TableModel(task), Rank(2, 3)
    tail, head = rank_triples(model, task.graph(), task.test[:1], None, processes=one)
    assert tail.tolist() == head.tolist() == [0] and model.asked == []


def test_processes_of_one_machine_divide_its_memory(monkeypatch):
    monkeypatch.setattr("graphkit.data.batch_size.available_memory", lambda device: 2 * 200 * 16 * 12)
    graph = random_task().graph()
    assert graph.num_nodes == 12
    assert [queries_per_batch(object(), graph, n) for n in (1, 2, 20)] == [192, 96, 10]  # whole blocks above 32
