/*===- Program.c - The state of a program and its calls ---------------------===*/
#include "Libraries.c"
#include "CUDA.c"
#include "OpenCL.c"
#include <pthread.h>

typedef struct {
  const prune_gpu_driver *driver;
  prune_gpu_device device;
  int users;
} prune_gpu_state;

/* One call at a time for all programs of this copy of the runtime: they share a device. */
static pthread_mutex_t prune_gpu_mutex = PTHREAD_MUTEX_INITIALIZER;
/* Of the last failure; beside the state, which a failed start leaves none of. */
static char prune_gpu_last_error[PRUNE_GPU_ERROR_BYTES];

static int prune_gpu_open(prune_gpu_program *program, const void *weights) {
  prune_gpu_state *state = program->state;
  if (state)
    return 0;
  state = calloc(1, sizeof *state);
  if (!state) {
    snprintf(prune_gpu_last_error, sizeof prune_gpu_last_error, "out of memory");
    return 1;
  }
  state->driver = program->api == PRUNE_GPU_OPENCL ? &prune_gpu_opencl : &prune_gpu_cuda;
  state->device.program = program;
  state->device.error = prune_gpu_last_error;
  if (state->driver->open(&state->device, weights)) {
    state->driver->close(&state->device);
    free(state);
    return 1;
  }
  program->state = state;
  return 0;
}

PRUNE_GPU_API int prune_gpu_prepare(prune_gpu_program *program, const void *weights, char *error, size_t error_size) {
  pthread_mutex_lock(&prune_gpu_mutex);
  int failed = prune_gpu_open(program, weights);
  if (!failed)
    ++((prune_gpu_state *)program->state)->users;
  else if (error && error_size)
    snprintf(error, error_size, "%s", prune_gpu_last_error);
  pthread_mutex_unlock(&prune_gpu_mutex);
  return failed;
}

PRUNE_GPU_API void prune_gpu_release(prune_gpu_program *program) {
  pthread_mutex_lock(&prune_gpu_mutex);
  prune_gpu_state *state = program->state;
  if (state && --state->users <= 0) {
    state->driver->close(&state->device);
    free(state);
    program->state = 0;
  }
  pthread_mutex_unlock(&prune_gpu_mutex);
}

PRUNE_GPU_API int prune_gpu_run(prune_gpu_program *program, const void *const *inputs, void *const *outputs,
                                const void *weights) {
  pthread_mutex_lock(&prune_gpu_mutex);
  prune_gpu_last_error[0] = 0;
  int failed = prune_gpu_open(program, weights);
  if (!failed) {
    prune_gpu_state *state = program->state;
    failed = state->driver->run(&state->device, inputs, outputs);
  }
  pthread_mutex_unlock(&prune_gpu_mutex);
  return failed;
}

PRUNE_GPU_API int prune_gpu_time(prune_gpu_program *program, int calls, double *milliseconds) {
  pthread_mutex_lock(&prune_gpu_mutex);
  prune_gpu_last_error[0] = 0;
  prune_gpu_state *state = program->state;
  int failed = 1;
  if (!state || calls < 1)
    snprintf(prune_gpu_last_error, sizeof prune_gpu_last_error,
             "expected a model that ran before and 1 call or more, got %d", calls);
  else
    failed = state->driver->time(&state->device, calls, milliseconds);
  pthread_mutex_unlock(&prune_gpu_mutex);
  return failed;
}

PRUNE_GPU_API const char *prune_gpu_error(const prune_gpu_program *program) {
  (void)program;
  return prune_gpu_last_error;
}
