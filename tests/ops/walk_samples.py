"""Graphs for tests of walks, and walks and tokens written out in Python from the frozen packing of the draws."""

import torch

LOW = 2**32 - 1


def philox(seed, c0, c1, c2, c3):
    """Philox-4x32 with ten rounds, as published."""
    k0, k1 = seed & LOW, seed >> 32
    for _ in range(10):
        a, b = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & LOW, (a >> 32) ^ c3 ^ k1, a & LOW
        k0, k1 = (k0 + 0x9E3779B9) & LOW, (k1 + 0xBB67AE85) & LOW
    return c0, c1, c2, c3


def one_walk(edge_index, start, *, length, repeat, walk, seed, counter=0, node_key=None):
    """Nested loops: the definition of a walk."""
    key = list(range(10**4)) if node_key is None else node_key.tolist()
    edges = list(zip(*edge_index.tolist(), strict=True))
    here, out = start, [start]
    for step in range(length):
        name = length << 24 | repeat << 12 | walk
        block = key[start] >> 32 << 16 | step // 4
        word = philox(seed, key[start] & LOW, counter, name, block)[step % 4]
        row = sorted((key[t], t) for s, t in edges if s == here)
        if row:
            here = row[word * len(row) >> 32][1]
        out.append(here)
    return out


def all_tokens(edge_index, start, *, walk_length, walks, repeats, seed, counter=0, node_key=None):
    """Nested loops: (nodes in the order of visits, walks) of every token, from the widest to the narrowest."""
    tokens = []
    for v in start.tolist():
        for length in range(walk_length, 0, -1):
            for repeat in range(repeats - 1, -1, -1):
                of = dict(length=length, repeat=repeat, seed=seed, counter=counter, node_key=node_key)
                trace = [one_walk(edge_index, v, walk=w, **of) for w in range(walks)]
                nodes = [v]
                for walk in trace:
                    for node in walk:
                        if node not in nodes:
                            nodes.append(node)
                tokens.append((nodes, trace))
    return tokens


def all_edges(edge_index, sets):
    """Nested loops: (place of the source, place of the target, column) of the edges among the nodes of every set, sorted."""
    found = []
    for nodes in sets:
        rows = []
        for column, (s, t) in enumerate(zip(*edge_index.tolist(), strict=True)):
            if s in nodes and t in nodes:
                rows.append((nodes.index(s), nodes.index(t), column))
        found.append(sorted(rows))
    return found


def split(values, ptr):
    return [part.tolist() for part in values.split(ptr.diff().tolist())]


def random_graph(nodes, edges, seed=0):
    """Directed, with loops, copies and nodes without out-edges; node 0 has many edges."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(max(nodes - 2, 1), (2, edges), generator=generator)
    edge_index[0, : edges // 4] = 0
    return edge_index


def both_ways(edge_index):
    return torch.cat([edge_index, edge_index.flip(0)], 1)


def path(nodes):
    return both_ways(torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)]))


def star(leaves):
    return both_ways(torch.stack([torch.zeros(leaves, dtype=torch.int64), torch.arange(1, leaves + 1)]))
