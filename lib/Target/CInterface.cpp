//===- CInterface.cpp - The text of the C interface ---------------------------===//

#include "prune/Target/CLibrary.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::prune;
using llvm::StringRef;

std::string mlir::prune::makeIdentifier(StringRef text) {
  static const llvm::StringSet<> keywords{
      "auto",     "bool",   "break",   "case",   "catch",    "char",   "class",   "const",  "continue", "default",
      "delete",   "do",     "double",  "else",   "enum",     "extern", "false",   "float",  "for",      "goto",
      "handle",   "if",     "inline",  "int",    "long",     "new",    "private", "public", "register", "return",
      "short",    "signed", "sizeof",  "static", "struct",   "switch", "this",    "true",   "typedef",  "union",
      "unsigned", "using",  "virtual", "void",   "volatile", "while",  "restrict"};
  std::string result;
  for (char c : text)
    result += llvm::isAlnum(c) ? c : '_';
  if (result.empty() || llvm::isDigit(result[0]))
    result.insert(result.begin(), '_');
  if (keywords.contains(result))
    result += '_';
  return result;
}

static StringRef getCType(ElementKind kind) {
  // Half precision has no portable type in C: its bits.
  static constexpr llvm::StringLiteral types[] = {"uint8_t",  "int8_t",   "int16_t",  "int32_t",  "int64_t",
                                                  "uint8_t",  "uint16_t", "uint32_t", "uint64_t", "uint16_t",
                                                  "uint16_t", "float",    "double"};
  return types[static_cast<unsigned>(kind)];
}

/// Fills "@name@" and "@NAME@" and so on in `text`.
static std::string substitute(StringRef text, llvm::ArrayRef<std::pair<StringRef, std::string>> values) {
  std::string result = text.str();
  for (const auto &[key, value] : values) {
    std::string mark = ("@" + key + "@").str();
    for (size_t at = result.find(mark); at != std::string::npos; at = result.find(mark, at + value.size()))
      result.replace(at, mark.size(), value);
  }
  return result;
}

/// `text` inside a C string or comment.
static std::string escape(StringRef text) {
  std::string result;
  for (unsigned char c : text) {
    if (c == '"' || c == '\\')
      result += '\\';
    // '@' marks what substitute() fills in.
    if (llvm::isPrint(c) && c != '@')
      result += c;
    else
      result += "\\" + llvm::utostr(c / 64) + llvm::utostr(c / 8 % 8) + llvm::utostr(c % 8);
  }
  // No end of comment, no trigraph.
  for (StringRef pair : {"*/", "??"})
    for (size_t at = result.find(pair.str()); at != std::string::npos; at = result.find(pair.str()))
      result.replace(at + 1, 1, pair == "*/" ? "\\057" : "\\077");
  return result;
}

/// One line for each tensor in the comment of the header.
static std::string listTensors(llvm::ArrayRef<TensorSpec> specs) {
  std::string text;
  for (auto [i, spec] : llvm::enumerate(specs))
    text += llvm::formatv(" *   {0}  \"{1}\": {2}, {3} bytes\n", i, escape(spec.name), describe(spec.kind, spec.shape),
                          spec.getByteSize());
  return text;
}

/// What the header of a model for a GPU has besides.
static constexpr StringRef kGPUDeclaration = R"(
/* Mean milliseconds on the device of a call without its copies, over `calls` calls on the inputs of the last run.
 * Returns 0, or 1 if the device failed. */
int @name@_time(@name@_model *model, int calls, double *milliseconds);
)";

static constexpr llvm::StringLiteral kGPURuntime =
#include "GPURuntime.inc"
    ;

