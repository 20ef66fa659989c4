/* A driver and libraries of CUDA whose device is the host: what a model calls, and numbers from the libraries. Of
 * kernels there are two: the rounding of activations (generic) and, with FAKE_PARTS, the way of a product of f16 to a
 * result of f32 without an epilogue (add_parts). FAKE_FAIL names a call of a library that fails with status 13. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long pointer;
typedef _Float16 half;

/* What is printed comes before the results that the caller prints. */
__attribute__((constructor)) static void set_up(void) { setvbuf(stdout, 0, _IONBF, 0); }

#define OK(name, ...)                                                                                                  \
  int name(__VA_ARGS__) { return 0; }

OK(cuInit, unsigned flags)
OK(cuDeviceGet, int *device, int number)
OK(cuDevicePrimaryCtxRelease_v2, int device)
OK(cuCtxPushCurrent_v2, void *context)
OK(cuCtxPopCurrent_v2, void **context)
OK(cuModuleUnload, void *module)
OK(cuFuncSetAttribute, void *kernel, int which, int value)
OK(cuStreamDestroy_v2, void *stream)
OK(cuStreamSynchronize, void *stream)
OK(cuStreamBeginCapture_v2, void *stream, int mode)
OK(cuStreamEndCapture, void *stream, void **graph)
OK(cuGraphInstantiateWithFlags, void **executable, void *graph, unsigned long long flags)
OK(cuGraphDestroy, void *graph)
OK(cuGraphExecDestroy, void *graph)
OK(cuEventCreate, void **event, unsigned flags)
OK(cuEventRecord, void *event, void *stream)
OK(cuEventSynchronize, void *event)
OK(cuEventDestroy_v2, void *event)

