"""Writes the cards of the knowledge graphs from a manifest of verified files.

The manifest is a tab-separated table with the columns dataset, file, sha256, bytes, source_repository, source_commit,
source_path and verified_statistics; what a table cannot tell (titles, licences, citations, defects) stands below.

    python datasets/build/knowledge_graph_cards.py MANIFEST.tsv datasets/cards
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from graphkit.files import atomic_write

SPLITS = ("train", "valid", "test")

KOK = "Kok and Domingos: Statistical Predicate Invention, ICML 2007"
COUNTRIES = (
    "Bouchard, Singh and Trouillon: On Approximate Reasoning Capabilities of Low-Rank Vector Spaces, AAAI Spring "
    "Symposium 2015"
)
CODEX = "Safavi and Koutra: CoDEx: A Comprehensive Knowledge Graph Completion Benchmark, EMNLP 2020"
TRANSE = "Bordes et al.: Translating Embeddings for Modeling Multi-relational Data, NeurIPS 2013"
CONVE = "Dettmers et al.: Convolutional 2D Knowledge Graph Embeddings, AAAI 2018"
TOUTANOVA = "Toutanova and Chen: Observed versus Latent Features for Knowledge Base and Text Inference, CVSC 2015"
GRAIL = "Teru, Denis and Hamilton: Inductive Relation Prediction by Subgraph Reasoning, ICML 2020"

NO_NEW_LINE = {
    "umls": {
        "train": (260013, "873ef4925516b83e7f6f8cc02b4be51d848828710a7f65a956f0ac4a9e452f35"),
        "valid": (32963, "025c98f8a4891e2a6582ec5b40ee0d904031edad9c52554522f4b7904820c98e"),
        "test": (32968, "a7eb529a3d2810fcc96341ccc97c625a5e202f8389673aa6bd317eeebbb79014"),
    }
}

# Files that no manifest row describes: sizes and hashes of pykeen 1.11.1.
KINSHIP = {
    "train": (208710, "738612111a6acf0e39662bde24c7e72a4d1edf20931beea077da367dda689731"),
    "valid": (26088, "c56f8630a583178b1e569f11a64aa535ae1ce0b0912d8b1e24716be2b37f04da"),
    "test": (26255, "05e5733265761d55be9c05bfaff5a8d0808df46f9c1e9d66cc3f2fe114e43d88"),
}

GRAIL_SOURCE = ("kkteru/grail", "2a3dffa719518e7e6250e355a2fb37cd932de91e")
GRAIL_FILES = ("{key}/train", "{key}/valid", "{key}_ind/train", "{key}_ind/test")
GRAIL_SIZES = ("entities", "relations", "train", "valid", "test_entities", "test_facts", "test")

MIRRORED = "The mirror (t, r, h) of {} % of the test triples is a fact of the test graph (symmetric relations)."

# Of each member: the key of its folders, its sizes as in GRAIL_SIZES, and what is wrong with it.
GRAIL_MEMBERS: dict[str, tuple[str, tuple[int, ...], list[str]]] = {
    "fb15k-237/v1": (
        "fb237_v1",
        (1594, 180, 4245, 489, 1093, 1993, 205),
        [
            MIRRORED.format(12),
        ],
    ),
    "fb15k-237/v2": (
        "fb237_v2",
        (2608, 200, 9739, 1166, 1660, 4145, 478),
        [
            MIRRORED.format(14),
        ],
    ),
    "fb15k-237/v3": (
        "fb237_v3",
        (3668, 215, 17986, 2194, 2501, 7406, 865),
        [
            MIRRORED.format(12),
        ],
    ),
    "fb15k-237/v4": (
        "fb237_v4",
        (4707, 219, 27203, 3352, 3051, 11714, 1424),
        [
            MIRRORED.format(12),
        ],
    ),
    "wn18rr/v1": (
        "WN18RR_v1",
        (2746, 9, 5410, 630, 922, 1618, 188),
        [
            MIRRORED.format(62),
        ],
    ),
    "wn18rr/v2": (
        "WN18RR_v2",
        (6954, 10, 15262, 1838, 2757, 4011, 441),
        [
            MIRRORED.format(61),
        ],
    ),
    "wn18rr/v3": (
        "WN18RR_v3",
        (12078, 11, 25901, 3097, 5084, 6327, 605),
        [
            "8 entities are in both graphs (such as 00030358); 1 test triple has one of them. No fact is in both.",
            MIRRORED.format(28),
        ],
    ),
    "wn18rr/v4": (
        "WN18RR_v4",
        (3861, 9, 7940, 934, 7084, 12334, 1429),
        [
            MIRRORED.format(58),
        ],
    ),
    "nell-995/v1": ("nell_v1", (3103, 14, 4687, 414, 225, 833, 100), []),
    "nell-995/v2": (
        "nell_v2",
        (2564, 88, 8219, 922, 2086, 4586, 476),
        [
            MIRRORED.format(34),
        ],
    ),
    "nell-995/v3": (
        "nell_v3",
        (4647, 142, 16393, 1851, 3566, 8048, 809),
        [
            "3 entities are in both graphs (concept:mammal:animals, concept:river:oostanaula, concept:sportsgame:championship); "
            "45 test triples have one of them. No fact is in both.",
            MIRRORED.format(32),
        ],
    ),
    "nell-995/v4": (
        "nell_v4",
        (2092, 76, 7546, 876, 2795, 7073, 731),
        [
            "1 entity is in both graphs (concept:city:washington_d_c); 11 test triples have it. No fact is in both.",
            MIRRORED.format(38),
        ],
    ),
}

# Sizes and hashes of the members that no manifest row describes, at the same commit.
GRAIL_HASHES = {
    "fb237_v2/train": (722862, "542f81af46d6727979278643105ba7c236dd8b29ee5d9962e3c3fa295ab8869c"),
    "fb237_v2/valid": (87596, "59e07dcb883b28bb35585ba95576e4ebb2a71ddbc906119abcc4c87b28198d0c"),
    "fb237_v2_ind/train": (326955, "6756f8d4aa688bc1a18c1106117a7fde94e0469f223f5d00954846afce471e54"),
    "fb237_v2_ind/test": (38098, "17c16e008cb6dfdc67ef0f375aab0a8fee2b087c7d687a72f5217b789d0c4a10"),
    "fb237_v4/train": (2102632, "b9fa0f2650a1ab7687e21e0aec24bb51c0b0eacf0d88c8780c03c9b201b9148d"),
    "fb237_v4/valid": (259213, "d99dedcd13bc0cd338a299a895685b66f15e0b7ed42477d40f1ad1a65ce6d483"),
    "fb237_v4_ind/train": (900449, "ef55c03e05d5eeeec97fe2030e92bc36bd5ee9311b770ae0a3fd812982686e8d"),
    "fb237_v4_ind/test": (111402, "8e6e19adb9b154348897bf896b5305a76126bc4d79a21705ea47e4efce2d84f3"),
    "WN18RR_v3/train": (1009325, "324a2b04b621bfe8d2dd98ad1c585fbc7efefb1548e92b5d10afc08733286aa7"),
    "WN18RR_v3/valid": (121186, "7f008df4879d36ef70a5c5eb58a7c87488c3f1fea606ab484e66a1aff89b0cbc"),
    "WN18RR_v3_ind/train": (228490, "85b817c364d097793a4b0969fa49d20167345256bf812c978bff381ad3aef492"),
    "WN18RR_v3_ind/test": (22225, "efad21a11c1cf26a1a4a5fcf7a64c585ccde3c4f8f71de3a00a995d9e8c9938d"),
}

GRAIL_UNUSED = (
    "The files KEY/test.txt and KEY_ind/valid.txt have no place in the protocol and are not read: validation is on the "
    "training graph, test on the other one."
)

GRAIL_TITLES = {
    "fb15k-237": "inductive subsets of FB15k-237",
    "wn18rr": "inductive subsets of WN18RR",
    "nell-995": "inductive subsets of NELL-995",
}


def _countries(level: int, train: str) -> dict[str, Any]:
    return {
        "manifest": f"countries_S{level}",
        "aliases": [f"countries_s{level}", f"countries-s{level}"],
        "title": f"Countries, task S{level}: which region a country lies in, {train}",
        "folders": [f"small_kg/countries_S{level}"],
        "citation": COUNTRIES,
        "defects": [
            "Only 24 validation and 24 test triples, all of relation locatedin, so one rank moves MRR by up to 0.02; "
            "report several seeds. Papers report the area under the precision-recall curve instead of ranks.",
            "The head side asks which country lies in a region; the many other answers are known facts and no candidates.",
            "The train split repeats one triple.",
        ],
    }


CARDS: dict[str, dict[str, Any]] = {
    "umls": {
        "manifest": "UMLS",
        "title": "UMLS: semantic types of the Unified Medical Language System and how they relate",
        "folders": ["small_kg/umls"],
        "wheel": "umls",
        "citation": f"{KOK}; McCray: An Upper-Level Ontology for the Biomedical Domain, 2003",
        "defects": [
            "Small and dense: a train fact joins the two entities of 52 % of the test triples in the same direction and "
            "of 41 % in the opposite one; the mirror (t, r, h) of 15 % is a train fact.",
            "Figures of different papers may rest on different splits of the same facts; this is the split of 5,216, "
            "652 and 661 triples.",
        ],
    },
    "kinship": {
        "aliases": ["kinships"],
        "title": "Kinship: kinship terms between members of the Alyawarra people",
        "folders": ["small_kg/kinship", "small_kg/kinships"],
        "wheel": "kinships",
        "files": KINSHIP,
        "licence": "MIT",
        "citation": f"{KOK}; Denham: The Detection of Patterns in Alyawara Nonverbal Behavior, 1973",
        "source": "pykeen/pykeen, tag v1.11.1, src/pykeen/datasets/kinships",
        "url": "https://raw.githubusercontent.com/pykeen/pykeen/v1.11.1/src/pykeen/datasets/kinships/{split}.txt",
        "statistics": {"entities": 104, "relations": 25, "train": 8544, "valid": 1068, "test": 1074},
        "defects": [
            "10,686 of the 10,816 ordered pairs of persons carry a term, each exactly one, so a pair that is in train with "
            "some term is never the answer for another one.",
            "A train fact joins the entities of 81 % of the test triples in the opposite direction (24 %: the mirror "
            "(t, r, h) itself), so inverse rules answer most queries.",
        ],
    },
    "nations": {
        "manifest": "Nations",
        "title": "Nations: relations between 14 countries, 1950 to 1965",
        "folders": ["small_kg/nations"],
        "wheel": "nations",
        "citation": f"{KOK}; Rummel: Dimensionality of Nations Project, 1950-1965",
        "defects": [
            "14 entities only: a rank is at most 14, and Hits@10 says next to nothing.",
            "Train facts join the two entities of every test triple in both directions, and the mirror (t, r, h) of 53 % "
            "is a train fact.",
        ],
    },
    "countries/s1": _countries(1, "with its subregion known"),
    "countries/s2": _countries(2, "with neither region nor subregion known"),
    "countries/s3": _countries(3, "with the region of its neighbours unknown too"),
    "codex-s": {
        "manifest": "codex-s",
        "aliases": ["codex_s", "codex/s"],
        "title": "CoDEx-S: Wikidata, small",
        "folders": ["codex/codex-s"],
        "citation": CODEX,
        "defects": [
            "The mirror (t, r, h) of 14 % of the test triples is a train fact (symmetric relations).",
            "The hard negatives that come with the data set are not used: ranking is over all entities.",
        ],
    },
    "codex-m": {
        "manifest": "codex-m",
        "aliases": ["codex_m", "codex/m"],
        "title": "CoDEx-M: Wikidata, medium",
        "folders": ["codex/codex-m"],
        "citation": CODEX,
        "defects": [
            "The mirror (t, r, h) of 3 % of the test triples is a train fact (symmetric relations).",
            "The hard negatives that come with the data set are not used: ranking is over all entities.",
        ],
    },
    "wn18": {
        "manifest": "WN18",
        "title": "WN18: WordNet with 18 relations",
        "folders": ["wn18/raw", "WordNet18/raw"],
        "citation": TRANSE,
        "options": {"columns": ["head", "tail", "relation"], "delimiter": " ", "skip_first": True},
        "defects": [
            "Inverse leakage: a train fact joins the entities of 94 % of the test triples in the opposite direction, "
            "mostly by the inverse relation, so a rule that inverts facts solves it. Use wn18rr to compare models.",
            "Entities and relations are numbers without names.",
        ],
    },
    "wn18rr": {
        "manifest": "WN18RR",
        "title": "WN18RR: WN18 without the relations that are inverses of others",
        "folders": ["wn18rr/raw", "WN18RR/raw"],
        "citation": CONVE,
        "defects": [
            "198 entities of valid and 209 of test have no train fact, so no message reaches them; their queries stay in "
            "the evaluation, as in the literature. Papers that drop them report higher figures.",
            "The mirror (t, r, h) of 35 % of the test triples is a train fact (symmetric relations, such as "
            "_derivationally_related_form).",
        ],
    },
    "fb15k-237": {
        "manifest": "FB15k-237",
        "aliases": ["fb15k_237", "fb15k237"],
        "title": "FB15k-237: Freebase without near-duplicate and inverse relations",
        "folders": ["fb15k_237/raw", "FB15k-237/raw"],
        "citation": TOUTANOVA,
        "url": {
            "train": "https://raw.githubusercontent.com/villmow/datasets_knowledge_embedding/"
            "9e392453d6804d1f51c13e5650ae58ed48b638d5/FB15k-237/train.txt"
        },
        "defects": [
            "8 entities of valid and 29 of test have no train fact, so no message reaches them; their queries stay in the "
            "evaluation, as in the literature.",
            "No valid or test pair is joined by any train fact: the split removes them on purpose, so a model that drops "
            "the one-hop edges of its training queries sees what it is tested on.",
        ],
    },
}


def build(name: str, notes: dict[str, Any], manifest: list[dict[str, str]]) -> dict[str, Any]:
    """The content of one card."""
    rows = {
        Path(row["file"]).stem: row
        for row in manifest
        if row["dataset"] == notes.get("manifest") and Path(row["file"]).parent.as_posix() == notes["folders"][0]
    }
    some = rows.get("test", {})
    files = []
    for split in SPLITS:
        size, digest = notes["files"][split] if "files" in notes else (int(rows[split]["bytes"]), rows[split]["sha256"])
        entry: dict[str, Any] = {
            "path": f"{split}.txt",
            "url": _url(notes, rows, split),
            "bytes": size,
            "sha256": digest,
        }
        if name in NO_NEW_LINE:
            size, digest = NO_NEW_LINE[name][split]
            why = "pykeen 1.11.1, where the last line has an end"
            entry["also"] = [{"bytes": size, "sha256": digest, "why": why}]
        if "wheel" in notes:
            member = f"pykeen/datasets/{notes['wheel']}/{split}.txt"
            entry["wheel"] = {"distribution": "pykeen", "member": member}
        files.append(entry)
    return {
        "name": name,
        "aliases": notes.get("aliases", []),
        "title": notes["title"],
        "task": "knowledge_graph",
        "reader": "triples",
        "options": notes.get("options", {}),
        "folders": notes["folders"],
        "files": files,
        "licence": notes.get("licence") or some["licence_as_stated_there"],
        "citation": notes["citation"],
        "source": notes.get("source")
        or f"{some['source_repository']}, commit {some['source_commit']}, {Path(some['source_path']).parent}",
        "statistics": notes.get("statistics") or _statistics(some["verified_statistics"]),
        "defects": notes["defects"],
    }


def build_grail(name: str, manifest: list[dict[str, str]]) -> dict[str, Any]:
    """The content of one card of GraIL's inductive family."""
    key, sizes, defects = GRAIL_MEMBERS[name]
    family, version = name.split("/")
    repository, commit = GRAIL_SOURCE
    known = {
        row["file"].removeprefix("grail/").removesuffix(".txt"): (int(row["bytes"]), row["sha256"])
        for row in manifest
        if row["source_repository"] == repository and row["source_commit"] == commit
    }
    files = []
    for pattern in GRAIL_FILES:
        path = pattern.format(key=key)
        size, digest = {**GRAIL_HASHES, **known}[path]
        url = f"https://raw.githubusercontent.com/{repository}/{commit}/data/{path}.txt"
        files.append({"path": f"{path}.txt", "url": url, "bytes": size, "sha256": digest})
    return {
        "name": name,
        "aliases": [key.lower()],
        "title": f"{family.upper()} {version} (GraIL): {GRAIL_TITLES[family]}, test on a graph of other entities",
        "task": "inductive_knowledge_graph",
        "reader": "inductive_triples",
        "options": {},
        "folders": ["grail"],
        "files": files,
        "licence": "none stated",
        "citation": GRAIL,
        "source": f"{repository}, commit {commit}, data/{key} and data/{key}_ind",
        "statistics": dict(zip(GRAIL_SIZES, sizes, strict=True)),
        "defects": [*defects, GRAIL_UNUSED],
    }


def _url(notes: dict[str, Any], rows: dict[str, dict[str, str]], split: str) -> str:
    given = notes.get("url", {})
    if isinstance(given, str):
        return given.format(split=split)
    if split in given:
        return given[split]
    row = rows[split]
    where = f"{row['source_repository']}/{row['source_commit']}/{row['source_path']}"
    return f"https://raw.githubusercontent.com/{where}"


def _statistics(text: str) -> dict[str, int]:
    found = dict(re.findall(r"(entities|relations|train|valid|test) (\d+)", text))
    return {key: int(found[key]) for key in ("entities", "relations", *SPLITS)}


def main(manifest: str, folder: str) -> None:
    """Write every card."""
    with open(manifest, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    cards = {name: build(name, notes, rows) for name, notes in CARDS.items()}
    cards.update({name: build_grail(name, rows) for name in GRAIL_MEMBERS})
    for name, content in cards.items():
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=118)
        with atomic_write(Path(folder) / f"{name.replace('/', '-')}.yaml") as out:
            out.write(text.encode("utf-8"))


if __name__ == "__main__":
    main(*sys.argv[1:])
