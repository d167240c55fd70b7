"""OGB's knowledge graphs: the format proved on small files, against OGB's own reader where it is installed."""

import builtins
import functools
import http.server
import importlib.metadata
import os
import pickle
import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import ogb_samples
import pytest
import torch
import yaml
from ogb_samples import (
    NEGATIVES,
    NODES,
    RELATIONS,
    SIZES,
    SPLIT_SIZES,
    write_biokg,
    write_card,
    write_gzip,
    write_wikikg2,
)

import graphkit.datasets as datasets
from graphkit.data import OGBKnowledgeGraphTask
from graphkit.errors import UserError

KINDS = {"biokg": ("ogbl-biokg", write_biokg), "wikikg2": ("ogbl-wikikg2", write_wikikg2)}

needs_ogb = pytest.mark.skipif(
    not any(d.metadata["Name"] == "ogb" for d in importlib.metadata.distributions()), reason="ogb is not installed"
)


@pytest.fixture(autouse=True)
def nobody_to_ask(monkeypatch):
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("a question on standard input"))


@pytest.fixture(params=sorted(KINDS))
def sample(request, tmp_path):
    """(kind, card of the sample, root, what its splits hold)."""
    name, write = KINDS[request.param]
    root = tmp_path / "root"
    content = write(root)
    return request.param, write_card(tmp_path / "card.yaml", root, datasets.card(name)), root, content


def named(kind, content, row, relations, negative=None, side=None):
    """Row of a split as names, by the definition of the files."""
    numbers = {"head": content["head"][row], "tail": content["tail"][row]}
    if negative is not None:
        numbers[side] = negative
    if kind == "wikikg2":
        entity = {key: f"Q{100 + number}" for key, number in numbers.items()}
    else:
        entity = {}
        for key, number in numbers.items():
            type_name = content[f"{key}_type"][row]
            entity[key] = f'{type_name}:{type_name[0].upper()}{number}, "so called"'
    return entity["head"], relations[int(content["relation"][row])], entity["tail"]


def test_every_triple_and_negative_is_what_the_files_say(sample):
    kind, card, root, content = sample
    task = datasets.load(card, root=root)
    relations = list(RELATIONS) if kind == "biokg" else ["P31", "P279"]
    assert isinstance(task, OGBKnowledgeGraphTask) and task.relations == relations
    assert task.statistics() == {"entities": NODES, "relations": len(relations), **SPLIT_SIZES}
    assert task.entity_types == (SIZES if kind == "biokg" else None)

    def names(triple):
        head, relation, tail = (int(x) for x in triple)
        return task.entities[head], task.relations[relation], task.entities[tail]

    for split, arrays in content.items():
        for row, triple in enumerate(task.triples(split)):
            assert names(triple) == named(kind, arrays, row, relations)
            if split == "train":
                continue
            head, relation, tail = triple.tolist()
            tails, heads = (given[row].tolist() for given in task.negatives[split])
            assert len(tails) == len(heads) == NEGATIVES
            for k in range(NEGATIVES):
                expected = named(kind, arrays, row, relations, arrays["tail_neg"][row, k], "tail")
                assert names((head, relation, tails[k])) == expected
                expected = named(kind, arrays, row, relations, arrays["head_neg"][row, k], "head")
                assert names((heads[k], relation, tail)) == expected


