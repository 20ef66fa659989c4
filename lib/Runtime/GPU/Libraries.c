/*===- Libraries.c - Layers by cuBLAS, cuSPARSELt and cuSPARSE ---------------===*
 *
 * Loaded at run time, and only for models that were compiled with `libraries`. A call computes y = x w', x [tokens,
 * columns], w [rows, columns] and y [tokens, rows], all row-major. Weights stay as they were packed: 2:4 ones are
 * compressed by cuSPARSELt, never pruned.
 *
 *===----------------------------------------------------------------------===*/
#include "Internal.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long library_pointer;
typedef uint64_t library_opaque[2048]; /* cuSPARSELt's types are 11 KiB at most */

/* Entry points with their types: X(name, symbol, parameters). */
#define PRUNE_CUBLAS_FUNCTIONS(X)                                                                                      \
  X(cublas_create, "cublasCreate_v2", (void **))                                                                       \
  X(cublas_destroy, "cublasDestroy_v2", (void *))                                                                      \
  X(cublas_set_stream, "cublasSetStream_v2", (void *, void *))                                                         \
  X(cublas_gemm, "cublasGemmEx",                                                                                       \
    (void *, int, int, int, int, int, const float *, library_pointer, int, int, library_pointer, int, int,             \
     const float *, library_pointer, int, int, int, int))
#define PRUNE_CUSPARSELT_FUNCTIONS(X)                                                                                  \
  X(lt_init, "cusparseLtInit", (void *))                                                                               \
  X(lt_destroy, "cusparseLtDestroy", (void *))                                                                         \
  X(lt_structured, "cusparseLtStructuredDescriptorInit",                                                               \
    (void *, void *, int64_t, int64_t, int64_t, uint32_t, int, int, int))                                              \
  X(lt_dense, "cusparseLtDenseDescriptorInit", (void *, void *, int64_t, int64_t, int64_t, uint32_t, int, int))        \
  X(lt_product, "cusparseLtMatmulDescriptorInit", (void *, void *, int, int, void *, void *, void *, void *, int))     \
  X(lt_choice, "cusparseLtMatmulAlgSelectionInit", (void *, void *, void *, int))                                      \
  X(lt_plan, "cusparseLtMatmulPlanInit", (void *, void *, void *, void *))                                             \
  X(lt_plan_destroy, "cusparseLtMatmulPlanDestroy", (void *))                                                          \
  X(lt_workspace, "cusparseLtMatmulGetWorkspace", (void *, void *, size_t *))                                          \
  X(lt_compressed_size, "cusparseLtSpMMACompressedSize", (void *, void *, size_t *, size_t *))                         \
  X(lt_compress, "cusparseLtSpMMACompress",                                                                            \
    (void *, void *, library_pointer, library_pointer, library_pointer, void *))                                       \
  X(lt_matmul, "cusparseLtMatmul",                                                                                     \
    (void *, void *, const float *, library_pointer, library_pointer, const float *, library_pointer, library_pointer, \
     library_pointer, void **, int))
#define PRUNE_CUSPARSE_FUNCTIONS(X)                                                                                    \
  X(sparse_create, "cusparseCreate", (void **))                                                                        \
  X(sparse_destroy, "cusparseDestroy", (void *))                                                                       \
  X(sparse_set_stream, "cusparseSetStream", (void *, void *))                                                          \
  X(sparse_csr, "cusparseCreateCsr",                                                                                   \
    (void **, int64_t, int64_t, int64_t, library_pointer, library_pointer, library_pointer, int, int, int, int))       \
  X(sparse_dense, "cusparseCreateDnMat", (void **, int64_t, int64_t, int64_t, library_pointer, int, int))              \
  X(sparse_destroy_csr, "cusparseDestroySpMat", (void *))                                                              \
  X(sparse_destroy_dense, "cusparseDestroyDnMat", (void *))                                                            \
  X(sparse_workspace, "cusparseSpMM_bufferSize",                                                                       \
    (void *, int, int, const float *, void *, void *, const float *, void *, int, int, size_t *))                      \
  X(sparse_matmul, "cusparseSpMM",                                                                                     \
    (void *, int, int, const float *, void *, void *, const float *, void *, int, int, library_pointer))

