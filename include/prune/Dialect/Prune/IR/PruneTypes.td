//===- PruneTypes.td - Types that operations expect -------------*- tablegen -*-===//
#ifndef PRUNE_TYPES_TD
#define PRUNE_TYPES_TD

include "mlir/IR/OpBase.td"

def Prune_WeightTensor : ConfinedType<StaticShapeTensorOf<[F16, BF16, F32, F64]>,
    [CPred<"::llvm::cast<::mlir::ShapedType>($_self).getRank() > 0">,
     CPred<"::llvm::cast<::mlir::ShapedType>($_self).getNumElements() > 0">],
    "statically shaped, nonempty tensor of f16, bf16, f32 or f64 of rank 1 or more", "::mlir::RankedTensorType">;

/// What a mask that is decided may lie on: also the integers of a quantized weight.
def Prune_MaskedTensor : ConfinedType<StaticShapeTensorOf<[F16, BF16, F32, F64, I8]>,
    [CPred<"::llvm::cast<::mlir::ShapedType>($_self).getRank() > 0">,
     CPred<"::llvm::cast<::mlir::ShapedType>($_self).getNumElements() > 0">],
    "statically shaped, nonempty tensor of f16, bf16, f32, f64 or i8 of rank 1 or more", "::mlir::RankedTensorType">;

def Prune_MaskTensor : Type<StaticShapeTensorOf<[I1]>.predicate, "statically shaped tensor of i1",
    "::mlir::RankedTensorType">;

class Prune_MaskOf<string weight, string mask> : TypesMatchWith<
    mask # " is an i1 tensor of the shape of " # weight, weight, mask,
    "::llvm::cast<::mlir::ShapedType>($_self).clone(::mlir::IntegerType::get($_self.getContext(), 1))">;

#endif // PRUNE_TYPES_TD
