"""Graphs with labels in the formats of their authors."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse
from random_texts import by_ending, made_table
from reader import Files, Reader, npz_bytes, paths

__all__ = ["node_readers"]


def node_readers(room: Path) -> list[Reader]:
    from graphkit.datasets.geom_gcn import read_geom_gcn, read_geom_gcn_splits
    from graphkit.datasets.labelled_networks import read_airports, read_facebook100, read_wikics
    from graphkit.datasets.malnet import read_malnet
    from graphkit.datasets.matlab_networks import read_matlab_network
    from graphkit.datasets.npz_graphs import read_attributed_npz, read_edge_list_npz, read_telegram
    from graphkit.datasets.tu_dataset import read_tu_dataset

    n = 6
    masks = np.arange(2 * n).reshape(2, n) % 3
    edge_list = npz_bytes(
        node_features=np.ones((n, 3), np.float32), node_labels=np.arange(n) % 2, edges=np.array([[0, 1], [2, 5]]),
        train_masks=masks == 0,
        val_masks=masks == 1, test_masks=masks == 2,
    )  # fmt: skip
    sparse = scipy.sparse.csr_matrix(np.eye(n, k=1))
    attributed = npz_bytes(
        adj_data=sparse.data, adj_indptr=sparse.indptr, adj_indices=sparse.indices, adj_shape=sparse.shape, attr_data=sparse.data,
        attr_indptr=sparse.indptr, attr_indices=sparse.indices, attr_shape=sparse.shape,
        labels=np.arange(n), class_names=np.array(["a", "b"]),
    )  # fmt: skip
    adjacency, labels = io.BytesIO(), io.BytesIO()
    scipy.sparse.save_npz(adjacency, sparse)
    np.save(labels, np.arange(n))
    geom: Files = {
        "out1_graph_edges.txt": b"a\tb\n0\t1\n2\t5\n",
        "out1_node_feature_label.txt": b"n\tf\tl\n" + b"".join(b"%d\t1,0,2\t%d\n" % (i, i % 2) for i in range(n)),
        **{
            f"x_split_0.6_0.2_{i}.npz": npz_bytes(
                train_mask=masks[0] == 0, val_mask=masks[0] == 1, test_mask=masks[0] == 2
            )
            for i in range(2)
        },
    }
    facebook, network, group = io.BytesIO(), io.BytesIO(), io.BytesIO()
    scipy.io.savemat(facebook, {"A": scipy.sparse.csc_matrix(sparse), "local_info": np.arange(7 * n).reshape(n, 7) % 3})
    scipy.io.savemat(
        network, {"net": scipy.sparse.csc_matrix(sparse), "group": scipy.sparse.csc_matrix(np.eye(n)[:, :2])}
    )
    scipy.io.savemat(group, {"net": scipy.sparse.csc_matrix(sparse), "group": np.eye(n)[:, :2]}, do_compression=True)
    wiki = {
        "features": [[0.5, 1.0]] * 3,
        "labels": [0, 1, 1],
        "links": [[1], [2, 0], []],
        "train_masks": [[True, False, False]] * 2,
        "val_masks": [[False, True, False]] * 2,
        "test_mask": [False, False, True],
        "stopping_masks": [],
    }
    tu = {
        "A": "1, 2\n2, 1\n3, 4\n4, 3\n",
        "graph_indicator": "1\n1\n2\n2\n",
        "graph_labels": "1\n-1\n",
        "node_labels": "0\n2\n1\n1\n",
        "edge_labels": "0\n0\n1\n1\n",
        "node_attributes": "0.5, 1\n1, 2\n1, 1\n0, 0\n",
        "edge_attributes": "1\n2\n3\n4\n",
    }
    graphs, splits = io.BytesIO(), io.BytesIO()
    names = [f"t{i % 2}/f/h{i}" for i in range(6)]
    with tarfile.open(fileobj=graphs, mode="w:gz", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            member = tarfile.TarInfo(f"malnet/{name}.edgelist")
            member.size = len(b"# x\n0 1\n1 2\n")
            archive.addfile(member, io.BytesIO(b"# x\n0 1\n1 2\n"))
    with zipfile.ZipFile(splits, "w") as archive:
        for i, split in enumerate(("train", "val", "test")):
            archive.writestr(f"s/type/{split}.txt", "\n".join(names[2 * i : 2 * i + 2]))

    def geom_gcn(folder: Path, _: int) -> Any:
        held = paths(folder)
        return read_geom_gcn_splits(held, read_geom_gcn(held).num_nodes)

    return [
        Reader("edge list npz", [{"a.npz": edge_list}], lambda folder, _: read_edge_list_npz(folder / "a.npz")),
        Reader("attributed npz", [{"a.npz": attributed}], lambda folder, _: read_attributed_npz(folder / "a.npz")),
        Reader(
            "Telegram",
            [{"a.npz": adjacency.getvalue(), "y.npy": labels.getvalue()}],
            lambda folder, _: read_telegram(folder / "a.npz", folder / "y.npy"),
        ),
        Reader("Geom-GCN", [geom], geom_gcn, by_ending(other=made_table)),
        Reader(
            "Geom-GCN columns",
            [geom],
            lambda folder, _: read_geom_gcn(paths(folder), features="columns", channels=3),
            by_ending(other=made_table),
            0.3,
        ),
        Reader(
            "airports",
            [{"e.edgelist": b"10 20\n30 10\n", "labels-e.txt": b"node label\n10 0\n20 1\n30 1\n"}],
            lambda folder, _: read_airports(folder / "e.edgelist", folder / "labels-e.txt"),
            made_table,
        ),
        Reader("Facebook100", [{"a.mat": facebook.getvalue()}], lambda folder, _: read_facebook100(folder / "a.mat")),
        Reader(
            "MATLAB networks",
            [{"a.mat": network.getvalue()}, {"a.mat": group.getvalue()}],
            lambda folder, _: read_matlab_network(folder / "a.mat"),
        ),
        Reader(
            "WikiCS", [{"data.json": json.dumps(wiki).encode()}], lambda folder, _: read_wikics(folder / "data.json")
        ),
        Reader(
            "TUDataset",
            [{f"X_{kind}.txt": text.encode() for kind, text in tu.items()}],
            lambda folder, _: read_tu_dataset(paths(folder)),
            made_table,
            1.5,
        ),
        Reader(
            "MalNet",
            [{"g.tar.gz": graphs.getvalue(), "s.zip": splits.getvalue()}],
            lambda folder, _: read_malnet(folder / "g.tar.gz", folder / "s.zip"),
        ),
    ]
