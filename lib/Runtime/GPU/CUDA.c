/*===- CUDA.c - Launches through the CUDA driver ----------------------------===*
 *
 * A call is one graph, captured once: a copy in, the launches, a copy out. Several models share the primary context.
 * With launches of libraries, not all of which can be captured, the same goes to the stream call by call.
 *
 *===----------------------------------------------------------------------===*/
#include "Internal.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long cuda_pointer;
typedef void *cuda_handle;

/* Entry points of libcuda.so.1 with their types: X(name, symbol, parameters). */
#define PRUNE_CUDA_FUNCTIONS(X)                                                                                        \
  X(Init, "cuInit", (unsigned))                                                                                        \
  X(GetErrorName, "cuGetErrorName", (int, const char **))                                                              \
  X(GetErrorString, "cuGetErrorString", (int, const char **))                                                          \
  X(DeviceGetCount, "cuDeviceGetCount", (int *))                                                                       \
  X(DeviceGet, "cuDeviceGet", (int *, int))                                                                            \
  X(DeviceGetName, "cuDeviceGetName", (char *, int, int))                                                              \
  X(DeviceGetAttribute, "cuDeviceGetAttribute", (int *, int, int))                                                     \
  X(PrimaryRetain, "cuDevicePrimaryCtxRetain", (cuda_handle *, int))                                                   \
  X(PrimaryRelease, "cuDevicePrimaryCtxRelease_v2", (int))                                                             \
  X(CtxPush, "cuCtxPushCurrent_v2", (cuda_handle))                                                                     \
  X(CtxPop, "cuCtxPopCurrent_v2", (cuda_handle *))                                                                     \
  X(ModuleLoad, "cuModuleLoadDataEx", (cuda_handle *, const void *, unsigned, int *, void **))                         \
  X(ModuleUnload, "cuModuleUnload", (cuda_handle))                                                                     \
  X(ModuleGetFunction, "cuModuleGetFunction", (cuda_handle *, cuda_handle, const char *))                              \
  X(FuncSetAttribute, "cuFuncSetAttribute", (cuda_handle, int, int))                                                   \
  X(MemAlloc, "cuMemAlloc_v2", (cuda_pointer *, size_t))                                                               \
  X(MemFree, "cuMemFree_v2", (cuda_pointer))                                                                           \
  X(MemsetD8, "cuMemsetD8_v2", (cuda_pointer, unsigned char, size_t))                                                  \
  X(HostAlloc, "cuMemHostAlloc", (void **, size_t, unsigned))                                                          \
  X(HostFree, "cuMemFreeHost", (void *))                                                                               \
  X(CopyToDevice, "cuMemcpyHtoD_v2", (cuda_pointer, const void *, size_t))                                             \
  X(CopyToDeviceAsync, "cuMemcpyHtoDAsync_v2", (cuda_pointer, const void *, size_t, cuda_handle))                      \
  X(CopyToHostAsync, "cuMemcpyDtoHAsync_v2", (void *, cuda_pointer, size_t, cuda_handle))                              \
  X(StreamCreate, "cuStreamCreate", (cuda_handle *, unsigned))                                                         \
  X(StreamDestroy, "cuStreamDestroy_v2", (cuda_handle))                                                                \
  X(StreamSynchronize, "cuStreamSynchronize", (cuda_handle))                                                           \
  X(BeginCapture, "cuStreamBeginCapture_v2", (cuda_handle, int))                                                       \
  X(EndCapture, "cuStreamEndCapture", (cuda_handle, cuda_handle *))                                                    \
  X(GraphInstantiate, "cuGraphInstantiateWithFlags", (cuda_handle *, cuda_handle, unsigned long long))                 \
  X(GraphLaunch, "cuGraphLaunch", (cuda_handle, cuda_handle))                                                          \
  X(GraphDestroy, "cuGraphDestroy", (cuda_handle))                                                                     \
  X(GraphExecDestroy, "cuGraphExecDestroy", (cuda_handle))                                                             \
  X(LaunchKernel, "cuLaunchKernel",                                                                                    \
    (cuda_handle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, cuda_handle, void **, void **)) \
  X(EventCreate, "cuEventCreate", (cuda_handle *, unsigned))                                                           \
  X(EventRecord, "cuEventRecord", (cuda_handle, cuda_handle))                                                          \
  X(EventSynchronize, "cuEventSynchronize", (cuda_handle))                                                             \
  X(EventElapsedTime, "cuEventElapsedTime", (float *, cuda_handle, cuda_handle))                                       \
  X(EventDestroy, "cuEventDestroy_v2", (cuda_handle))

