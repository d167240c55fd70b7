"""A data set of 24 facts with a card of its own, and an experiment on it: the whole way, in milliseconds."""

import hashlib
from pathlib import Path

import yaml

PEOPLE = ["ann", "bob", "cid", "dora", "eve", "finn", "gus", "hal"]


def write_tiny_experiment(folder: Path, **sections) -> Path:
    """Write data, card and experiment below a folder; returns the path of the experiment."""
    facts = [(a, "knows", b) for a, b in zip(PEOPLE, PEOPLE[1:] + PEOPLE[:1], strict=True)]
    facts += [(b, "known_by", a) for a, _, b in facts]
    facts += [(a, "likes", PEOPLE[(i + 3) % 8]) for i, a in enumerate(PEOPLE)]
    data = folder / "data" / "tiny"
    data.mkdir(parents=True)
    files = []
    for name, part in (("train.txt", facts[:16]), ("valid.txt", facts[16:20]), ("test.txt", facts[20:])):
        content = "".join("\t".join(fact) + "\n" for fact in part).encode()
        if name == "train.txt":
            content += b"ann\tlikes\tgus\n"
        (data / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        files.append({"path": name, "url": None, "bytes": len(content), "sha256": digest})
    card = {
        "name": "tiny", "title": "Tiny", "task": "knowledge_graph", "reader": "triples", "files": files,
        "folders": ["tiny"], "licence": "none", "citation": "none", "source": "made up", "statistics": {},
    }  # fmt: skip
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    experiment = {
        "name": "tiny/nbfnet",
        "reference": {"paper": "Nobody", "metrics": {"mrr": "0.50"}, "beside": [{"name": "Guess", "mrr": 0.2}]},
        "protocol": {"select": "mrr", "ties": "pessimistic"},
        "data": {"name": str(folder / "card.yaml"), "root": str(folder / "data")},
        "loader": {"batch_size": 4, "num_negatives": 2},
        "model": {"name": "NBFNet", "hidden_channels": 4, "num_layers": 1},
        "train": {"epochs": 2, "lr": 0.01},
        "seeds": [0, 1],
        "budget": "a second",
        **sections,
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(experiment, sort_keys=False))
    return path
