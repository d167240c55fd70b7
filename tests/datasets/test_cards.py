"""The cards that ship: complete, found by every name, and true."""

import re

import pytest
import yaml

import graphkit.datasets as datasets
from graphkit.data import InductiveKnowledgeGraphTask
from graphkit.datasets.readers import READERS
from graphkit.errors import UserError
from graphkit.shipped import shipped

CARDS = datasets.cards()
NAMES = [card.name for card in CARDS]


def test_the_expected_data_sets_are_there():
    expected = {"umls", "kinship", "nations", "countries/s1", "countries/s2", "countries/s3", "codex-s", "codex-m"}
    expected |= {"wn18", "wn18rr", "fb15k-237", "ogbl-biokg", "ogbl-wikikg2"}
    expected |= {
        "usair",
        "ns",
        "pb",
        "yeast",
        "celegans",
        "power",
        "router",
        "ecoli",
        "blogcatalog",
        "wikipedia",
        "ppi",
    }
    expected |= {
        "mutag",
        "proteins",
        "enzymes",
        "peptides-func",
        "peptides-struct",
        "pascalvoc-sp",
        "coco-sp",
        "pattern",
    }
    expected |= {
        "mnist-superpixels",
        "cifar10-superpixels",
        "malnet-tiny",
        "synthetic/path-parity",
        "synthetic/chain-copy",
    }
    expected |= {f"ogbl-{name}" for name in ("ddi", "collab", "ppa", "citation2")}
    expected |= {f"ogbn-{name}" for name in ("arxiv", "products", "proteins", "mag")}
    expected |= {f"{family}/v{k}" for family in ("fb15k-237", "wn18rr", "nell-995") for k in (1, 2, 3, 4)}
    assert expected <= set(NAMES)


@pytest.mark.parametrize("card", CARDS, ids=NAMES)
def test_a_card_is_complete(card):
    assert card.reader in READERS
    tasks = ("graph", "graphs", "inductive_knowledge_graph", "knowledge_graph", "link", "node", "ogb_knowledge_graph")
    assert card.task in tasks
    sizes = {"entities", "relations", "train", "valid", "test"}
    paths = ["train.txt", "valid.txt", "test.txt"]
    if card.task == "inductive_knowledge_graph":
        sizes |= {"test_entities", "test_facts"}
        key = card.files[0].path.split("/")[0]
        paths = [f"{key}/train.txt", f"{key}/valid.txt", f"{key}_ind/train.txt", f"{key}_ind/test.txt"]
    if card.task == "graph":
        optional = {"features", "classes", "labels"} if card.reader == "matlab_network" else set()
        sizes = {"nodes", "edges", "features", "classes"} | ({"arcs"} if card.directed else set())
        sizes -= optional - set(card.statistics)
        sizes |= optional & set(card.statistics)
        sizes -= {"features", "classes"} if card.reader == "citation_rows" else set()
        paths = [file.path for file in card.files]  # what they are called is the reader's affair
    if card.task == "graphs":
        sizes = set(card.statistics)
        known = {"graphs", "nodes", "edges", "features", "edge_features"}
        assert (
            {"graphs", "features"} <= sizes
            and len(sizes - known) == 1
            and sizes - known <= {"classes", "labels", "values"}
        )
        assert {"nodes", "edges"} <= sizes or any("not at hand" in text for text in card.defects)
        paths = [file.path for file in card.files]
    if card.reader in ("ogb_links", "ogb_nodes"):
        sizes = {"nodes", "edges", "features", "train", "valid", "test"}
        sizes |= {"classes"} if card.task == "node" else set()
    if card.reader == "city_network":
        sizes |= {"nodes", "edges", "features", "classes"}
        sizes -= {"entities", "relations"}
        paths = [f"{card.options['name']}.tar.gz"]
    assert set(card.statistics) == sizes
    assert card.folders and card.licence and card.citation and card.source and card.title and card.defects
    assert not any(folder.startswith("/") or ".." in folder for folder in card.folders)
    if card.reader.startswith("ogb_"):  # one archive holds all files
        paths = [file.path for file in card.files]
        release, *folders = (path.split("/")[0] for path in paths)
        assert re.fullmatch(r"RELEASE_v[12]\.txt", release) and {"split", "raw"} <= set(folders) <= {
            "split",
            "raw",
            "mapping",
        }
        assert card.options["metric"] in ("mrr", "hits@20", "hits@50", "hits@100", "accuracy", "roc_auc")
        assert not any(".." in other for file in card.files for other in file.instead)
        assert card.archive["url"].startswith("https://") and not any(".." in path for path in paths)
    assert [file.path for file in card.files] == paths
    for file in card.files:
        by_hand = file.url is None and any("place them by hand" in text for text in card.defects)
        bundled = file.url is None and (shipped("samples") / card.slug / file.path).is_file()
        assert card.archive or by_hand or bundled or file.url.startswith("https://")
        for size, digest in file.accepted:
            assert size > 0 and re.fullmatch("[0-9a-f]{64}", digest)