/* What a launch of a library needs beside its words. */
typedef struct {
  library_opaque *plan; /* cuSPARSELt: the matrices w, x, y, the product, the choice of an algorithm, the plan */
  void *matrices[3];    /* cuSPARSE: w, x, y */
  library_pointer compressed, workspace;
} library_call;

#define PRUNE_DECLARE(name, symbol, parameters) int(*name) parameters;
typedef struct {
  PRUNE_CUBLAS_FUNCTIONS(PRUNE_DECLARE)
  PRUNE_CUSPARSELT_FUNCTIONS(PRUNE_DECLARE)
  PRUNE_CUSPARSE_FUNCTIONS(PRUNE_DECLARE)
  int (*allocate)(library_pointer *, size_t); /* of the driver */
  int (*release)(library_pointer);
  int (*synchronize)(void *);
  const library_pointer *memory; /* by space */
  void *stream;
  char *error;
  void *cublas, *sparse; /* handles */
  library_opaque *lt;
  library_call *calls; /* by launch */
  int64_t num_calls;
} library_state;
#undef PRUNE_DECLARE

static const float library_one = 1, library_zero = 0;

static int library_fail(library_state *state, const char *call, int status) {
  snprintf(state->error, PRUNE_GPU_ERROR_BYTES, "%s: status %d", call, status);
  return 1;
}

#define LIBRARY_TRY(name, symbol, arguments)                                                                           \
  do {                                                                                                                 \
    int status_ = state->name arguments;                                                                               \
    if (status_)                                                                                                       \
      return library_fail(state, symbol, status_);                                                                     \
  } while (0)

/* The first of `files` (with a final null) that can be loaded. */
static void *library_load(library_state *state, const char *name, const char *const *files) {
  for (const char *const *file = files; *file; ++file) {
    void *library = dlopen(*file, RTLD_NOW | RTLD_LOCAL);
    if (library)
      return library;
  }
  snprintf(state->error, PRUNE_GPU_ERROR_BYTES, "the model is compiled for %s, which cannot be loaded as %s%s%s%s%s",
           name, files[0], files[1] ? " or " : "", files[1] ? files[1] : "", files[1] && files[2] ? " or " : "",
           files[1] && files[2] ? files[2] : "");
  return 0;
}

/* Loads the functions of a list, or leaves with the name of the one that is missing. */
#define LIBRARY_LOAD_ONE(name_, symbol, parameters)                                                                    \
  *(void **)&state->name_ = dlsym(library, symbol);                                                                    \
  if (!state->name_ && !missing)                                                                                       \
    missing = symbol;
#define LIBRARY_LOAD(list, title, ...)                                                                                 \
  do {                                                                                                                 \
    static const char *const files[] = {__VA_ARGS__, 0};                                                               \
    void *library = library_load(state, title, files);                                                                 \
    const char *missing = 0;                                                                                           \
    if (!library)                                                                                                      \
      return 1;                                                                                                        \
    list(LIBRARY_LOAD_ONE) if (missing) {                                                                              \
      snprintf(state->error, PRUNE_GPU_ERROR_BYTES, "%s is too old: it has no %s", title, missing);                    \
      return 1;                                                                                                        \
    }                                                                                                                  \
  } while (0)

static int library_allocate(library_state *state, library_pointer *memory, size_t bytes, const char *what) {
  int status = bytes ? state->allocate(memory, bytes) : 0;
  if (!status)
    return 0;
  snprintf(state->error, PRUNE_GPU_ERROR_BYTES, "cuMemAlloc: CUDA error %d (%zu bytes for %s)", status, bytes, what);
  return 1;
}

/* The place of argument `i` of a launch. */
static library_pointer library_argument(const library_state *state, const int64_t *word, int i) {
  return state->memory[word[9 + 2 * i]] + word[10 + 2 * i];
}

static int library_open_cublas(library_state *state) {
  if (state->cublas)
    return 0;
  LIBRARY_LOAD(PRUNE_CUBLAS_FUNCTIONS, "cuBLAS", "libcublas.so.13", "libcublas.so.12", "libcublas.so.11");
  LIBRARY_TRY(cublas_create, "cublasCreate", (&state->cublas));
  LIBRARY_TRY(cublas_set_stream, "cublasSetStream", (state->cublas, state->stream));
  return 0;
}

