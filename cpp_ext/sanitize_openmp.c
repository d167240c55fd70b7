/* Tells the thread sanitizer what torch's OpenMP, which is not instrumented, keeps from it: a parallel region begins after all
 * that its caller has done, and the caller goes on after all that the region has done. Begin and end are two points, so that
 * threads of one region stay unordered among each other: a race between them is reported. Loaded before Python. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

void __tsan_acquire(void *);
void __tsan_release(void *);

typedef void (*body)(void *);
typedef void (*parallel)(body, void *, unsigned, unsigned);

struct region {
  body work;
  void *data;
  char begin, end;
};

static void annotated(void *given) {
  struct region *region = given;
  __tsan_acquire(&region->begin);
  region->work(region->data);
  __tsan_release(&region->end);
}

void GOMP_parallel(body work, void *data, unsigned threads, unsigned flags) {
  static parallel real;
  parallel found = __atomic_load_n(&real, __ATOMIC_RELAXED);
  if (!found) {
    found = (parallel)dlsym(RTLD_NEXT, "GOMP_parallel"); /* torch loads its OpenMP for everybody */
    if (!found) {
      fputs("sanitize_openmp: no GOMP_parallel behind this one\n", stderr);
      abort();
    }
    __atomic_store_n(&real, found, __ATOMIC_RELAXED);
  }
  struct region region = {work, data, 0, 0};
  __tsan_release(&region.begin);
  found(annotated, &region, threads, flags);
  __tsan_acquire(&region.end);
}
