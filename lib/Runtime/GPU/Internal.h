/*===- Internal.h - The two drivers behind one interface ------------------*- C -*-===*/
#ifndef PRUNE_LIB_RUNTIME_GPU_INTERNAL_H
#define PRUNE_LIB_RUNTIME_GPU_INTERNAL_H

#include "prune/Runtime/GPU.h"

#define PRUNE_GPU_ERROR_BYTES 512

/* Memory on the device, by space of an argument. */
typedef struct {
  const prune_gpu_program *program;
  char *error; /* PRUNE_GPU_ERROR_BYTES */
  void *driver;
} prune_gpu_device;

/* What a driver does. Each returns 0, or 1 with one line in device->error. */
typedef struct {
  /* Context, code, memory, weights. After a failure close() is called. */
  int (*open)(prune_gpu_device *device, const void *weights);
  int (*run)(prune_gpu_device *device, const void *const *inputs, void *const *outputs);
  int (*time)(prune_gpu_device *device, int calls, double *milliseconds);
  void (*close)(prune_gpu_device *device);
} prune_gpu_driver;

#endif /* PRUNE_LIB_RUNTIME_GPU_INTERNAL_H */