static int library_open_cusparselt(library_state *state, const int64_t *word, library_call *call) {
  if (!state->lt) {
    LIBRARY_LOAD(PRUNE_CUSPARSELT_FUNCTIONS, "cuSPARSELt", "libcusparseLt.so.0");
    library_opaque *handle = calloc(1, sizeof *handle);
    if (!handle)
      return library_fail(state, "calloc", 1);
    int status = state->lt_init(handle);
    if (status) {
      free(handle);
      return library_fail(state, "cusparseLtInit", status);
    }
    state->lt = handle;
  }
  enum { W, X, Y, PRODUCT, CHOICE, PLAN, COUNT };
  enum { ROW_MAJOR = 2, HALF_KEPT = 0, AS_IT_IS = 0, TRANSPOSED = 1, SUMS_OF_F32 = 2, ALIGNMENT = 16 };
  library_opaque *plan = calloc(COUNT, sizeof *plan);
  if (!plan)
    return library_fail(state, "calloc", 1);
  call->plan = plan;
  int64_t tokens = word[1], rows = word[2], columns = word[3];
  int type = (int)word[4];
  LIBRARY_TRY(lt_structured, "cusparseLtStructuredDescriptorInit",
              (state->lt, plan[W], rows, columns, columns, ALIGNMENT, type, ROW_MAJOR, HALF_KEPT));
  LIBRARY_TRY(lt_dense, "cusparseLtDenseDescriptorInit",
              (state->lt, plan[X], tokens, columns, columns, ALIGNMENT, type, ROW_MAJOR));
  LIBRARY_TRY(lt_dense, "cusparseLtDenseDescriptorInit",
              (state->lt, plan[Y], tokens, rows, rows, ALIGNMENT, (int)word[5], ROW_MAJOR));
  LIBRARY_TRY(lt_product, "cusparseLtMatmulDescriptorInit",
              (state->lt, plan[PRODUCT], AS_IT_IS, TRANSPOSED, plan[X], plan[W], plan[Y], plan[Y], SUMS_OF_F32));
  LIBRARY_TRY(lt_choice, "cusparseLtMatmulAlgSelectionInit", (state->lt, plan[CHOICE], plan[PRODUCT], 0));
  LIBRARY_TRY(lt_plan, "cusparseLtMatmulPlanInit", (state->lt, plan[PLAN], plan[PRODUCT], plan[CHOICE]));
  size_t compressed = 0, scratch = 0, workspace = 0;
  LIBRARY_TRY(lt_compressed_size, "cusparseLtSpMMACompressedSize", (state->lt, plan[PLAN], &compressed, &scratch));
  LIBRARY_TRY(lt_workspace, "cusparseLtMatmulGetWorkspace", (state->lt, plan[PLAN], &workspace));
  library_pointer buffer = 0;
  if (library_allocate(state, &call->compressed, compressed, "a compressed weight") ||
      library_allocate(state, &call->workspace, workspace, "cuSPARSELt") ||
      library_allocate(state, &buffer, scratch, "compressing a weight"))
    return 1;
  int status = state->lt_compress(state->lt, plan[PLAN], library_argument(state, word, 0), call->compressed, buffer,
                                  state->stream);
  int finished = state->synchronize(state->stream);
  if (buffer)
    state->release(buffer);
  if (status)
    return library_fail(state, "cusparseLtSpMMACompress", status);
  return finished ? library_fail(state, "cuStreamSynchronize", finished) : 0;
}

