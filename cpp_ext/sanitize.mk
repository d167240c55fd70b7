# Builds the CPU extension with the compiler's sanitizers and runs the tests of its kernels on it:
#     make sanitize                      addresses and undefined behaviour
#     make sanitize SANITIZE=thread      data races
# Everything lies below build/sanitize; the package that is installed stays as it is. experiments/faults/sanitized_tests.py runs
# the tests and writes what came of them to experiments/faults/results/sanitizers.json.
PYTHON   ?= python3
SANITIZE ?= address,undefined
TESTS    ?=

comma  := ,
ROOM   := build/sanitize/$(subst $(comma),-,$(SANITIZE))
TORCH  := $(shell $(PYTHON) -c "import os, torch; print(os.path.dirname(torch.__file__))")
PYINC  := $(shell $(PYTHON) -c "import sysconfig; print(sysconfig.get_paths()['include'])")
CXX    := g++
CC     := gcc
# -O1 keeps the stack of a report readable; vptr needs type information that torch's own libraries do not share
FLAGS  := -O1 -g1 -std=c++20 -fno-omit-frame-pointer -fno-math-errno -fno-trapping-math -Wno-psabi -fPIC \
          -fsanitize=$(SANITIZE) -fno-sanitize-recover=all $(if $(findstring undefined,$(SANITIZE)),-fno-sanitize=vptr) \
          -DTORCH_TARGET_VERSION=0x020a000000000000 -DPy_LIMITED_API=0x030A0000 -DTORCH_EXTENSION_NAME=_C \
          -Icpp_ext/cpu -I$(TORCH)/include -I$(TORCH)/include/torch/csrc/api/include -I$(PYINC)
LIBS   := -L$(TORCH)/lib -lc10 -ltorch -ltorch_cpu
# loaded before Python; the C++ library comes with the sanitizer's, or that finds nothing to hand torch's exceptions to
THREAD  := $(findstring thread,$(SANITIZE))
RUNTIME := $(foreach library,lib$(if $(THREAD),tsan,asan).so libstdc++.so.6,$(shell $(CXX) -print-file-name=$(library))) \
           $(if $(THREAD),$(CURDIR)/$(ROOM)/openmp.so)
OBJECTS := $(patsubst cpp_ext/cpu/%.cpp,$(ROOM)/objects/%.o,$(wildcard cpp_ext/cpu/*.cpp))
LIBRARY := $(ROOM)/graphkit/_C.abi3.so

.PHONY: sanitize build
sanitize: build
	$(PYTHON) experiments/faults/sanitized_tests.py --room $(ROOM) --sanitize $(SANITIZE) --compiler $(CXX) \
	  --preload $(RUNTIME) $(if $(TESTS),--tests $(TESTS))

build: $(LIBRARY) $(ROOM)/planted.so $(if $(THREAD),$(ROOM)/openmp.so)
	cp -r datasets experiments tests setup.cfg pyproject.toml $(ROOM)
	tar --exclude='*.so' --exclude=__pycache__ -cf - graphkit | tar -xf - -C $(ROOM)

$(LIBRARY): $(OBJECTS)
	@mkdir -p $(@D)
	$(CXX) -shared -fsanitize=$(SANITIZE) $(OBJECTS) $(LIBS) -o $@

$(ROOM)/planted.so: experiments/faults/planted.cpp
	@mkdir -p $(@D)
	$(CXX) $(FLAGS) -shared $< $(LIBS) -o $@

$(ROOM)/openmp.so: cpp_ext/sanitize_openmp.c
	@mkdir -p $(@D)
	$(CC) -O1 -g1 -fPIC -shared $< -o $@

$(ROOM)/objects/%.o: cpp_ext/cpu/%.cpp
	@mkdir -p $(@D)
	$(CXX) $(FLAGS) -MMD -MP -c $< -o $@

-include $(OBJECTS:.o=.d)