#define PRUNE_DECLARE(name, symbol, parameters) int(*name) parameters;
typedef struct {
  PRUNE_CUDA_FUNCTIONS(PRUNE_DECLARE)
} cuda_functions;
#undef PRUNE_DECLARE

typedef struct {
  cuda_functions cu;
  int device;
  cuda_handle context, module, stream, begin, end;
  cuda_handle *kernels;
  cuda_pointer memory[5]; /* by space */
  char *staging_in, *staging_out;
  cuda_handle call, launches; /* graphs, ready to run */
  library_state libraries;
} cuda_state;

/* One line: "cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY: out of memory (detail)". */
static int cuda_fail(prune_gpu_device *device, const char *call, int status, const char *detail) {
  cuda_state *state = device->driver;
  const char *name = 0, *text = 0;
  if (state->cu.GetErrorName)
    state->cu.GetErrorName(status, &name);
  if (state->cu.GetErrorString)
    state->cu.GetErrorString(status, &text);
  char number[32];
  snprintf(number, sizeof number, "CUDA error %d", status);
  snprintf(device->error, PRUNE_GPU_ERROR_BYTES, "%s: %s%s%s%s%s%s", call, name ? name : number, text ? ": " : "",
           text ? text : "", detail && *detail ? " (" : "", detail ? detail : "", detail && *detail ? ")" : "");
  /* Logs of the driver have many lines. */
  for (char *c = device->error; *c; ++c)
    if (*c == '\n' || *c == '\r')
      *c = ' ';
  return 1;
}

#define CUDA_TRY(name, symbol, arguments)                                                                              \
  do {                                                                                                                 \
    int status_ = state->cu.name arguments;                                                                            \
    if (status_)                                                                                                       \
      return cuda_fail(device, symbol, status_, 0);                                                                    \
  } while (0)

static int cuda_load(prune_gpu_device *device, cuda_functions *cu) {
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    snprintf(device->error, PRUNE_GPU_ERROR_BYTES,
             "no CUDA driver: libcuda.so.1 cannot be loaded (the model is compiled for %s)", device->program->chip);
    return 1;
  }
  const char *missing = 0;
#define PRUNE_LOAD(name, symbol, parameters)                                                                           \
  *(void **)&cu->name = dlsym(library, symbol);                                                                        \
  if (!cu->name && !missing)                                                                                           \
    missing = symbol;
  PRUNE_CUDA_FUNCTIONS(PRUNE_LOAD)
#undef PRUNE_LOAD
  if (!missing)
    return 0;
  snprintf(device->error, PRUNE_GPU_ERROR_BYTES, "the CUDA driver is too old: libcuda.so.1 has no %s", missing);
  return 1;
}

/* PRUNE_GPU_DEVICE counts among the devices of CUDA. */
static int cuda_choose_device(prune_gpu_device *device) {
  cuda_state *state = device->driver;
  int count = 0, wanted = 0, major = 0, minor = 0;
  CUDA_TRY(Init, "cuInit", (0));
  CUDA_TRY(DeviceGetCount, "cuDeviceGetCount", (&count));
  const char *text = getenv("PRUNE_GPU_DEVICE");
  if (text)
    wanted = atoi(text);
  if (wanted < 0 || wanted >= count) {
    snprintf(device->error, PRUNE_GPU_ERROR_BYTES, "no CUDA device %d: the driver has %d", wanted, count);
    return 1;
  }
  CUDA_TRY(DeviceGet, "cuDeviceGet", (&state->device, wanted));
  CUDA_TRY(DeviceGetAttribute, "cuDeviceGetAttribute", (&major, 75, state->device));
  CUDA_TRY(DeviceGetAttribute, "cuDeviceGetAttribute", (&minor, 76, state->device));
  int needed = atoi(device->program->chip + strlen("sm_")), has = 10 * major + minor;
  /* Code for sm_90 uses instructions of that chip only; a cubin runs on later chips of its generation. */
  int is_ptx = device->program->code[0] == '/';
  if (needed == 90 ? has != needed : has < needed || (!is_ptx && needed / 10 != major)) {
    char name[128] = "";
    state->cu.DeviceGetName(name, sizeof name, state->device);
    snprintf(device->error, PRUNE_GPU_ERROR_BYTES, "compiled for %s, but the device '%s' is sm_%d",
             device->program->chip, name, has);
    return 1;
  }
  return 0;
}