@needs_ogb
def test_ogbs_own_reader_finds_the_same(sample, monkeypatch):
    kind, card, root, _ = sample
    name = KINDS[kind][0]
    monkeypatch.setenv("OUTDATED_IGNORE", "1")
    from ogb.linkproppred import LinkPropPredDataset

    # ogb 1.3.6 reads its files with a call that newer versions of torch refuse; these files are our own
    monkeypatch.setattr(torch, "load", functools.partial(torch.load, weights_only=False))
    theirs = LinkPropPredDataset(name=name, root=str(root))
    split_edge, graph = theirs.get_edge_split(), theirs[0]
    task = datasets.load(card, root=root)
    if kind == "wikikg2":
        start, counts = {}, {"": graph["num_nodes"]}
        for column, side in ((0, 0), (2, 1)):
            np.testing.assert_array_equal(task.train[:, column], graph["edge_index"][side])
        np.testing.assert_array_equal(task.train[:, 1], graph["edge_reltype"].reshape(-1))
    else:
        counts = graph["num_nodes_dict"]
        assert counts == task.entity_types and list(counts) == sorted(counts)
        start = dict(zip(counts, np.cumsum([0, *counts.values()]), strict=False))
        total = sum(edges.shape[1] for edges in graph["edge_index_dict"].values())
        assert total == task.train.size(0)
        for (head_type, relation, tail_type), edges in graph["edge_index_dict"].items():
            mine = task.train[task.train[:, 1] == task.relation_id(relation)]
            np.testing.assert_array_equal(mine[:, 0], edges[0] + start[head_type])
            np.testing.assert_array_equal(mine[:, 2], edges[1] + start[tail_type])
    assert sum(counts.values()) == task.num_entities
    for split, arrays in split_edge.items():

        def shifted(key, arrays=arrays):
            values, kinds = arrays[key], arrays.get(f"{key.split('_')[0]}_type")
            offset = np.array([start[one] for one in kinds]) if kinds else np.zeros(len(values), dtype=np.int64)
            return values + offset.reshape((-1,) + (1,) * (values.ndim - 1))

        expected = np.stack([shifted("head"), arrays["relation"], shifted("tail")], axis=1)
        np.testing.assert_array_equal(task.triples(split), expected)
        if split != "train":
            np.testing.assert_array_equal(task.negatives[split][0], shifted("tail_neg"))
            np.testing.assert_array_equal(task.negatives[split][1], shifted("head_neg"))


def test_both_containers_of_torch_save_are_read(tmp_path):
    tasks = []
    for zipped in (True, False):
        root = tmp_path / str(zipped)
        write_biokg(root, zipped=zipped)
        tasks.append(datasets.load(write_card(tmp_path / "card.yaml", root, datasets.card("ogbl-biokg")), root=root))
    assert all(torch.equal(tasks[0].triples(split), tasks[1].triples(split)) for split in SPLIT_SIZES)


def test_a_task_trains_is_sampled_and_checked(sample):
    import graphkit as gk

    _, card, root, _ = sample
    task = datasets.load(card, root=root, valid_triples=4)
    assert len(task.valid) == 4 and len(task.test) == SPLIT_SIZES["test"]
    assert task.provenance["options"] == {"valid_triples": 4}
    assert "passed" in str(task.leak_check())
    model = gk.models.NBFNet.for_task(task, hidden_channels=4, num_layers=2)
    loader = {"batch_size": 5, "num_negatives": 3, "steps_per_epoch": 2, "strict": False}
    run = gk.fit(model, task, epochs=2, loader=loader)
    assert run.steps == 4 and set(run.test) >= {"mrr", "hits@1", "hits@10", "tail_mrr"}
    assert run.test["count"] == 2 * len(task.test) and run.valid["count"] == 8
    for wrong in (0, True, "x"):
        with pytest.raises(UserError, match=r"valid_triples is .*, expected a whole number"):
            datasets.load(card, root=root, valid_triples=wrong)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_shipped_experiments_run_on_the_samples(kind, tmp_path):
    from graphkit.engine.config import load_config
    from graphkit.engine.run import evaluate_run, run_experiment

    name, write = KINDS[kind]
    write(tmp_path / "root")
    card = write_card(tmp_path / "card.yaml", tmp_path / "root", datasets.card(name))
    shipped = load_config(f"nbfnet/{name}")
    assert shipped.data == {"name": name, "valid_triples": 1000} and shipped.protocol["ties"] == "mean"
    small = [f"--data.name={card}", f"--data.root={tmp_path / 'root'}", "--data.valid_triples=5", "--train.epochs=2"]
    small += ["--loader.batch_size=4", "--loader.steps_per_epoch=3", "--loader.num_negatives=2", "--model.num_layers=2"]
    config = load_config(f"nbfnet/{name}", [*small, "--model.hidden_channels=4", "--loader.strict=false"])
    (run,) = run_experiment(config, tmp_path / "run")
    assert run.steps == 6 and run.valid["count"] == 10 and run.test["count"] == 2 * SPLIT_SIZES["test"]
    again = next(evaluate_run(tmp_path / "run"))
    assert again["metrics"] == again["recorded"]
    assert (tmp_path / "run" / "seed-1024" / "test_relations.json").is_file()
    report = (tmp_path / "run" / "report.md").read_text("utf-8")
    assert "## Relations" in report and "tied candidates share the mean of their ranks" in report
    assert "ranked among the negatives given with the data" in report and "filtered:" not in report
    assert "on a fixed sample of 5 validation triples" in report


