# Builds the CPU extension with the compiler's sanitizers and runs tests of operators on it:
#     make sanitize                      addresses and undefined behaviour
#     make sanitize SANITIZE=thread      data races
# Everything lies below build/sanitize; the package that is installed stays as it is.
PYTHON   ?= python3
SANITIZE ?= address,undefined
TESTS    ?= $(patsubst %,tests/ops/test_%.py,selective_scan causal_conv walks walk_tokens induced_edges khop_eccentricity \
            hop_distance common_neighbors_definition common_neighbors_sampling common_neighbors_inputs \
            common_neighbors_instruction_sets orbits_definition orbits_inputs orbits_identities orbits_exchange)

comma  := ,
ROOM   := build/sanitize/$(subst $(comma),-,$(SANITIZE))
TORCH  := $(shell $(PYTHON) -c "import os, torch; print(os.path.dirname(torch.__file__))")
PYINC  := $(shell $(PYTHON) -c "import sysconfig; print(sysconfig.get_paths()['include'])")
CXX    := g++
# -O1 keeps the stack of a report readable; vptr needs type information that torch's own libraries do not share
FLAGS  := -O1 -g1 -std=c++20 -fno-omit-frame-pointer -fno-math-errno -fno-trapping-math -Wno-psabi -fPIC \
          -fsanitize=$(SANITIZE) -fno-sanitize-recover=all $(if $(findstring undefined,$(SANITIZE)),-fno-sanitize=vptr) \
          -DTORCH_TARGET_VERSION=0x020a000000000000 -DPy_LIMITED_API=0x030A0000 -DTORCH_EXTENSION_NAME=_C \
          -Icpp_ext/cpu -I$(TORCH)/include -I$(TORCH)/include/torch/csrc/api/include -I$(PYINC)
# the C++ library comes with it, or the sanitizer finds nothing to hand torch's exceptions to
RUNTIME := $(foreach library,lib$(if $(findstring thread,$(SANITIZE)),tsan,asan).so libstdc++.so.6,$(shell $(CXX) -print-file-name=$(library)))
OBJECTS := $(patsubst cpp_ext/cpu/%.cpp,$(ROOM)/objects/%.o,$(wildcard cpp_ext/cpu/*.cpp))
LIBRARY := $(ROOM)/graphkit/_C.abi3.so

.PHONY: sanitize build
# CPython never frees some of its memory, so leaks are not looked for. With threads, the tests set their numbers themselves.
sanitize: build
	cd $(ROOM) && env LD_PRELOAD="$(RUNTIME)" PYTHONPATH=. OMP_NUM_THREADS=2 \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  TSAN_OPTIONS=halt_on_error=1:suppressions=$(CURDIR)/cpp_ext/sanitize_thread.txt \
	  $(abspath $(shell command -v $(PYTHON))) -m pytest -q -s -n 0 -p no:cacheprovider $(TESTS)

build: $(LIBRARY)
	cp -r datasets experiments tests setup.cfg pyproject.toml $(ROOM)
	tar --exclude='*.so' --exclude=__pycache__ -cf - graphkit | tar -xf - -C $(ROOM)

$(LIBRARY): $(OBJECTS)
	@mkdir -p $(@D)
	$(CXX) -shared -fsanitize=$(SANITIZE) $(OBJECTS) -L$(TORCH)/lib -lc10 -ltorch -ltorch_cpu -o $@

$(ROOM)/objects/%.o: cpp_ext/cpu/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(FLAGS) -MMD -MP -c $< -o $@

-include $(OBJECTS:.o=.d)
