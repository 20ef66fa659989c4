/* What has to be timed in C: calls of a compiled model, and how far two cores are apart. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

/* What a C program sees, without the cost of a call from Python. */
void prune_bench_loop(void (*run)(void *, const void *const *, void *const *), void *model, const void *const *inputs,
                      void *const *outputs, int runs, double *milliseconds) {
  for (int i = 0; i < runs; ++i) {
    double start = now();
    run(model, inputs, outputs);
    milliseconds[i] = (now() - start) * 1e-6;
  }
}

enum { BATCHES = 40, TRIPS = 1000 };
static _Alignas(128) atomic_int turn;

static void *answer(void *unused) {
  for (int i = 0; i < BATCHES * TRIPS; ++i) {
    while (atomic_load(&turn) != 2 * i + 1)
      ;
    atomic_store(&turn, 2 * i + 2);
  }
  return unused;
}

/* Nanoseconds that a word takes from one core to the other and back, at best; 0 if that cannot be measured. Virtual
 * processors move: now they share a cache, now they do not. */
double prune_bench_round_trip(int first, int second) {
  cpu_set_t before, set;
  pthread_attr_t attributes;
  pthread_t thread;
  double best = 0;
  if (sched_getaffinity(0, sizeof before, &before))
    return 0;
  CPU_ZERO(&set);
  CPU_SET(first, &set);
  if (sched_setaffinity(0, sizeof set, &set))
    return 0;
  CPU_ZERO(&set);
  CPU_SET(second, &set);
  pthread_attr_init(&attributes);
  pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
  atomic_store(&turn, 0);
  if (!pthread_create(&thread, &attributes, answer, 0)) {
    for (int batch = 0; batch < BATCHES; ++batch) {
      double start = now();
      for (int i = batch * TRIPS; i < (batch + 1) * TRIPS; ++i) {
        atomic_store(&turn, 2 * i + 1);
        while (atomic_load(&turn) != 2 * i + 2)
          ;
      }
      double nanoseconds = (now() - start) / TRIPS;
      best = batch == 0 || nanoseconds < best ? nanoseconds : best;
    }
    pthread_join(thread, 0);
  }
  pthread_attr_destroy(&attributes);
  sched_setaffinity(0, sizeof before, &before);
  return best;
}