def test_names_and_aliases_are_unambiguous():
    names = [name.lower() for card in CARDS for name in (card.name, *card.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("card", CARDS, ids=NAMES)
def test_every_name_leads_to_its_card(card):
    for name in (card.name, card.name.upper(), *card.aliases):
        assert datasets.card(name) is card


def test_families_by_path_or_argument():
    assert datasets.card("countries", variant="S2").name == "countries/s2"
    assert datasets.card("fb15k-237", variant="v1").name == "fb15k-237/v1"
    for call, message in (
        (lambda: datasets.card("countries"), "family of data sets; name one of 'countries/s1', 'countries/s2'"),
        (
            lambda: datasets.card("countries", variant="s9"),
            "unknown data set 'countries/s9'; did you mean 'countries/s",
        ),
        (lambda: datasets.card("umls", variant="s1"), "'umls' has no variants"),
        (lambda: datasets.card("umsl"), "unknown data set 'umsl'; did you mean 'umls'"),
    ):
        with pytest.raises(UserError, match=message):
            call()


@pytest.mark.data
@pytest.mark.parametrize("name", NAMES)
def test_statistics_and_leaks_of_the_real_data(name, data_root, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_DATA", str(data_root))
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    missing = [place.file for place in datasets.where(name) if place.path is None]
    if missing:
        pytest.skip(f"{name} is neither in GRAPHKIT_DATA nor in an installed distribution: {missing}")
    if datasets.card(name).task == "graph":
        if datasets.card(name).statistics["edges"] > 100_000:
            pytest.skip(f"{name} is large; its files are read by test_node_data.py")
        task = datasets.load(name, task="link")
        sizes = datasets.card(name).statistics
        stated = {key: sizes[key] for key in ("nodes", "edges", "features") if key in sizes}
        assert stated.items() <= task.statistics().items() and (task.x is not None) == bool(sizes.get("features"))
    elif datasets.card(name).task == "graphs":
        task = datasets.load(name)
        assert datasets.card(name).statistics.items() <= task.statistics().items()
        assert task.num_folds == next(iter(datasets.card(name).splits.values()))
    else:
        task = datasets.load(name)
        assert task.statistics() == datasets.card(name).statistics
    certificate = task.leak_check()
    if isinstance(task, InductiveKnowledgeGraphTask):
        shared = len(task.shared_entities())
        assert [count for _, count, _ in certificate.warnings] == ([shared] if shared else [])
        known = [text for text in datasets.card(name).defects if "in both graphs" in text]
        assert [int(text.split()[0]) for text in known] == ([shared] if shared else [])


def test_the_known_overlaps_are_in_the_cards():
    overlaps = {card.name: int(text.split()[0]) for card in CARDS for text in card.defects if "in both graphs" in text}
    assert overlaps == {"wn18rr/v3": 8, "nell-995/v3": 3, "nell-995/v4": 1}


def test_a_card_of_ones_own(toy):
    task = datasets.load(toy.name, root=toy.root)
    assert task.statistics() == toy.content["statistics"]
    assert task.entities == ["france", "italy", "madrid", "paris", "rome", "spain"]


def test_malformed_cards_are_refused(toy):
    cases = [
        (lambda card: card.pop("title"), "lacks title"),
        (lambda card: card.update(licens="MIT"), "unknown key 'licens'; did you mean 'licence'"),
        (lambda card: card["files"][0].pop("sha256"), "file 0 of the data card .* lacks sha256"),
        (lambda card: card.update(reader="tripels"), "unknown reader 'tripels'; did you mean 'triples'"),
    ]
    for spoil, message in cases:
        content = yaml.safe_load(yaml.safe_dump(toy.content))
        spoil(content)
        toy.path.write_text(yaml.safe_dump(content))
        with pytest.raises(UserError, match=message):
            datasets.load(toy.name, root=toy.root)
    for text, message in ((b"a: [", "is no YAML text"), (b"- 1", "must be a mapping"), (b"\xff\xfe", "is no YAML")):
        toy.path.write_bytes(text)
        with pytest.raises(UserError, match=message):
            datasets.card(toy.name)
    with pytest.raises(UserError, match="no data card"):
        datasets.card("none.yaml")