static int library_open_cusparse(library_state *state, const int64_t *word, library_call *call) {
  if (!state->sparse) {
    LIBRARY_LOAD(PRUNE_CUSPARSE_FUNCTIONS, "cuSPARSE", "libcusparse.so.12", "libcusparse.so.11");
    LIBRARY_TRY(sparse_create, "cusparseCreate", (&state->sparse));
    LIBRARY_TRY(sparse_set_stream, "cusparseSetStream", (state->sparse, state->stream));
  }
  enum { I32 = 2, F32 = 0, COLUMN_MAJOR = 1 };
  int64_t tokens = word[1], rows = word[2], columns = word[3], kept = word[7];
  /* x and y by rows are their transposes by columns. */
  LIBRARY_TRY(sparse_csr, "cusparseCreateCsr",
              (&call->matrices[0], rows, columns, kept, library_argument(state, word, 0),
               library_argument(state, word, 1), library_argument(state, word, 2), I32, I32, 0, F32));
  LIBRARY_TRY(sparse_dense, "cusparseCreateDnMat",
              (&call->matrices[1], columns, tokens, columns, library_argument(state, word, 3), F32, COLUMN_MAJOR));
  LIBRARY_TRY(sparse_dense, "cusparseCreateDnMat",
              (&call->matrices[2], rows, tokens, rows, library_argument(state, word, 4), F32, COLUMN_MAJOR));
  size_t workspace = 0;
  LIBRARY_TRY(sparse_workspace, "cusparseSpMM_bufferSize",
              (state->sparse, 0, 0, &library_one, call->matrices[0], call->matrices[1], &library_zero,
               call->matrices[2], F32, 0, &workspace));
  return library_allocate(state, &call->workspace, workspace, "cuSPARSE");
}

/* Gets the libraries of a program ready, if it has launches of any. */
static int library_open(library_state *state, const prune_gpu_program *program) {
  state->calls = calloc(program->num_launches + 1, sizeof *state->calls);
  if (!state->calls)
    return library_fail(state, "calloc", 1);
  const int64_t *word = program->table + 2 * (program->num_inputs + program->num_outputs);
  for (int64_t i = 0; i < program->num_launches; ++i, word += 9 + 2 * word[8]) {
    if (word[0] >= 0)
      continue;
    state->num_calls = i + 1;
    library_call *call = &state->calls[i];
    if (word[0] == PRUNE_GPU_CUBLAS     ? library_open_cublas(state)
        : word[0] == PRUNE_GPU_CUSPARSE ? library_open_cusparse(state, word, call)
                                        : library_open_cusparselt(state, word, call))
      return 1;
  }
  return 0;
}

/* Enqueues launch `i`, whose words are `word`. */
static int library_enqueue(library_state *state, int64_t i, const int64_t *word) {
  library_call *call = &state->calls[i];
  int tokens = (int)word[1], rows = (int)word[2], columns = (int)word[3];
  if (word[0] == PRUNE_GPU_CUBLAS) {
    enum { SUMS_OF_F32 = 68, SUMS_OF_TF32 = 77, TRANSPOSED = 1, DEFAULT_ALGORITHM = -1 };
    /* y' = w x' by columns. */
    LIBRARY_TRY(cublas_gemm, "cublasGemmEx",
                (state->cublas, TRANSPOSED, 0, rows, tokens, columns, &library_one, library_argument(state, word, 0),
                 (int)word[4], columns, library_argument(state, word, 1), (int)word[4], columns, &library_zero,
                 library_argument(state, word, 2), (int)word[5], rows, word[6] ? SUMS_OF_TF32 : SUMS_OF_F32,
                 DEFAULT_ALGORITHM));
  } else if (word[0] == PRUNE_GPU_CUSPARSE) {
    LIBRARY_TRY(sparse_matmul, "cusparseSpMM",
                (state->sparse, 0, 0, &library_one, call->matrices[0], call->matrices[1], &library_zero,
                 call->matrices[2], 0, 0, call->workspace));
  } else {
    library_pointer y = library_argument(state, word, 2);
    LIBRARY_TRY(lt_matmul, "cusparseLtMatmul",
                (state->lt, call->plan[5], &library_one, library_argument(state, word, 1), call->compressed,
                 &library_zero, y, y, call->workspace, &state->stream, 1));
  }
  return 0;
}

static void library_close(library_state *state) {
  for (int64_t i = 0; i < state->num_calls; ++i) {
    library_call *call = &state->calls[i];
    if (call->matrices[0])
      state->sparse_destroy_csr(call->matrices[0]);
    for (int j = 1; j < 3; ++j)
      if (call->matrices[j])
        state->sparse_destroy_dense(call->matrices[j]);
    if (call->compressed) {
      state->lt_plan_destroy(call->plan[5]);
      state->release(call->compressed);
    }
    if (call->workspace)
      state->release(call->workspace);
    free(call->plan);
  }
  free(state->calls);
  if (state->cublas)
    state->cublas_destroy(state->cublas);
  if (state->sparse)
    state->sparse_destroy(state->sparse);
  if (state->lt)
    state->lt_destroy(state->lt);
  free(state->lt);
}