static int cuda_load_code(prune_gpu_device *device) {
  cuda_state *state = device->driver;
  const prune_gpu_program *program = device->program;
  char log[256] = "";
  int options[2] = {5, 6}; /* CU_JIT_ERROR_LOG_BUFFER and its size */
  void *values[2] = {log, (void *)(uintptr_t)(sizeof log - 1)};
  int status = state->cu.ModuleLoad(&state->module, program->code, 2, options, values);
  if (status)
    return cuda_fail(device, "cuModuleLoadDataEx", status, log);
  state->kernels = calloc(program->num_kernels + 1, sizeof *state->kernels);
  const char *name = program->kernels;
  for (int64_t i = 0; i < program->num_kernels; ++i, name += strlen(name) + 1) {
    status = state->cu.ModuleGetFunction(&state->kernels[i], state->module, name);
    if (status)
      return cuda_fail(device, "cuModuleGetFunction", status, name);
  }
  return 0;
}

static int cuda_allocate(prune_gpu_device *device, int space, int64_t bytes) {
  cuda_state *state = device->driver;
  if (bytes == 0)
    return 0;
  int status = state->cu.MemAlloc(&state->memory[space], bytes);
  if (!status)
    return 0;
  static const char *const names[] = {"inputs", "outputs", "weights", "the workspace", "tensor maps"};
  char detail[96];
  snprintf(detail, sizeof detail, "%lld bytes for %s", (long long)bytes, names[space]);
  return cuda_fail(device, "cuMemAlloc", status, detail);
}

static int cuda_enqueue_launches(prune_gpu_device *device) {
  cuda_state *state = device->driver;
  const prune_gpu_program *program = device->program;
  const int64_t *word = program->table + 2 * (program->num_inputs + program->num_outputs);
  for (int64_t i = 0; i < program->num_launches; ++i) {
    if (word[0] < 0) {
      if (library_enqueue(&state->libraries, i, word))
        return 1;
      word += 9 + 2 * word[8];
      continue;
    }
    cuda_handle kernel = state->kernels[word[0]];
    int64_t count = word[8];
    cuda_pointer *pointers = malloc((count + 1) * sizeof *pointers);
    void **arguments = malloc((count + 1) * sizeof *arguments);
    for (int64_t j = 0; j < count; ++j) {
      pointers[j] = state->memory[word[9 + 2 * j]] + word[10 + 2 * j];
      arguments[j] = &pointers[j];
    }
    int status = 0;
    const char *call = "cuFuncSetAttribute";
    if (word[7] > 48 * 1024) /* more than a kernel has without asking */
      status = state->cu.FuncSetAttribute(kernel, 8, (int)word[7]);
    if (!status) {
      call = "cuLaunchKernel";
      status = state->cu.LaunchKernel(kernel, word[1], word[2], word[3], word[4], word[5], word[6], word[7],
                                      state->stream, arguments, 0);
    }
    free(pointers);
    free(arguments);
    if (status) {
      const char *name = program->kernels;
      for (int64_t k = 0; k < word[0]; ++k)
        name += strlen(name) + 1;
      return cuda_fail(device, call, status, name);
    }
    word += 9 + 2 * count;
  }
  return 0;
}

/* Enqueues a call, with its copies or without. */
static int cuda_enqueue(prune_gpu_device *device, int with_copies) {
  cuda_state *state = device->driver;
  const prune_gpu_program *program = device->program;
  if (with_copies && program->input_bytes)
    CUDA_TRY(CopyToDeviceAsync, "cuMemcpyHtoDAsync",
             (state->memory[PRUNE_GPU_INPUTS], state->staging_in, program->input_bytes, state->stream));
  if (cuda_enqueue_launches(device))
    return 1;
  if (with_copies && program->output_bytes)
    CUDA_TRY(CopyToHostAsync, "cuMemcpyDtoHAsync",
             (state->staging_out, state->memory[PRUNE_GPU_OUTPUTS], program->output_bytes, state->stream));
  return 0;
}

/* The same as a graph. */
static int cuda_capture(prune_gpu_device *device, int with_copies, cuda_handle *executable) {
  cuda_state *state = device->driver;
  cuda_handle graph = 0;
  CUDA_TRY(BeginCapture, "cuStreamBeginCapture", (state->stream, 2)); /* relaxed */
  int failed = cuda_enqueue(device, with_copies);
  int status = state->cu.EndCapture(state->stream, &graph);
  if (failed)
    return 1;
  if (status)
    return cuda_fail(device, "cuStreamEndCapture", status, 0);
  status = state->cu.GraphInstantiate(executable, graph, 0);
  state->cu.GraphDestroy(graph);
  return status ? cuda_fail(device, "cuGraphInstantiate", status, 0) : 0;
}

