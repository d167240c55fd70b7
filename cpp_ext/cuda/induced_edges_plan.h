// How the edges among the nodes of sets are put together from the kernels of induced_edges.h.
#pragma once

#include "induced_edges.h"

namespace graphkit::cuda {

template <class Memory> struct EdgesInMemory { typename Memory::template Array<int64_t> ptr, source, target, edge, repeated; };

// sets.table is made here.
template <class Memory> EdgesInMemory<Memory> edges_of_sets(const StoredEdges& g, NodeSets sets, Memory& memory) {
  const cudaStream_t stream = memory.stream;
  EdgesInMemory<Memory> made;
  auto table = memory.template zeros<uint64_t>(2 * sets.members);
  sets.table = table.data();
  made.repeated = memory.template empty<int64_t>(1);
  memory.check(fill_table(sets, made.repeated.data(), stream));
  const StepsInMemory<Memory> members(memory, 0, sets.members, [&](int32_t* owner, int64_t* size) {
    return member_steps(g, sets, owner, size, stream);
  });

  auto size = memory.template zeros<int64_t>(sets.members);
  memory.check(count_edges(g, sets, members.steps, size.data(), stream));
  auto at = memory.sums(size.data(), sets.members);
  const int64_t count = memory.read(at.data() + sets.members);
  made.ptr = memory.template empty<int64_t>(sets.sets + 1);
  memory.check(edge_pointers(sets, at.data(), made.ptr.data(), stream));

  auto target = memory.template empty<int32_t>(count), entry = memory.template empty<int32_t>(count),
      taken = memory.template zeros<int32_t>(sets.members);
  const FoundEdges found{count, at.data(), target.data(), entry.data()};
  memory.check(find_edges(g, sets, members.steps, found, taken.data(), stream));
  made.source = memory.template empty<int64_t>(count), made.target = memory.template empty<int64_t>(count),
      made.edge = memory.template empty<int64_t>(count);
  memory.check(sort_edges(g, sets, members.steps, found, made.source.data(), made.target.data(), made.edge.data(), stream));
  return made;
}

}  // namespace graphkit::cuda
