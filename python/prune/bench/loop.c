/* The timed loop around a compiled model: what a C program sees, without the cost of a call from Python. */
#include <time.h>

void prune_bench_loop(void (*run)(void *, const void *const *, void *const *), void *model, const void *const *inputs,
                      void *const *outputs, int runs, double *milliseconds) {
  for (int i = 0; i < runs; ++i) {
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    run(model, inputs, outputs);
    clock_gettime(CLOCK_MONOTONIC, &end);
    milliseconds[i] = (end.tv_sec - start.tv_sec) * 1e3 + (end.tv_nsec - start.tv_nsec) * 1e-6;
  }
}