def test_the_sample_of_another_data_set_is_refused(toy):
    with pytest.raises(UserError, match="toy is validated on all of its validation split; leave out valid_triples"):
        datasets.load(toy.name, root=toy.root, valid_triples=3)


def test_nothing_is_written_below_the_root_or_processed(sample, cache):
    _, card, root, _ = sample
    before = sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))
    datasets.load(card, root=root)
    assert sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*")) == before
    assert not list(cache.rglob("*.npz"))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_shipped_cards_pin_the_first_files(kind, tmp_path, cache):
    name, write = KINDS[kind]
    root = tmp_path / "root"
    write(root)
    entry = datasets.card(name)
    for file in entry.files:  # the types that the sample has not, empty
        if not (root / entry.folders[-1] / file.path).exists():
            write_gzip(root / entry.folders[-1] / file.path, ["ent idx,ent name"])
    task = datasets.load(name, root=root)
    assert task.num_entities == NODES and all(record["pinned"] for record in task.provenance["files"].values())
    path = root / entry.folders[-1] / next(file.path for file in entry.files if file.path.endswith("train.pt"))
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"train\.pt .*at its first use"):
        datasets.load(name, root=root)


def test_partial_folders_are_refused_by_name(sample):
    _, card, root, _ = sample
    files = [path for path in root.rglob("*") if path.is_file() and path.name in ("test.pt", "num-node-dict.csv.gz")]
    for path in files:
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(UserError, match=rf"lacks files of the data set 'sample'; expected .*{path.name}"):
            datasets.load(card, root=root)
        path.write_bytes(kept)
    assert datasets.load(card, root=root)
    content = yaml.safe_load(Path(card).read_text())
    for lost, message in (
        ("test.pt", "lack test.pt"),
        ("num-node", "lack num-node-dict"),
        ("rel", "lack relidx2relname"),
    ):
        kept_files = [file for file in content["files"] if not file["path"].rsplit("/")[-1].startswith(lost)]
        Path(card).write_text(yaml.safe_dump({**content, "files": kept_files}))
        with pytest.raises(UserError, match=message):
            datasets.load(card, root=root)


class Trap:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (os.mkdir, (str(self.folder),))


def test_a_malicious_split_is_refused_and_run_nowhere(sample, tmp_path):
    kind, _, root, content = sample
    folder = next(root.rglob("train.pt")).parent
    torch.save({**content["train"], "head": Trap(tmp_path / "trap")}, folder / "train.pt")
    card = write_card(tmp_path / "card.yaml", root, datasets.card(KINDS[kind][0]))
    with pytest.raises(UserError, match=r"train\.pt asks for \w+\.mkdir"):
        datasets.load(card, root=root)
    assert not (tmp_path / "trap").exists()
    pickle.loads(pickle.dumps(Trap(tmp_path / "trap")))
    assert (tmp_path / "trap").exists()


def spoilt(split, key, change):
    def spoil(root, content):
        folder = next(root.rglob("train.pt")).parent
        arrays = dict(content[split])
        arrays[key] = change(arrays[key])
        if arrays[key] is None:
            del arrays[key]
        torch.save(arrays, folder / f"{split}.pt")

    return spoil


def rewritten(pattern, lines):
    def spoil(root, content):
        write_gzip(next(root.rglob(pattern)), lines)

    return spoil


