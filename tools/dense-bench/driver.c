// Times the kernels of kernels.mlir, lowered with bare pointers, against the measured peak of fused multiply-adds.
// Medians of 31 rounds; each round repeats a kernel until it has run for about a millisecond.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void Kernel(float *, float *, float *);
typedef float Lanes __attribute__((vector_size(WIDTH * 4)));

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}
static int compare(const void *a, const void *b) { return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b); }

// Independent chains of fused multiply-adds, nothing from memory.
static double peak(void) {
  double best = 0;
  for (int round = 0; round < 20; ++round) {
    Lanes a[12], x, y;
    for (int i = 0; i < WIDTH; ++i)
      x[i] = 0.999f, y[i] = 0.001f;
    for (int i = 0; i < 12; ++i)
      a[i] = x;
    double start = now();
    for (int n = 0; n < 200000; ++n) {
#pragma clang loop unroll(full)
      for (int i = 0; i < 12; ++i)
        a[i] = a[i] * x + y;
      __asm__ volatile("" : "+v"(a[0]), "+v"(a[1]), "+v"(a[2]), "+v"(a[3]), "+v"(a[4]), "+v"(a[5]), "+v"(a[6]), "+v"(a[7]),
                       "+v"(a[8]), "+v"(a[9]), "+v"(a[10]), "+v"(a[11]));
    }
    double rate = 200000.0 * 12 * WIDTH * 2 / (now() - start);
    best = rate > best ? rate : best;
  }
  return best;
}

#define KERNELS(X)                                                                                                     \
  X(linear, 1536 * 384, 384 * 128, 1536 * 128, 2.0 * 1536 * 384 * 128)                                                 \
  X(linear_long, 1536 * 384, 1536 * 128, 384 * 128, 2.0 * 1536 * 384 * 128)                                            \
  X(linear_rows, 1536 * 384, 384 * 128, 1536 * 128, 2.0 * 1536 * 384 * 128)                                            \
  X(scores, 12 * 32 * 128, 12 * 32 * 128, 12 * 128 * 128, 2.0 * 12 * 128 * 128 * 32)                                   \
  X(values, 12 * 32 * 128, 12 * 128 * 128, 12 * 32 * 128, 2.0 * 12 * 128 * 128 * 32)                                   \
  X(scores_rows, 12 * 32 * 128, 12 * 32 * 128, 12 * 128 * 128, 2.0 * 12 * 128 * 128 * 32)                              \
  X(values_rows, 12 * 128 * 128, 12 * 32 * 128, 12 * 32 * 128, 2.0 * 12 * 128 * 128 * 32)                              \
  X(conv3x3, 64 * 64 * 9, 64 * 58 * 58, 64 * 56 * 56, 2.0 * 64 * 64 * 9 * 56 * 56)                                     \
  X(conv3x3_small, 256 * 256 * 9, 256 * 81, 256 * 49, 2.0 * 256 * 256 * 9 * 49)                                        \
  X(conv1x1, 256 * 64, 64 * 784, 256 * 784, 2.0 * 256 * 64 * 784)                                                      \
  X(depthwise3x3, 144 * 9, 144 * 58 * 58, 144 * 56 * 56, 2.0 * 144 * 9 * 56 * 56)                                      \
  X(gelu, 1536 * 128, 1, 1536 * 128, 0)                                                                                \
  X(exp, 1536 * 128, 128, 1536 * 128, 0)                                                                               \
  X(sum_rows, 1536 * 128, 1, 1536, 0)                                                                                  \
  X(sum_columns, 1536 * 128, 1, 128, 0)                                                                                \
  X(transpose, 128 * 384, 1, 128 * 384, 0)                                                                             \
  X(maxpool, 64 * 114 * 114, 9, 64 * 56 * 56, 0)
#define DECLARE(name, a, b, c, flops) extern void name##_kernel(float *, float *, float *) __asm__(#name "_kernel");
KERNELS(DECLARE)

static void run(const char *name, Kernel *kernel, size_t na, size_t nb, size_t nc, double flops, double top,
                const char *only) {
  if (only && strcmp(only, name))
    return;
  float *a = aligned_alloc(64, (na * 4 + 4096) / 64 * 64), *b = aligned_alloc(64, (nb * 4 + 4096) / 64 * 64),
        *c = aligned_alloc(64, (nc * 4 + 4096) / 64 * 64);
  for (size_t i = 0; i < na; ++i)
    a[i] = (float)(i * 7 % 13) / 13 - 0.5f;
  for (size_t i = 0; i < nb; ++i)
    b[i] = (float)(i * 5 % 17) / 17 - 0.5f;
  memset(c, 0, nc * 4);
  double times[31], start = now();
  kernel(a, b, c);
  kernel(a, b, c);
  int repeat = 1 + (int)(2e-3 / (now() - start));
  for (int r = 0; r < 31; ++r) {
    start = now();
    for (int i = 0; i < repeat; ++i)
      kernel(a, b, c);
    times[r] = (now() - start) / repeat;
  }
  qsort(times, 31, sizeof *times, compare);
  double t = times[15], n = na > nc ? na : nc;
  if (flops > 0)
    printf("%-14s %9.1f us %7.1f GFLOP/s %5.1f %% of peak (best run %5.1f %%)\n", name, t * 1e6, flops / t * 1e-9,
           100 * flops / t / top, 100 * flops / times[0] / top);
  else
    printf("%-14s %9.1f us %7.3f ns/element\n", name, t * 1e6, t * 1e9 / n);
  free(a), free(b), free(c);
}

int main(int argc, char **argv) {
  double top = peak();
  printf("peak %.1f GFLOP/s with %d lanes\n", top * 1e-9, WIDTH);
#define CALL(name, a, b, c, flops) run(#name, name##_kernel, a, b, c, flops, top, argc > 1 ? argv[1] : NULL);
  KERNELS(CALL)
  return 0;
}
