"""Folders of the Open Graph Benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import ogb_graph_samples
import ogb_samples
from random_texts import by_ending, made_table
from reader import Reader, contents, npz_bytes, paths, pt_bytes

__all__ = ["ogb_readers"]


def ogb_readers(room: Path) -> list[Reader]:
    from graphkit.datasets.ogb import read_ogb_knowledge_graph
    from graphkit.datasets.ogb_graph import read_ogb_graph
    from graphkit.datasets.ogb_links import read_ogb_links
    from graphkit.datasets.ogb_nodes import read_ogb_nodes

    links, nodes, graphs = [], [], []
    for name in ("ogbl-ddi", "ogbl-collab", "ogbl-citation2"):
        ogb_graph_samples.write_links(room / "links", name, "time")
        links.append(contents(room / "links" / name.replace("-", "_")))
    for name in ("ogbn-arxiv", "ogbn-proteins", "ogbn-mag"):
        ogb_graph_samples.write_nodes(room / "nodes", name, "time")
        nodes.append(contents(room / "nodes" / name.replace("-", "_")))
    ogb_samples.write_biokg(room / "kg", zipped=True)
    ogb_samples.write_wikikg2(room / "kg")
    knowledge = [contents(room / "kg" / name) for name in ("ogbl_biokg", "ogbl_wikikg2")]
    graph, _, _ = ogb_graph_samples.node_content("ogbn-arxiv")
    edges = graph["edge_index"]
    typed, _, _ = ogb_graph_samples.node_content("ogbn-mag")
    joined = {"___".join(triple): one for triple, one in typed["edge_index_dict"].items()}
    graphs.append(
        {
            "raw/data.npz": npz_bytes(
                edge_index=edges,
                num_nodes_list=np.array([graph["num_nodes"]]),
                num_edges_list=np.array([edges.shape[1]]),
                node_feat=graph["node_feat"],
            )
        }
    )
    graphs.append(
        {
            "raw/edge_index_dict.npz": npz_bytes(**joined),
            "raw/num_nodes_dict.npz": npz_bytes(
                **{kind: np.array([count]) for kind, count in typed["num_nodes_dict"].items()}
            ),
            "raw/num_edges_dict.npz": npz_bytes(**{key: np.array([one.shape[1]]) for key, one in joined.items()}),
            "raw/node_feat_dict.npz": npz_bytes(**typed["node_feat_dict"]),
        }
    )
    graphs.append(
        {"processed/data_processed": pt_bytes({"graph": graph, "labels": np.zeros((graph["num_nodes"], 1), np.int64)})}
    )
    graphs.append({"processed/data_processed": pt_bytes(typed)})
    return [
        Reader(
            "OGB links",
            links,
            lambda folder, _: read_ogb_links("x", paths(folder)),
            by_ending(gz=made_table, other=made_table),
            2.0,
        ),
        Reader(
            "OGB nodes",
            nodes,
            lambda folder, _: read_ogb_nodes("x", paths(folder)),
            by_ending(gz=made_table, other=made_table),
            2.0,
        ),
        Reader("OGB graphs", graphs, lambda folder, _: read_ogb_graph(paths(folder)), None, 1.5),
        Reader(
            "OGB knowledge graphs",
            knowledge,
            lambda folder, _: read_ogb_knowledge_graph("x", paths(folder)),
            by_ending(gz=made_table, other=made_table),
            2.0,
        ),
    ]
