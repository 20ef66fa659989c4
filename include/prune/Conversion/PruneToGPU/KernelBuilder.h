//===- KernelBuilder.h - Builds one kernel and its launch -----------*- C++ -*-===//
#ifndef PRUNE_CONVERSION_PRUNETOGPU_KERNELBUILDER_H
#define PRUNE_CONVERSION_PRUNETOGPU_KERNELBUILDER_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Support/GPUTarget.h"
#include <array>

namespace mlir::prune {

/// The gpu.module that all kernels of a model are in.
constexpr StringLiteral kKernelModule = "kernels";

/// Builds one kernel as a gpu.func of the module's gpu.module @kernels. The builder stands in its body; `finish` puts
/// the launch before `op` in the host function. Equal kernels are merged once all are there.
class KernelBuilder : public ImplicitLocOpBuilder {
public:
  /// `buffers` are memrefs of static shape on the host side, the arguments of the kernel; of a strided view the kernel
  /// gets the buffer that it shows. The same value may be given twice.
  KernelBuilder(RewriterBase &rewriter, Operation *op, const GPUTarget &target, StringRef name, ValueRange buffers,
                std::array<int64_t, 3> grid, std::array<int64_t, 3> block);

  /// Ends the kernel and launches it. An error if it takes more shared memory than a chip has (OpenCL: the runtime asks
  /// the device), or a buffer whose place is not known at compile time.
  LogicalResult finish();

  /// The i-th buffer inside of the kernel, of its shape and strides, in the global address space.
  Value getBuffer(unsigned i) { return buffers[i]; }

  /// A buffer of 128 bytes by which the tensor copy engine finds boxes of `buffer` (of the host side); see
  /// prune.tensor_map.
  Value addTensorMap(Value buffer, ArrayRef<int64_t> box, int64_t swizzleBytes);
  gpu::GPUFuncOp getKernel() { return kernel; }

  /// Coordinates of the thread in its block and of the block in its grid.
  Value threadId(unsigned dim = 0);
  Value blockId(unsigned dim = 0);
  std::array<int64_t, 3> getGrid() const { return grid; }
  std::array<int64_t, 3> getBlock() const { return block; }

  /// A buffer in shared memory; `type` says shape and elements. All of them are parts of one dynamic buffer.
  Value allocShared(MemRefType type, int64_t alignment = 16);
  /// Bytes of shared memory taken so far.
  int64_t getSharedBytes() const { return sharedBytes; }
  /// Waits for all threads of the block, and makes what they stored visible.
  void barrier();

  Value constant(int64_t value); ///< of type index
  Value zero(Type type);         ///< integer or float
  Value add(Value x, Value y);
  Value add(Value x, int64_t y);
  Value sub(Value x, Value y);
  Value mul(Value x, Value y);
  Value mul(Value x, int64_t y);
  Value div(Value x, int64_t y); ///< of numbers that are not negative
  Value rem(Value x, int64_t y);
  Value less(Value x, Value y); ///< of numbers that are not negative

  /// The coordinates of the `number`-th element, row-major, of a box of this shape.
  SmallVector<Value> delinearize(Value number, ArrayRef<int64_t> shape);

  /// An scf.for from `lo` to `hi`; returns what `body` yields last, or `init` if it never runs.
  using LoopBody = function_ref<SmallVector<Value>(Value index, ValueRange carried)>;
  SmallVector<Value> forLoop(Value lo, Value hi, int64_t step, ValueRange init, LoopBody body);
  SmallVector<Value> forLoop(Value lo, Value hi, Value step, ValueRange init, LoopBody body);
  /// A loop that carries nothing.
  void forLoop(Value lo, Value hi, int64_t step, function_ref<void(Value index)> body);

  /// An scf.if without results.
  void ifThen(Value condition, function_ref<void()> body);

  /// Clones the operations of `block` but its terminator with `arguments` for its arguments, and returns what the
  /// terminator gives. Values from outside: constants are cloned, others looked up in `mapping`; so are results of the
  /// block's operations that are there.
  SmallVector<Value> inlineBlock(Block &block, ValueRange arguments, IRMapping mapping = {});

  /// The epilogue of a packed layer for the element of the result at `indices`. `sum` is converted to the result's
  /// type if it is of another, extra `i` of the layer is buffer `firstExtra + i`.
  Value emitEpilogue(LinearOp layer, Value sum, ValueRange indices, unsigned firstExtra);

  /// `value` as a float or integer of another width.
  Value convert(Value value, Type type);

  const GPUTarget &target;

private:
  Operation *op;
  gpu::GPUFuncOp kernel;
  SmallVector<Value> operands; ///< what the launch passes
  SmallVector<Value> buffers;
  std::array<int64_t, 3> grid, block;
  int64_t sharedBytes = 0;
  Value sharedBase;
  bool hasDynamicOffset = false;
};

/// Attributes of a declaration whose calls are products by a library of CUDA: its name, and whether f32 may be rounded.
/// Arguments are the storage of the weight, the activations and the result.
inline constexpr StringLiteral kLibraryAttr = "prune.library", kTF32Attr = "prune.tf32";

/// The buffer that a chain of views without a place of its own shows: an argument, an allocation or a memref.view.
Value getRootBuffer(Value buffer);

} // namespace mlir::prune

#endif // PRUNE_CONVERSION_PRUNETOGPU_KERNELBUILDER_H