int cuGraphLaunch(void *graph, void *stream) { return puts("graph"), 0; }
int cuGetErrorName(int status, const char **name) { return *name = "CUDA_ERROR_FAKE", 0; }
int cuGetErrorString(int status, const char **text) { return *text = "fake", 0; }
int cuDeviceGetCount(int *count) { return *count = 1, 0; }
int cuDeviceGetName(char *name, int size, int device) { return snprintf(name, size, "fake"), 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { return *value = which == 75 ? 9 : 0, 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { return *context = &cuDevicePrimaryCtxRetain, 0; }
int cuModuleLoadDataEx(void **module, const void *code, unsigned n, int *options, void **values) {
  return *module = &cuModuleLoadDataEx, 0;
}
int cuModuleGetFunction(void **kernel, void *module, const char *name) { return *kernel = (void *)name, 0; }
int cuMemAlloc_v2(pointer *memory, size_t bytes) { return *memory = (pointer)(uintptr_t)calloc(bytes, 1), 0; }
int cuMemFree_v2(pointer memory) { return free((void *)(uintptr_t)memory), 0; }
int cuMemsetD8_v2(pointer memory, unsigned char value, size_t bytes) {
  return memset((void *)(uintptr_t)memory, value, bytes), 0;
}
int cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) { return *memory = malloc(bytes), 0; }
int cuMemFreeHost(void *memory) { return free(memory), 0; }
int cuMemcpyHtoD_v2(pointer to, const void *from, size_t bytes) {
  return memcpy((void *)(uintptr_t)to, from, bytes), 0;
}
int cuMemcpyHtoDAsync_v2(pointer to, const void *from, size_t bytes, void *stream) {
  return cuMemcpyHtoD_v2(to, from, bytes);
}
int cuMemcpyDtoHAsync_v2(void *to, pointer from, size_t bytes, void *stream) {
  return memcpy(to, (void *)(uintptr_t)from, bytes), 0;
}
int cuStreamCreate(void **stream, unsigned flags) { return *stream = &cuStreamCreate, 0; }
int cuEventElapsedTime(float *milliseconds, void *begin, void *end) { return *milliseconds = 1, 0; }

int cuLaunchKernel(void *kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **arguments, void **extra) {
  const char *name = kernel;
  void *first = *(void **)arguments[0];
  printf("launch %s\n", name);
  if (!strcmp(name, "generic"))
    for (unsigned i = 0; i < gx * bx; ++i)
      (*(half **)arguments[1])[i] = ((float *)first)[i];
  else if (!strcmp(name, "add_parts") && getenv("FAKE_PARTS"))
    for (unsigned i = 0; i < gx * bx; ++i)
      (*(float **)arguments[2])[i] = ((half *)first)[i];
  return 0;
}

static int check(const char *call) {
  const char *failing = getenv("FAKE_FAIL");
  return failing && !strcmp(failing, call) ? 13 : 0;
}

/* cuBLAS */

static double get(const void *values, int is_half, size_t i) {
  return is_half ? ((const half *)values)[i] : ((const float *)values)[i];
}

int cublasCreate_v2(void **handle) { return *handle = &cublasCreate_v2, check("cublasCreate"); }
OK(cublasDestroy_v2, void *handle)
OK(cublasSetStream_v2, void *handle, void *stream)
int cublasGemmEx(void *handle, int ta, int tb, int m, int n, int k, const float *alpha, const void *a, int type_a,
                 int lda, const void *b, int type_b, int ldb, const float *beta, void *c, int type_c, int ldc,
                 int compute, int algorithm) {
  printf("cublasGemmEx %d %d, %d x %d x %d, types %d %d %d, sums %d\n", ta, tb, m, n, k, type_a, type_b, type_c,
         compute);
  for (int j = 0; j < n; ++j)
    for (int i = 0; i < m; ++i) {
      double sum = 0;
      for (int l = 0; l < k; ++l)
        sum += get(a, type_a, (size_t)i * lda + l) * get(b, type_b, (size_t)j * ldb + l);
      if (type_c)
        ((half *)c)[(size_t)j * ldc + i] = *alpha * sum;
      else
        ((float *)c)[(size_t)j * ldc + i] = *alpha * sum;
    }
  return check("cublasGemmEx");
}

/* cuSPARSE */

typedef struct {
  int64_t rows, columns, stride;
  void *positions, *coordinates, *values;
} matrix;

int cusparseCreate(void **handle) { return *handle = &cusparseCreate, 0; }
OK(cusparseDestroy, void *handle)
OK(cusparseSetStream, void *handle, void *stream)
int cusparseDestroySpMat(matrix *m) { return free(m), 0; }
int cusparseDestroyDnMat(matrix *m) { return free(m), 0; }
int cusparseCreateCsr(matrix **m, int64_t rows, int64_t columns, int64_t kept, void *positions, void *coordinates,
                      void *values, int position_type, int coordinate_type, int base, int type) {
  printf("cusparseCreateCsr %d x %d, %d kept\n", (int)rows, (int)columns, (int)kept);
  *m = malloc(sizeof **m);
  **m = (matrix){rows, columns, 0, positions, coordinates, values};
  return 0;
}
int cusparseCreateDnMat(matrix **m, int64_t rows, int64_t columns, int64_t stride, void *values, int type, int order) {
  *m = malloc(sizeof **m);
  **m = (matrix){rows, columns, stride, 0, 0, values};
  return order == 1 ? 0 : 3;
}
int cusparseSpMM_bufferSize(void *handle, int ta, int tb, const float *alpha, matrix *a, matrix *b, const float *beta,
                            matrix *c, int type, int algorithm, size_t *bytes) {
  return *bytes = 100, 0;
}
int cusparseSpMM(void *handle, int ta, int tb, const float *alpha, matrix *a, matrix *b, const float *beta, matrix *c,
                 int type, int algorithm, void *buffer) {
  puts("cusparseSpMM");
  const int32_t *positions = a->positions, *coordinates = a->coordinates;
  for (int64_t j = 0; j < c->columns; ++j)
    for (int64_t i = 0; i < c->rows; ++i) {
      double sum = 0;
      for (int32_t p = positions[i]; p < positions[i + 1]; ++p)
        sum += (double)((float *)a->values)[p] * ((float *)b->values)[j * b->stride + coordinates[p]];
      ((float *)c->values)[j * c->stride + i] = sum;
    }
  return check("cusparseSpMM");
}

/* cuSPARSELt */

typedef struct {
  matrix *a, *b, *c;
  int ta, tb;
} product;

OK(cusparseLtInit, void *handle)
OK(cusparseLtDestroy, void *handle)
OK(cusparseLtMatmulAlgSelectionInit, void *handle, void *choice, void *p, int algorithm)
OK(cusparseLtMatmulPlanDestroy, void *plan)
int cusparseLtStructuredDescriptorInit(void *handle, matrix *m, int64_t rows, int64_t columns, int64_t stride,
                                       uint32_t alignment, int type, int order, int sparsity) {
  *m = (matrix){rows, columns, stride, 0, 0, 0};
  return rows % 16 || columns % 16 || order != 2 || type != 2 ? 3 : 0;
}
int cusparseLtDenseDescriptorInit(void *handle, matrix *m, int64_t rows, int64_t columns, int64_t stride,
                                  uint32_t alignment, int type, int order) {
  *m = (matrix){rows, columns, stride, 0, 0, 0};
  return rows % 8 || columns % 8 || order != 2 || type != 2 ? 3 : 0;
}
int cusparseLtMatmulDescriptorInit(void *handle, product *p, int ta, int tb, matrix *a, matrix *b, matrix *c, matrix *d,
                                   int compute) {
  *p = (product){a, b, c, ta, tb};
  return ta != 0 || tb != 1 || compute != 2 || c != d;
}
int cusparseLtMatmulPlanInit(void *handle, product **plan, product *p, void *choice) { return *plan = p, 0; }
int cusparseLtMatmulGetWorkspace(void *handle, void *plan, size_t *bytes) { return *bytes = 64, 0; }
int cusparseLtSpMMACompressedSize(void *handle, product **plan, size_t *bytes, size_t *scratch) {
  return *bytes = (*plan)->b->rows * (*plan)->b->columns * 2, *scratch = 16, 0;
}
int cusparseLtSpMMACompress(void *handle, product **plan, const half *weight, half *compressed, void *scratch,
                            void *stream) {
  int64_t count = (*plan)->b->rows * (*plan)->b->columns, most = 0;
  for (int64_t i = 0; i < count; i += 4) {
    int64_t kept = 0;
    for (int j = 0; j < 4; ++j)
      kept += (compressed[i + j] = weight[i + j]) != 0;
    most = kept > most ? kept : most;
  }
  printf("cusparseLtSpMMACompress %d weights, at most %d of 4\n", (int)count, (int)most);
  return check("cusparseLtSpMMACompress");
}
int cusparseLtMatmul(void *handle, product **plan, const float *alpha, const half *a, const half *b, const float *beta,
                     const half *c, half *d, void *workspace, void **streams, int num_streams) {
  puts("cusparseLtMatmul");
  product *p = *plan;
  for (int64_t i = 0; i < p->a->rows; ++i)
    for (int64_t j = 0; j < p->b->rows; ++j) {
      float sum = 0;
      for (int64_t l = 0; l < p->a->columns; ++l)
        sum += (float)a[i * p->a->stride + l] * (float)b[j * p->b->stride + l];
      d[i * p->c->stride + j] = sum;
    }
  return check("cusparseLtMatmul");
}
