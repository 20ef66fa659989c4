/*===- OpenCL.c - Launches through OpenCL -----------------------------------===*
 *
 * Any device that takes SPIR-V and has shared virtual memory of OpenCL 2.0: kernels get pointers with offsets.
 *
 *===----------------------------------------------------------------------===*/
#include "Internal.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void *opencl_handle;

#define PRUNE_OPENCL_FUNCTIONS(X)                                                                                      \
  X(int, GetPlatformIDs, (unsigned, opencl_handle *, unsigned *))                                                      \
  X(int, GetDeviceIDs, (opencl_handle, uint64_t, unsigned, opencl_handle *, unsigned *))                               \
  X(int, GetDeviceInfo, (opencl_handle, unsigned, size_t, void *, size_t *))                                           \
  X(opencl_handle, CreateContext,                                                                                      \
    (const intptr_t *, unsigned, const opencl_handle *, void (*)(const char *, const void *, size_t, void *), void *,  \
     int *))                                                                                                           \
  X(opencl_handle, CreateCommandQueueWithProperties, (opencl_handle, opencl_handle, const uint64_t *, int *))          \
  X(opencl_handle, CreateProgramWithIL, (opencl_handle, const void *, size_t, int *))                                  \
  X(int, BuildProgram,                                                                                                 \
    (opencl_handle, unsigned, const opencl_handle *, const char *, void (*)(opencl_handle, void *), void *))           \
  X(int, GetProgramBuildInfo, (opencl_handle, opencl_handle, unsigned, size_t, void *, size_t *))                      \
  X(opencl_handle, CreateKernel, (opencl_handle, const char *, int *))                                                 \
  X(int, SetKernelArg, (opencl_handle, unsigned, size_t, const void *))                                                \
  X(int, SetKernelArgSVMPointer, (opencl_handle, unsigned, const void *))                                              \
  X(void *, SVMAlloc, (opencl_handle, uint64_t, size_t, unsigned))                                                     \
  X(void, SVMFree, (opencl_handle, void *))                                                                            \
  X(int, EnqueueSVMMemcpy,                                                                                             \
    (opencl_handle, unsigned, void *, const void *, size_t, unsigned, const opencl_handle *, opencl_handle *))         \
  X(int, EnqueueNDRangeKernel,                                                                                         \
    (opencl_handle, opencl_handle, unsigned, const size_t *, const size_t *, const size_t *, unsigned,                 \
     const opencl_handle *, opencl_handle *))                                                                          \
  X(int, Finish, (opencl_handle))                                                                                      \
  X(int, ReleaseKernel, (opencl_handle))                                                                               \
  X(int, ReleaseProgram, (opencl_handle))                                                                              \
  X(int, ReleaseCommandQueue, (opencl_handle))                                                                         \
  X(int, ReleaseContext, (opencl_handle))

typedef struct {
#define PRUNE_DECLARE(result, name, parameters) result(*name) parameters;
  PRUNE_OPENCL_FUNCTIONS(PRUNE_DECLARE)
#undef PRUNE_DECLARE
  opencl_handle device, context, queue, program;
  opencl_handle *kernels;
  char *memory[4];
} opencl_state;