std::string mlir::prune::emitCHeader(const EntryDescription &entry, StringRef name) {
  std::string parameters, ins, outs;
  // What the function itself uses, and its types.
  llvm::StringSet<> taken{"model",   "inputs_", "outputs_", "uint8_t",  "int8_t",  "int16_t",
                          "int32_t", "int64_t", "uint16_t", "uint32_t", "uint64_t"};
  auto add = [&](const TensorSpec &spec, bool input) {
    std::string id = makeIdentifier(spec.name);
    while (!taken.insert(id).second)
      id += '_';
    parameters += (llvm::Twine(", ") + (input ? "const " : "") + getCType(spec.kind) + " *" + id).str();
    (input ? ins : outs) += (llvm::Twine((input ? ins : outs).empty() ? "" : ", ") + id).str();
  };
  for (const TensorSpec &spec : entry.inputs)
    add(spec, true);
  for (const TensorSpec &spec : entry.outputs)
    add(spec, false);
  static constexpr StringRef text =
      R"(/* Written by prune-compile. Link with @name@.so or @name@.o; the weights are in @name@.weights.
 *
 * Inputs:
@inputs@ * Outputs:
@outputs@ * Data is contiguous, row-major and little-endian, of any alignment; bool is one byte, 0 or 1.
 */
#ifndef @NAME@_H
#define @NAME@_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define @NAME@_NUM_INPUTS @numInputs@
#define @NAME@_NUM_OUTPUTS @numOutputs@
#define @NAME@_MAX_THREADS @threads@

/* The model in memory: code, mapped weights, workspace. One call at a time for each; make one for each caller. */
typedef struct @name@_model @name@_model;

typedef struct {
  const char *name;
  const char *type; /* as NumPy calls it: "float32" */
  int rank;
  const int64_t *shape;
  size_t bytes;
} @name@_tensor;

/* The i-th input or output; null beyond the last. */
const @name@_tensor *@name@_input(int i);
const @name@_tensor *@name@_output(int i);

/* Maps the weights (null: @name@.weights beside the library or program) and takes the workspace. On failure returns
 * null and writes one line to `error`, if that is not null. */
@name@_model *@name@_create(const char *weights, char *error, size_t error_size);
void @name@_destroy(@name@_model *model);

/* Calls the model: pointers in the order above. Allocates nothing. Returns 0, or 1 if the device failed. */
int @name@_run(@name@_model *model, const void *const *inputs, void *const *outputs);

/* Why the last call failed, in one line; empty if it did not. */
const char *@name@_error(const @name@_model *model);
@gpuDeclaration@
/* Threads of the calls from now on: 1 to @NAME@_MAX_THREADS, which is where it begins. Returns what is used. */
int @name@_set_threads(@name@_model *model, int threads);

/* The same call with the types checked by the compiler. */
static inline int @name@_call(@name@_model *model@parameters@) {
  const void *inputs_[@NAME@_NUM_INPUTS + 1] = {@ins@};
  void *outputs_[@NAME@_NUM_OUTPUTS + 1] = {@outs@};
  return @name@_run(model, inputs_, outputs_);
}

#ifdef __cplusplus
}
#endif
#endif
)";
  return substitute(text, {{"inputs", listTensors(entry.inputs)},
                           {"outputs", listTensors(entry.outputs)},
                           {"numInputs", llvm::utostr(entry.inputs.size())},
                           {"numOutputs", llvm::utostr(entry.outputs.size())},
                           {"threads", llvm::itostr(entry.threads)},
                           {"gpuDeclaration", entry.gpu.empty() ? "" : kGPUDeclaration.str()},
                           {"parameters", parameters},
                           {"ins", ins.empty() ? "0" : ins},
                           {"outs", outs.empty() ? "0" : outs},
                           {"NAME", name.upper()},
                           {"name", name.str()}});
}