/* Fills in the tensor maps, now that addresses are known. */
static int cuda_encode_maps(prune_gpu_device *device) {
  cuda_state *state = device->driver;
  const prune_gpu_program *program = device->program;
  if (program->num_maps == 0)
    return 0;
  int (*encode)(void *, int, unsigned, void *, const uint64_t *, const uint64_t *, const uint32_t *, const uint32_t *, int, int,
                int, int) = 0;
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL); /* loaded before */
  if (library)
    *(void **)&encode = dlsym(library, "cuTensorMapEncodeTiled");
  if (!encode) {
    snprintf(device->error, PRUNE_GPU_ERROR_BYTES, "the CUDA driver is too old: libcuda.so.1 has no cuTensorMapEncodeTiled");
    return 1;
  }
  if (cuda_allocate(device, PRUNE_GPU_MAPS, 128 * program->num_maps))
    return 1;
  const int64_t *word = program->maps;
  for (int64_t i = 0; i < program->num_maps; ++i, word += 8) {
    _Alignas(64) char map[128];
    cuda_pointer address = state->memory[word[0]] + word[1];
    int64_t bytes = word[7] == 7 ? 4 : word[7] == 0 ? 1 : 2; /* of an element: f32 is 7, u8 0 */
    uint64_t sizes[2] = {word[2], word[3]}, stride[1] = {bytes * word[2]};
    uint32_t box[2] = {word[4], word[5]}, steps[2] = {1, 1};
    int swizzle = word[6] == 128 ? 3 : word[6] == 64 ? 2 : word[6] == 32 ? 1 : 0;
    /* Pieces of 256 bytes into the second-level cache; zeros outside of the matrix. */
    int status = encode(map, (int)word[7], 2, (void *)(uintptr_t)address, sizes, stride, box, steps, 0, swizzle, 3, 0);
    if (status)
      return cuda_fail(device, "cuTensorMapEncodeTiled", status, 0);
    CUDA_TRY(CopyToDevice, "cuMemcpyHtoD", (state->memory[PRUNE_GPU_MAPS] + 128 * i, map, sizeof map));
  }
  return 0;
}

static int cuda_open_in_context(prune_gpu_device *device, const void *weights) {
  cuda_state *state = device->driver;
  const prune_gpu_program *program = device->program;
  if ((program->code_bytes && cuda_load_code(device)) || cuda_allocate(device, PRUNE_GPU_WEIGHTS, program->weight_bytes) ||
      cuda_allocate(device, PRUNE_GPU_INPUTS, program->input_bytes) ||
      cuda_allocate(device, PRUNE_GPU_OUTPUTS, program->output_bytes) ||
      cuda_allocate(device, PRUNE_GPU_WORKSPACE, program->workspace_bytes))
    return 1;
  if (cuda_encode_maps(device))
    return 1;
  if (program->weight_bytes)
    CUDA_TRY(CopyToDevice, "cuMemcpyHtoD", (state->memory[PRUNE_GPU_WEIGHTS], weights, program->weight_bytes));
  if (program->workspace_bytes)
    CUDA_TRY(MemsetD8, "cuMemsetD8", (state->memory[PRUNE_GPU_WORKSPACE], 0, program->workspace_bytes));
  CUDA_TRY(HostAlloc, "cuMemHostAlloc", ((void **)&state->staging_in, program->input_bytes + 1, 0));
  CUDA_TRY(HostAlloc, "cuMemHostAlloc", ((void **)&state->staging_out, program->output_bytes + 1, 0));
  CUDA_TRY(StreamCreate, "cuStreamCreate", (&state->stream, 1)); /* does not wait for the default stream */
  CUDA_TRY(EventCreate, "cuEventCreate", (&state->begin, 0));
  CUDA_TRY(EventCreate, "cuEventCreate", (&state->end, 0));
  library_state *libraries = &state->libraries;
  libraries->allocate = state->cu.MemAlloc;
  libraries->release = state->cu.MemFree;
  libraries->synchronize = state->cu.StreamSynchronize;
  libraries->memory = state->memory;
  libraries->stream = state->stream;
  libraries->error = device->error;
  if (library_open(libraries, program))
    return 1;
  return libraries->num_calls ? 0 : cuda_capture(device, 1, &state->call);
}

/* Starts a call, by its graph if it has one. */
static int cuda_start(prune_gpu_device *device, int with_copies, cuda_handle graph) {
  cuda_state *state = device->driver;
  if (!graph)
    return cuda_enqueue(device, with_copies);
  CUDA_TRY(GraphLaunch, "cuGraphLaunch", (graph, state->stream));
  return 0;
}