static int opencl_fail(prune_gpu_device *device, const char *call, int status, const char *detail) {
  static const struct {
    int status;
    const char *name;
  } names[] = {{-4, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
               {-5, "CL_OUT_OF_RESOURCES"},
               {-6, "CL_OUT_OF_HOST_MEMORY"},
               {-11, "CL_BUILD_PROGRAM_FAILURE"},
               {-30, "CL_INVALID_VALUE"},
               {-42, "CL_INVALID_BINARY"},
               {-44, "CL_INVALID_PROGRAM"},
               {-46, "CL_INVALID_KERNEL_NAME"},
               {-51, "CL_INVALID_ARG_SIZE"},
               {-52, "CL_INVALID_KERNEL_ARGS"},
               {-54, "CL_INVALID_WORK_GROUP_SIZE"},
               {-59, "CL_INVALID_OPERATION"},
               {-1001, "CL_PLATFORM_NOT_FOUND_KHR"}};
  char number[32];
  snprintf(number, sizeof number, "OpenCL error %d", status);
  const char *name = number;
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
    if (names[i].status == status)
      name = names[i].name;
  snprintf(device->error, PRUNE_GPU_ERROR_BYTES, "%s: %s%s%s%s", call, name, detail && *detail ? " (" : "",
           detail ? detail : "", detail && *detail ? ")" : "");
  for (char *c = device->error; *c; ++c)
    if (*c == '\n' || *c == '\r')
      *c = ' ';
  return 1;
}

#define OPENCL_TRY(name, arguments)                                                                                    \
  do {                                                                                                                 \
    int status_ = state->name arguments;                                                                               \
    if (status_)                                                                                                       \
      return opencl_fail(device, "cl" #name, status_, 0);                                                              \
  } while (0)

static int opencl_load(prune_gpu_device *device) {
  opencl_state *state = device->driver;
  void *library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    snprintf(device->error, PRUNE_GPU_ERROR_BYTES,
             "no OpenCL: libOpenCL.so.1 cannot be loaded (the model is compiled for opencl)");
    return 1;
  }
  const char *missing = 0;
#define PRUNE_LOAD(result, name, parameters)                                                                           \
  *(void **)&state->name = dlsym(library, "cl" #name);                                                                 \
  if (!state->name && !missing)                                                                                        \
    missing = "cl" #name;
  PRUNE_OPENCL_FUNCTIONS(PRUNE_LOAD)
#undef PRUNE_LOAD
  if (!missing)
    return 0;
  snprintf(device->error, PRUNE_GPU_ERROR_BYTES, "libOpenCL.so.1 is too old: it has no %s", missing);
  return 1;
}

/* The first device, GPUs before others, that takes SPIR-V; PRUNE_GPU_DEVICE counts among these. */
static int opencl_choose_device(prune_gpu_device *device) {
  opencl_state *state = device->driver;
  opencl_handle platforms[16], devices[16];
  unsigned num_platforms = 0, num_devices = 0;
  int status = state->GetPlatformIDs(16, platforms, &num_platforms);
  if (status)
    return opencl_fail(device, "clGetPlatformIDs", status, "no OpenCL platform is installed");
  const char *text = getenv("PRUNE_GPU_DEVICE");
  int wanted = text ? atoi(text) : 0, found = 0;
  static const uint64_t kinds[] = {4 /* GPU */, 2 | 8 /* CPU, accelerator */};
  for (int kind = 0; kind < 2; ++kind)
    for (unsigned i = 0; i < num_platforms && i < 16; ++i) {
      if (state->GetDeviceIDs(platforms[i], kinds[kind], 16, devices, &num_devices))
        continue;
      for (unsigned j = 0; j < num_devices && j < 16; ++j) {
        char il[64] = "";
        uint64_t svm = 0;
        state->GetDeviceInfo(devices[j], 0x105B, sizeof il, il, 0);
        state->GetDeviceInfo(devices[j], 0x1053, sizeof svm, &svm, 0);
        if (strncmp(il, "SPIR-V", 6) || !svm || found++ != wanted)
          continue;
        state->device = devices[j];
        return 0;
      }
    }
  snprintf(device->error, PRUNE_GPU_ERROR_BYTES,
           "no OpenCL device %d that takes SPIR-V and has shared virtual memory: there are %d", wanted, found);
  return 1;
}

static int opencl_build(prune_gpu_device *device) {
  opencl_state *state = device->driver;
  const prune_gpu_program *program = device->program;
  int status = 0;
  state->program = state->CreateProgramWithIL(state->context, program->code, program->code_bytes, &status);
  if (status)
    return opencl_fail(device, "clCreateProgramWithIL", status, 0);
  status = state->BuildProgram(state->program, 1, &state->device, "", 0, 0);
  if (status) {
    char log[256] = "";
    size_t bytes = 0;
    state->GetProgramBuildInfo(state->program, state->device, 0x1183, 0, 0, &bytes);
    char *whole = bytes ? calloc(1, bytes + 1) : 0;
    if (whole) {
      state->GetProgramBuildInfo(state->program, state->device, 0x1183, bytes, whole, 0);
      /* Much of it is not about the failure. */
      const char *line = strstr(whole, "rror");
      while (line && line > whole && line[-1] != '\n')
        --line;
      snprintf(log, sizeof log, "%.*s", (int)strcspn(line ? line : whole, "\n"), line ? line : whole);
      free(whole);
    }
    return opencl_fail(device, "clBuildProgram", status, log);
  }
  state->kernels = calloc(program->num_kernels + 1, sizeof *state->kernels);
  const char *name = program->kernels;
  for (int64_t i = 0; i < program->num_kernels; ++i, name += strlen(name) + 1) {
    state->kernels[i] = state->CreateKernel(state->program, name, &status);
    if (status)
      return opencl_fail(device, "clCreateKernel", status, name);
  }
  return 0;
}

/* An error if a launch needs more shared memory than the device has. */
static int opencl_check_shared(prune_gpu_device *device) {
  opencl_state *state = device->driver;
  const prune_gpu_program *program = device->program;
  uint64_t has = 0;
  OPENCL_TRY(GetDeviceInfo, (state->device, 0x1023, sizeof has, &has, 0));
  const int64_t *word = program->table + 2 * (program->num_inputs + program->num_outputs);
  for (int64_t i = 0; i < program->num_launches; word += 9 + 2 * word[8], ++i)
    if ((uint64_t)word[7] > has) {
      snprintf(device->error, PRUNE_GPU_ERROR_BYTES, "a kernel needs %lld bytes of shared memory, the device has %llu",
               (long long)word[7], (unsigned long long)has);
      return 1;
    }
  return 0;
}

static int opencl_open(prune_gpu_device *device, const void *weights) {
  opencl_state *state = device->driver = calloc(1, sizeof *state);
  if (!state) {
    snprintf(device->error, PRUNE_GPU_ERROR_BYTES, "out of memory");
    return 1;
  }
  if (opencl_load(device)) {
    memset(state, 0, sizeof *state);
    return 1;
  }
  if (opencl_choose_device(device) || opencl_check_shared(device))
    return 1;
  const prune_gpu_program *program = device->program;
  int status = 0;
  state->context = state->CreateContext(0, 1, &state->device, 0, 0, &status);
  if (status)
    return opencl_fail(device, "clCreateContext", status, 0);
  state->queue = state->CreateCommandQueueWithProperties(state->context, state->device, 0, &status);
  if (status)
    return opencl_fail(device, "clCreateCommandQueueWithProperties", status, 0);
  if (program->code_bytes && opencl_build(device))
    return 1;
  static const char *const names[] = {"inputs", "outputs", "weights", "the workspace"};
  const int64_t sizes[] = {program->input_bytes, program->output_bytes, program->weight_bytes,
                           program->workspace_bytes};
  for (int space = 0; space < 4; ++space) {
    if (sizes[space] == 0)
      continue;
    state->memory[space] = state->SVMAlloc(state->context, 1, sizes[space], 0);
    char detail[96];
    snprintf(detail, sizeof detail, "%lld bytes for %s", (long long)sizes[space], names[space]);
    if (!state->memory[space])
      return opencl_fail(device, "clSVMAlloc", -4, detail);
  }
  if (program->weight_bytes)
    OPENCL_TRY(EnqueueSVMMemcpy,
               (state->queue, 1, state->memory[PRUNE_GPU_WEIGHTS], weights, program->weight_bytes, 0, 0, 0));
  return 0;
}

static int opencl_launch(prune_gpu_device *device) {
  opencl_state *state = device->driver;
  const prune_gpu_program *program = device->program;
  const int64_t *word = program->table + 2 * (program->num_inputs + program->num_outputs);
  for (int64_t i = 0; i < program->num_launches; ++i) {
    opencl_handle kernel = state->kernels[word[0]];
    int64_t count = word[8];
    for (int64_t j = 0; j < count; ++j)
      OPENCL_TRY(SetKernelArgSVMPointer, (kernel, j, state->memory[word[9 + 2 * j]] + word[10 + 2 * j]));
    if (word[7])
      OPENCL_TRY(SetKernelArg, (kernel, count, word[7], 0));
    size_t local[3], global[3];
    for (int dim = 0; dim < 3; ++dim) {
      local[dim] = word[4 + dim];
      global[dim] = word[1 + dim] * word[4 + dim];
    }
    OPENCL_TRY(EnqueueNDRangeKernel, (state->queue, kernel, 3, 0, global, local, 0, 0, 0));
    word += 9 + 2 * count;
  }
  return 0;
}

static int opencl_run(prune_gpu_device *device, const void *const *inputs, void *const *outputs) {
  opencl_state *state = device->driver;
  const prune_gpu_program *program = device->program;
  const int64_t *word = program->table;
  for (int64_t i = 0; i < program->num_inputs; ++i, word += 2)
    OPENCL_TRY(EnqueueSVMMemcpy,
               (state->queue, 0, state->memory[PRUNE_GPU_INPUTS] + word[0], inputs[i], word[1], 0, 0, 0));
  if (opencl_launch(device))
    return 1;
  for (int64_t i = 0; i < program->num_outputs; ++i, word += 2)
    OPENCL_TRY(EnqueueSVMMemcpy,
               (state->queue, 0, outputs[i], state->memory[PRUNE_GPU_OUTPUTS] + word[0], word[1], 0, 0, 0));
  OPENCL_TRY(Finish, (state->queue));
  return 0;
}

static int opencl_time(prune_gpu_device *device, int calls, double *milliseconds) {
  opencl_state *state = device->driver;
  struct timespec begin, end;
  if (opencl_launch(device))
    return 1;
  OPENCL_TRY(Finish, (state->queue));
  clock_gettime(CLOCK_MONOTONIC, &begin);
  for (int i = 0; i < calls; ++i)
    if (opencl_launch(device))
      return 1;
  OPENCL_TRY(Finish, (state->queue));
  clock_gettime(CLOCK_MONOTONIC, &end);
  *milliseconds = ((end.tv_sec - begin.tv_sec) * 1e3 + (end.tv_nsec - begin.tv_nsec) / 1e6) / calls;
  return 0;
}

static void opencl_close(prune_gpu_device *device) {
  opencl_state *state = device->driver;
  if (!state)
    return;
  if (state->queue)
    state->Finish(state->queue);
  for (int space = 0; space < 4; ++space)
    if (state->memory[space])
      state->SVMFree(state->context, state->memory[space]);
  for (int64_t i = 0; state->kernels && i < device->program->num_kernels; ++i)
    if (state->kernels[i])
      state->ReleaseKernel(state->kernels[i]);
  if (state->program)
    state->ReleaseProgram(state->program);
  if (state->queue)
    state->ReleaseCommandQueue(state->queue);
  if (state->context)
    state->ReleaseContext(state->context);
  free(state->kernels);
  free(state);
  device->driver = 0;
}

static const prune_gpu_driver prune_gpu_opencl = {opencl_open, opencl_run, opencl_time, opencl_close};