static std::string emitTable(llvm::ArrayRef<TensorSpec> specs, StringRef table, StringRef name) {
  std::string shapes, rows;
  llvm::raw_string_ostream os(shapes);
  for (auto [i, spec] : llvm::enumerate(specs)) {
    os << "static const int64_t " << table << "_shape" << i << "[] = {";
    llvm::interleaveComma(spec.shape, os);
    os << (spec.shape.empty() ? "0};\n" : "};\n");
    rows += llvm::formatv("  {{\"{0}\", \"{1}\", {2}, {3}_shape{4}, {5}},\n", escape(spec.name), getName(spec.kind),
                          spec.shape.size(), table, i, spec.getByteSize());
  }
  return shapes + ("static const " + name + "_tensor " + table + "[] = {\n").str() + rows + "  {0, 0, 0, 0, 0}};\n";
}

/// Parts of the source that differ for a GPU.
static constexpr StringRef kRun =
    R"(  @name@_entry(inputs, outputs, model->file ? model->file + HEADER_BYTES : 0, model->workspace);
  return 0;)";
static constexpr StringRef kRunOnGPU =
    R"(  return prune_gpu_run(&@name@_entry_program, inputs, outputs, model->file ? model->file + HEADER_BYTES : 0);)";
static constexpr StringRef kGPUPrepare =
    R"(  if (prune_gpu_prepare(&@name@_entry_program, model->file ? model->file + HEADER_BYTES : 0, error, error_size)) {
    @name@_destroy(model);
    return 0;
  }
  model->on_device = 1;
)";
static constexpr StringRef kGPUTime = R"(
API int @name@_time(@name@_model *model, int calls, double *milliseconds) {
  (void)model;
  return prune_gpu_time(&@name@_entry_program, calls, milliseconds);
}
)";

std::string mlir::prune::emitCSource(const EntryDescription &entry, StringRef name, uint64_t weightBytes,
                                     uint64_t digest, bool parallel, llvm::ArrayRef<std::string> instructionSets) {
  // What both GCC 8 and Clang can ask the processor for; the rest comes with these in practice.
  static const llvm::StringSet<> askable{"sse3",     "ssse3",    "sse4.1",   "sse4.2",     "popcnt",     "avx",
                                         "avx2",     "fma",      "bmi",      "bmi2",       "avx512f",    "avx512bw",
                                         "avx512cd", "avx512dq", "avx512vl", "avx512ifma", "avx512vbmi", "avx512vnni"};
  bool onGPU = !entry.gpu.empty();
  std::string checks;
  for (const std::string &set : instructionSets)
    if (askable.contains(set))
      checks += "  if (!__builtin_cpu_supports(\"" + set + "\"))\n    return \"" + set + "\";\n";
  static constexpr StringRef text = R"(/* Written by prune-compile: what @name@.h promises. */
#define _GNU_SOURCE
#include "@name@.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))
#define WEIGHT_BYTES UINT64_C(@weightBytes@)
#define HEADER_BYTES @headerBytes@
#define WORKSPACE_BYTES @workspaceBytes@

void @name@_entry(const void *const *, void *const *, const void *, void *);
@ompDeclaration@@gpuRuntime@
@tables@
struct @name@_model {
  char *file;
  void *workspace;
  int threads, on_device;
};

API const @name@_tensor *@name@_input(int i) { return i < 0 || i >= @NAME@_NUM_INPUTS ? 0 : &inputs[i]; }
API const @name@_tensor *@name@_output(int i) { return i < 0 || i >= @NAME@_NUM_OUTPUTS ? 0 : &outputs[i]; }

static const char *missing_instructions(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_cpu_init();
@checks@#endif
  return 0;
}

static char *map_weights(const char *path, char *error, size_t error_size) {
  char beside[4096];
  if (!path) {
    Dl_info info;
    const char *self = dladdr((void *)@name@_input, &info) && info.dli_fname ? info.dli_fname : "";
    const char *slash = strrchr(self, '/');
    snprintf(beside, sizeof beside, "%.*s@name@.weights", slash ? (int)(slash + 1 - self) : 0, self);
    path = beside;
  }
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status)) {
    snprintf(error, error_size, "cannot open the weights '%s'", path);
    if (fd >= 0)
      close(fd);
    return 0;
  }
  char *file = MAP_FAILED;
  if ((uint64_t)status.st_size == WEIGHT_BYTES + HEADER_BYTES)
    file = mmap(0, status.st_size, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  static const uint64_t expected[3] = {UINT64_C(@magic@), WEIGHT_BYTES, UINT64_C(@digest@)};
  if (file == MAP_FAILED || memcmp(file, expected, sizeof expected)) {
    snprintf(error, error_size, "the weights in '%s' are not those of this code", path);
    if (file != MAP_FAILED)
      munmap(file, status.st_size);
    return 0;
  }
  return file;
}

