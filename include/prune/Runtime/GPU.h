/*===- GPU.h - What runs a model's launches ---------------------------*- C -*-===*
 *
 * Plain C, no LLVM, no link dependency: the driver (libcuda.so.1 or libOpenCL.so.1) is loaded at run time. The compiler
 * puts one `prune_gpu_program` into each model (prune-finalize-gpu-entry writes the same fields in the same order).
 *
 *===----------------------------------------------------------------------===*/
#ifndef PRUNE_RUNTIME_GPU_H
#define PRUNE_RUNTIME_GPU_H

#include <stddef.h>
#include <stdint.h>

/* A C library has its own copy of the runtime, which nobody else sees. */
#ifndef PRUNE_GPU_API
#define PRUNE_GPU_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum { PRUNE_GPU_CUDA = 0, PRUNE_GPU_OPENCL = 1 };
/* Where an argument of a kernel lies. */
enum {
  PRUNE_GPU_INPUTS = 0,
  PRUNE_GPU_OUTPUTS = 1,
  PRUNE_GPU_WEIGHTS = 2,
  PRUNE_GPU_WORKSPACE = 3,
  PRUNE_GPU_MAPS = 4
};

/* In place of a kernel: y = x w' by a library of CUDA. */
enum { PRUNE_GPU_CUBLAS = -1, PRUNE_GPU_CUSPARSELT = -2, PRUNE_GPU_CUSPARSE = -3 };

typedef struct prune_gpu_program prune_gpu_program;
struct prune_gpu_program {
  /* Called by the model's function; whoever loads the model sets it to prune_gpu_run. */
  int (*run)(prune_gpu_program *, const void *const *inputs, void *const *outputs, const void *weights);
  int64_t api;
  const char *chip;
  const char *code; /* PTX with a final 0, a cubin or SPIR-V */
  int64_t code_bytes;
  const char *kernels; /* names, one after the other, each with a final 0 */
  int64_t num_kernels;
  /* For each input and then each output: offset, bytes. For each launch: kernel, grid (3), block (3), bytes of shared
   * memory, number of arguments, and for each of these its space and offset. A launch of a library has, instead of a
   * grid, block and shared memory: tokens, rows, columns, types of x and y as CUDA numbers them, whether f32 may be
   * rounded to tf32, number of stored weights; its arguments are the storage of w, x and y. */
  const int64_t *table;
  int64_t num_launches, num_inputs, num_outputs;
  int64_t input_bytes, output_bytes, weight_bytes, workspace_bytes;
  /* Tensor maps, 128 bytes each, beside each other in a space of their own. For each: space and offset of the matrix,
   * its columns and rows, those of a box, bytes of the swizzle, and the type of an element as the driver numbers it. */
  const int64_t *maps;
  int64_t num_maps;
  void *state;
};

/* Gets the device ready: context, code, weights on the device. Counts how often. Returns 0, or 1 with one line in
 * `error` (which may be null). */
PRUNE_GPU_API int prune_gpu_prepare(prune_gpu_program *program, const void *weights, char *error, size_t error_size);
/* Undoes one prune_gpu_prepare; the last one frees what is on the device. */
PRUNE_GPU_API void prune_gpu_release(prune_gpu_program *program);
/* One call: inputs to the device, the launches, outputs back. Returns 0, or 1: see prune_gpu_error. */
PRUNE_GPU_API int prune_gpu_run(prune_gpu_program *program, const void *const *inputs, void *const *outputs,
                                const void *weights);
/* Mean milliseconds of the launches of one call, without copies, over `calls` calls on the inputs of the last run. */
PRUNE_GPU_API int prune_gpu_time(prune_gpu_program *program, int calls, double *milliseconds);
/* The line of the last failure of run or time; empty if there was none. */
PRUNE_GPU_API const char *prune_gpu_error(const prune_gpu_program *program);

#ifdef __cplusplus
}
#endif

#endif /* PRUNE_RUNTIME_GPU_H */