static int cuda_open(prune_gpu_device *device, const void *weights) {
  cuda_state *state = device->driver = calloc(1, sizeof *state);
  if (!state) {
    snprintf(device->error, PRUNE_GPU_ERROR_BYTES, "out of memory");
    return 1;
  }
  if (cuda_load(device, &state->cu)) {
    memset(&state->cu, 0, sizeof state->cu);
    return 1;
  }
  if (cuda_choose_device(device))
    return 1;
  CUDA_TRY(PrimaryRetain, "cuDevicePrimaryCtxRetain", (&state->context, state->device));
  CUDA_TRY(CtxPush, "cuCtxPushCurrent", (state->context));
  int failed = cuda_open_in_context(device, weights);
  cuda_handle popped;
  state->cu.CtxPop(&popped);
  return failed;
}

static int cuda_run_in_context(prune_gpu_device *device, const void *const *inputs, void *const *outputs) {
  cuda_state *state = device->driver;
  const prune_gpu_program *program = device->program;
  const int64_t *word = program->table;
  for (int64_t i = 0; i < program->num_inputs; ++i, word += 2)
    memcpy(state->staging_in + word[0], inputs[i], word[1]);
  if (cuda_start(device, 1, state->call))
    return 1;
  CUDA_TRY(StreamSynchronize, "cuStreamSynchronize", (state->stream));
  for (int64_t i = 0; i < program->num_outputs; ++i, word += 2)
    memcpy(outputs[i], state->staging_out + word[0], word[1]);
  return 0;
}

static int cuda_run(prune_gpu_device *device, const void *const *inputs, void *const *outputs) {
  cuda_state *state = device->driver;
  cuda_handle popped;
  CUDA_TRY(CtxPush, "cuCtxPushCurrent", (state->context));
  int failed = cuda_run_in_context(device, inputs, outputs);
  state->cu.CtxPop(&popped);
  return failed;
}

static int cuda_time_in_context(prune_gpu_device *device, int calls, double *milliseconds) {
  cuda_state *state = device->driver;
  float elapsed = 0;
  if (!state->launches && !state->libraries.num_calls && cuda_capture(device, 0, &state->launches))
    return 1;
  if (cuda_start(device, 0, state->launches)) /* to warm up */
    return 1;
  CUDA_TRY(EventRecord, "cuEventRecord", (state->begin, state->stream));
  for (int i = 0; i < calls; ++i)
    if (cuda_start(device, 0, state->launches))
      return 1;
  CUDA_TRY(EventRecord, "cuEventRecord", (state->end, state->stream));
  CUDA_TRY(EventSynchronize, "cuEventSynchronize", (state->end));
  CUDA_TRY(EventElapsedTime, "cuEventElapsedTime", (&elapsed, state->begin, state->end));
  *milliseconds = elapsed / calls;
  return 0;
}

static int cuda_time(prune_gpu_device *device, int calls, double *milliseconds) {
  cuda_state *state = device->driver;
  cuda_handle popped;
  CUDA_TRY(CtxPush, "cuCtxPushCurrent", (state->context));
  int failed = cuda_time_in_context(device, calls, milliseconds);
  state->cu.CtxPop(&popped);
  return failed;
}

static void cuda_close(prune_gpu_device *device) {
  cuda_state *state = device->driver;
  if (!state)
    return;
  cuda_functions *cu = &state->cu;
  cuda_handle popped;
  if (state->context && !cu->CtxPush(state->context)) {
    library_close(&state->libraries);
    if (state->call)
      cu->GraphExecDestroy(state->call);
    if (state->launches)
      cu->GraphExecDestroy(state->launches);
    if (state->begin)
      cu->EventDestroy(state->begin);
    if (state->end)
      cu->EventDestroy(state->end);
    if (state->stream)
      cu->StreamDestroy(state->stream);
    for (int space = 0; space < 5; ++space)
      if (state->memory[space])
        cu->MemFree(state->memory[space]);
    if (state->staging_in)
      cu->HostFree(state->staging_in);
    if (state->staging_out)
      cu->HostFree(state->staging_out);
    if (state->module)
      cu->ModuleUnload(state->module);
    cu->CtxPop(&popped);
  }
  if (state->context)
    cu->PrimaryRelease(state->device);
  free(state->kernels);
  free(state);
  device->driver = 0;
}

static const prune_gpu_driver prune_gpu_cuda = {cuda_open, cuda_run, cuda_time, cuda_close};