API void @name@_destroy(@name@_model *model) {
  if (!model)
    return;
@gpuRelease@  if (model->file)
    munmap(model->file, WEIGHT_BYTES + HEADER_BYTES);
  free(model->workspace);
  free(model);
}

API @name@_model *@name@_create(const char *weights, char *error, size_t error_size) {
  if (!error)
    error_size = 0;
  const char *missing = missing_instructions();
  if (missing) {
    snprintf(error, error_size, "compiled for cpu '@cpu@' with %s, which this machine lacks", missing);
    return 0;
  }
  @name@_model *model = calloc(1, sizeof *model);
  if (!model || posix_memalign(&model->workspace, 64, WORKSPACE_BYTES + 64)) {
    snprintf(error, error_size, "out of memory");
    free(model);
    return 0;
  }
  memset(model->workspace, 0, WORKSPACE_BYTES + 64);
  model->threads = @NAME@_MAX_THREADS;
  if (WEIGHT_BYTES && !(model->file = map_weights(weights, error, error_size))) {
    @name@_destroy(model);
    return 0;
  }
@gpuPrepare@  return model;
}

API int @name@_set_threads(@name@_model *model, int threads) {
  model->threads = threads < 1 ? 1 : threads > @NAME@_MAX_THREADS ? @NAME@_MAX_THREADS : threads;
  return model->threads;
}

API int @name@_run(@name@_model *model, const void *const *inputs, void *const *outputs) {
@ompCall@@runCall@
}

API const char *@name@_error(const @name@_model *model) {
  (void)model;
  return @error@;
}
@gpuTime@)";
  return substitute(
      text, {{"tables", emitTable(entry.inputs, "inputs", name) + emitTable(entry.outputs, "outputs", name)},
             {"checks", checks},
             {"cpu", escape(entry.target.cpu)},
             {"weightBytes", llvm::utostr(weightBytes)},
             {"headerBytes", llvm::utostr(kWeightsHeaderBytes)},
             {"workspaceBytes", llvm::itostr(entry.workspaceBytes)},
             {"magic", "0x" + llvm::utohexstr(kWeightsMagic)},
             {"digest", "0x" + llvm::utohexstr(digest)},
             {"ompDeclaration", parallel ? "void omp_set_num_threads(int);\n" : ""},
             {"gpuRuntime", onGPU ? "#define PRUNE_GPU_API static __attribute__((unused))\n" + kGPURuntime.str() +
                                        "\nextern prune_gpu_program @name@_entry_program;\n"
                                  : ""},
             {"gpuPrepare", onGPU ? kGPUPrepare.str() : ""},
             {"gpuRelease", onGPU ? "  if (model->on_device)\n    prune_gpu_release(&@name@_entry_program);\n" : ""},
             {"gpuTime", onGPU ? kGPUTime.str() : ""},
             {"runCall", onGPU ? kRunOnGPU.str() : kRun.str()},
             {"error", onGPU ? "prune_gpu_error(&@name@_entry_program)" : "\"\""},
             {"ompCall", parallel ? "  omp_set_num_threads(model->threads);\n" : ""},
             {"NAME", name.upper()},
             {"name", name.str()}});
}
