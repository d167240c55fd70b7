"""Small data sets in the files of the Open Graph Benchmark, as its archives unpack, with a card each."""

import gzip
import hashlib

import numpy as np
import torch
import yaml

SIZES = {"disease": 4, "drug": 6, "protein": 5}
RELATIONS = {"drug-disease": ("drug", "disease"), "drug-drug_pain": ("drug", "drug"), "protein": ("protein",) * 2}
NODES, NEGATIVES = 15, 7
SPLIT_SIZES = {"train": 40, "valid": 9, "test": 8}


def write_gzip(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def write_split(folder, content, zipped=True):
    for split, arrays in content.items():
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(arrays, folder / f"{split}.pt", pickle_protocol=4, _use_new_zipfile_serialization=zipped)


def write_biokg(root, seed=0, zipped=False):
    """``ogbl_biokg``: typed entities, numbered within their type; returns what the splits hold."""
    rng, folder = np.random.default_rng(seed), root / "ogbl_biokg"
    content, seen = {}, set()
    for split, size in SPLIT_SIZES.items():
        rows = []
        while len(rows) < size:
            relation = int(rng.integers(len(RELATIONS)))
            head_type, tail_type = list(RELATIONS.values())[relation]
            row = (int(rng.integers(SIZES[head_type])), relation, int(rng.integers(SIZES[tail_type])))
            if row not in seen:
                seen.add(row)
                rows.append((*row, head_type, tail_type))
        head, relation, tail, head_type, tail_type = (list(column) for column in zip(*rows, strict=True))
        arrays = {"head_type": head_type, "head": np.array(head), "relation": np.array(relation)}
        arrays.update(tail_type=tail_type, tail=np.array(tail))
        if split != "train":
            for side, kinds in (("head", head_type), ("tail", tail_type)):
                arrays[f"{side}_neg"] = np.stack([rng.integers(SIZES[kind], size=NEGATIVES) for kind in kinds])
        content[split] = arrays
    write_split(folder / "split" / "random", content, zipped)
    (folder / "RELEASE_v1.txt").write_text("")
    (folder / "processed").mkdir()
    # the columns are not in the order of the names
    write_gzip(folder / "raw" / "num-node-dict.csv.gz", ["protein,disease,drug", "5,4,6"])
    train = content["train"]
    triplets = [(head, name, tail) for name, (head, tail) in RELATIONS.items()]
    write_gzip(folder / "raw" / "triplet-type-list.csv.gz", [",".join(triplet) for triplet in triplets])
    for number, triplet in enumerate(triplets):
        inside = folder / "raw" / "relations" / "___".join(triplet)
        chosen = train["relation"] == number
        edges = np.stack([train["head"][chosen], train["tail"][chosen]], axis=1)
        write_gzip(inside / "edge.csv.gz", [",".join(map(str, edge)) for edge in edges])
        write_gzip(inside / "num-edge-list.csv.gz", [len(edges)])
        write_gzip(inside / "edge_reltype.csv.gz", [number] * len(edges))
    for kind, size in SIZES.items():
        names = [f'{i},"{kind[0].upper()}{i}, ""so called"""' for i in reversed(range(size))]
        write_gzip(folder / "mapping" / f"{kind}_entidx2name.csv.gz", ["ent idx,ent name", *names])
    relations = [f"{number},{name}" for number, name in enumerate(RELATIONS)]
    write_gzip(folder / "mapping" / "relidx2relname.csv.gz", ["rel idx,rel name", *relations])
    return content


def write_wikikg2(root, seed=0):
    """``ogbl_wikikg2``: entities without types; returns what the splits hold."""
    rng, folder = np.random.default_rng(seed), root / "ogbl_wikikg2"
    numbers, content = rng.permutation(NODES * NODES * 2), {}
    for split, size in SPLIT_SIZES.items():
        chosen, numbers = numbers[:size], numbers[size:]
        arrays = {"head": chosen // (2 * NODES), "relation": chosen // NODES % 2, "tail": chosen % NODES}
        if split != "train":
            arrays.update({f"{side}_neg": rng.integers(NODES, size=(size, NEGATIVES)) for side in ("head", "tail")})
        content[split] = arrays
    write_split(folder / "split" / "time", content)
    (folder / "RELEASE_v1.txt").write_text("")
    (folder / "processed").mkdir()
    train = content["train"]
    pairs = zip(train["head"].tolist(), train["tail"].tolist(), strict=True)
    write_gzip(folder / "raw" / "edge.csv.gz", [f"{head},{tail}" for head, tail in pairs])
    write_gzip(folder / "raw" / "edge_reltype.csv.gz", train["relation"].tolist())
    write_gzip(folder / "raw" / "num-node-list.csv.gz", [NODES])
    write_gzip(folder / "raw" / "num-edge-list.csv.gz", [len(train["head"])])
    entities = [f"{i},Q{100 + i}" for i in range(NODES)]
    write_gzip(folder / "mapping" / "nodeidx2entityid.csv.gz", ["node idx,entity id", *entities])
    write_gzip(folder / "mapping" / "reltype2relid.csv.gz", ["reltype,rel id", "0,P31", "1,P279"])
    return content


def write_card(path, root, like, **changes):
    """A card of the files below a root that has the file list of a shipped card; returns its path as text.

    Mappings of entity types that the sample has not are left out.
    """
    folder = root / like.folders[-1]
    files = []
    for file in like.files:
        if (folder / file.path).is_file():
            data = (folder / file.path).read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            files.append({"path": file.path, "url": None, "bytes": len(data), "sha256": digest})
    content = {
        "name": "sample", "title": "sample", "task": like.task, "reader": like.reader, "folders": like.folders,
        "files": files, "licence": "CC0", "citation": "nobody", "source": "made for a test", "statistics": {}, **changes,
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    return str(path)