def changed(array, value):
    array = array.copy()
    array.flat[-1] = value
    return array


@pytest.mark.parametrize(
    ("kind", "spoil", "message"),
    [
        ("biokg", spoilt("train", "head", lambda a: None), r"train\.pt has no 'head'; it has 'head_type', 'relation'"),
        ("biokg", spoilt("valid", "head_type", lambda a: None), r"valid\.pt has no 'head_type'"),
        ("biokg", spoilt("test", "tail_neg", lambda a: None), r"test\.pt has no 'tail_neg'"),
        ("biokg", spoilt("test", "tail_neg", lambda a: a[:, 0]), r"'tail_neg' is int64 \[8\], expected .* \[n, K\]"),
        ("biokg", spoilt("test", "tail_neg", lambda a: a[:-1]), r"'tail_neg' has 7 rows, expected 8"),
        ("biokg", spoilt("train", "tail", lambda a: a[:-1]), r"'tail' has 39 rows, expected 40"),
        ("biokg", spoilt("train", "head", lambda a: a.astype(float)), r"'head' is float64 \[40\], expected an array of whole"),
        ("biokg", spoilt("train", "head", lambda a: a.tolist()), "'head' is list, expected an array of whole"),
        ("biokg", spoilt("train", "head", lambda a: changed(a, 6)), r"row 39 of 'head' names an entity outside of 0 \.\. \d"),
        ("biokg", spoilt("valid", "head_neg", lambda a: changed(a, -1)), r"row 8 of 'head_neg' .* of type '"),
        ("biokg", spoilt("train", "relation", lambda a: changed(a, 3)), "'relation' should hold 40 numbers below 3"),
        ("biokg", spoilt("train", "head_type", lambda a: ["drgu", *a[1:]]), "unknown type of entity 'drgu'; did you mean 'drug'"),
        ("biokg", spoilt("train", "head_type", lambda a: a[1:]), "'head_type' should be a list of 40 names"),
        ("biokg", spoilt("train", "head_type", lambda a: 3), "'head_type' should be a list of 40 names"),
        ("biokg", rewritten("num-node-dict.csv.gz", ["drug,protein", "6"]), "one whole number a type"),
        ("biokg", rewritten("num-node-dict.csv.gz", ["drug", "six"]), "one whole number a type"),
        ("biokg", rewritten("num-node-dict.csv.gz", ["gene", "3"]), r"no mapping/gene_entidx2name\.csv\.gz"),
        ("biokg", rewritten("num-node-dict.csv.gz", ["disease,drug,protein", "4,7,5"]), "names 6 entities, expected 7"),
        ("biokg", rewritten("drug_entidx2name.csv.gz", ["a,b", "0,x", "0,y"]), "line 3: found '0,y', expected a number below 2"),
        ("biokg", rewritten("drug_entidx2name.csv.gz", ["a,b", "0"]), "line 2: found '0'"),
        ("biokg", rewritten("drug_entidx2name.csv.gz", []), "is empty"),
        ("wikikg2", rewritten("num-node-list.csv.gz", ["15", "3"]), "for a single graph"),
        ("wikikg2", spoilt("train", "head", lambda a: changed(a, 15)), r"outside of 0 \.\. 14$"),
    ],
)  # fmt: skip
def test_unexpected_content_is_named(kind, spoil, message, tmp_path):
    name, write = KINDS[kind]
    content = write(tmp_path / "root")
    spoil(tmp_path / "root", content)
    card = write_card(tmp_path / "card.yaml", tmp_path / "root", datasets.card(name))
    with pytest.raises(UserError, match=message):
        datasets.load(card, root=tmp_path / "root")


def test_damaged_and_foreign_text_is_named(tmp_path):
    content = write_wikikg2(tmp_path / "root")
    path = next((tmp_path / "root").rglob("nodeidx2entityid.csv.gz"))
    whole = path.read_bytes()
    for data in (whole[:-9], b"plain text", whole[:20] + b"\0\0\0" + whole[23:]):
        path.write_bytes(data)
        card = write_card(tmp_path / "card.yaml", tmp_path / "root", datasets.card("ogbl-wikikg2"))
        with pytest.raises(UserError, match=r"nodeidx2entityid\.csv\.gz (is damaged|, line|names)"):
            datasets.load(card, root=tmp_path / "root")
    assert content


def test_names_that_repeat_get_their_number(tmp_path):
    write_wikikg2(tmp_path / "root")
    names = ["a,b", *(f"{i},same" if i < 2 else f"{i},Q{i}" for i in range(NODES))]
    write_gzip(next((tmp_path / "root").rglob("nodeidx2entityid.csv.gz")), names)
    card = write_card(tmp_path / "card.yaml", tmp_path / "root", datasets.card("ogbl-wikikg2"))
    assert datasets.load(card, root=tmp_path / "root").entities[:3] == ["same #0", "same #1", "Q2"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def published(tmp_path):
    """A card whose files are in an archive on a local server, packed as OGB packs it."""
    write_wikikg2(tmp_path / "root")
    served = tmp_path / "served"
    served.mkdir()
    with zipfile.ZipFile(served / "wikikg-v2.zip", "w") as archive:
        for path in (tmp_path / "root" / "ogbl_wikikg2").rglob("*"):
            archive.write(path, f"wikikg-v2/{path.relative_to(tmp_path / 'root' / 'ogbl_wikikg2')}")
        archive.writestr("wikikg-v2/../../escape.txt", "x")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(served)))
    threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
    archive = {"url": f"http://127.0.0.1:{server.server_port}/wikikg-v2.zip", "folder": "wikikg-v2"}
    card = write_card(tmp_path / "card.yaml", tmp_path / "root", datasets.card("ogbl-wikikg2"), archive=archive)
    shutil.rmtree(tmp_path / "root")
    yield card, served / "wikikg-v2.zip"
    server.shutdown()
    server.server_close()


def test_an_archive_is_fetched_on_request_only(published, cache, monkeypatch):
    card, archive = published
    with pytest.raises(
        UserError,
        match=r"none of the 7 files .*`graphkit data fetch sample` fetches and unpacks the archive http.*place the",
    ):
        datasets.load(card)
    assert not (cache / "raw").exists()
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    with pytest.raises(UserError, match="GRAPHKIT_OFFLINE is set; unset it to fetch http"):
        datasets.fetch(card)
    monkeypatch.delenv("GRAPHKIT_OFFLINE")
    places = datasets.fetch(card)
    assert {place.origin for place in places} == {"cache"} and len(places) == 7
    found = {str(path.relative_to(cache / "raw" / "sample")) for path in cache.rglob("*") if path.is_file()}
    assert found == {place.file for place in places}  # neither the archive nor other members
    assert not list(cache.parent.rglob("escape.txt"))
    archive.unlink()
    assert datasets.fetch(card) == places
    assert datasets.load(card).num_entities == NODES


def test_bad_archives_leave_nothing_behind(published, cache):
    card, archive = published
    whole = archive.read_bytes()
    with zipfile.ZipFile(archive) as members:
        inside = members.getinfo("wikikg-v2/split/time/test.pt").header_offset + 200
    for data, message in (
        (whole[: len(whole) // 2], "is damaged|was cut off"),
        (whole[:inside] + b"\xff" * 9 + whole[inside + 9 :], "is damaged"),
    ):
        archive.write_bytes(data)
        with pytest.raises(UserError, match=message):
            datasets.fetch(card)
        assert not [path for path in cache.rglob("*") if path.name in ("test.pt", ".archive.zip")]
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("wikikg-v2/split/time/train.pt", "x")
    with pytest.raises(UserError, match=r"lacks or was cut off before .*test\.pt.* in its folder wikikg-v2"):
        datasets.fetch(card)
    archive.unlink()
    with pytest.raises(UserError, match="the server answers 404"):
        datasets.fetch(card)


def test_sample_sizes_agree():
    assert sum(SIZES.values()) == NODES and len(ogb_samples.RELATIONS) == 3
