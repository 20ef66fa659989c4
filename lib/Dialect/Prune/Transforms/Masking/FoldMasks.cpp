//===- FoldMasks.cpp - Write masks into the weights ---------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "prune/Support/Constants.h"

using namespace mlir;
using namespace mlir::prune;

/// The elements of a weight with +0.0 where the mask prunes. Works on bytes: +0.0 is all zeros in every float type.
static std::vector<char> maskBytes(const RawConstant &weight, ArrayRef<uint8_t> mask) {
  size_t width = weight.type.getElementType().getIntOrFloatBitWidth() / 8;
  std::vector<char> bytes(mask.size() * width, 0);
  for (size_t i = 0; i < mask.size(); ++i)
    if (mask[i])
      std::copy_n(weight.bytes.data() + (weight.isSplat ? 0 : i * width), width, bytes.data() + i * width);
  return bytes;
}

FailureOr<FoldMasksResult> mlir::prune::foldMasks(ModuleOp module) {
  FoldMasksResult result;
  llvm::StringMap<RecordOp> records;
  for (RecordOp record : module.getOps<RecordOp>())
    records[record.getWeight()] = record;
  // Which records a folded constant stands for: several if masks of several dimensions lie on one weight.
  llvm::DenseMap<Operation *, SmallVector<RecordOp>> recordsOf;
  SmallVector<ApplyOp> applies;
  module.walk([&](ApplyOp apply) { applies.push_back(apply); });

  for (ApplyOp apply : applies) {
    OpBuilder builder(apply);
    StringRef name = apply.getName().value_or("");
    RecordOp record = records.lookup(name);
    RankedTensorType type = apply.getWeight().getType();
    Attribute weightAttr = getConstantAttr(apply.getWeight()), maskAttr = getConstantAttr(apply.getMask());
    if (!weightAttr || !maskAttr) {
      auto zero = arith::ConstantOp::create(builder, apply.getLoc(), builder.getZeroAttr(type));
      auto select = arith::SelectOp::create(builder, apply.getLoc(), apply.getMask(), apply.getWeight(), zero);
      remark::missed(apply.getLoc(), remark::RemarkOpts::name("Select").category("masks"))
          << remark::add("mask of '{0}' became arith.select because its {1} is not a constant", name.str(),
                         weightAttr ? "mask" : "weight");
      apply.replaceAllUsesWith(select.getResult());
      apply->erase();
      if (record) {
        records.erase(record.getWeight());
        record->erase();
      }
      ++result.selects;
      continue;
    }
    auto emit = [&, loc = apply.getLoc()] { return emitError(loc) << "mask of '" << name << "': "; };
    FailureOr<RawConstant> weight = readRawConstant(weightAttr, emit);
    FailureOr<MaskData> mask = MaskData::read(maskAttr, emit);
    if (failed(weight) || failed(mask))
      return failure();
    std::string key = (name.empty() ? "weight" : name.str()) + ".masked";
    ElementsAttr attr = makeResourceAttr(type, maskBytes(*weight, mask->bytes()), key);
    auto constant = arith::ConstantOp::create(builder, apply.getLoc(), attr);
    apply.replaceAllUsesWith(constant.getResult());
    Operation *inputs[] = {apply.getWeight().getDefiningOp(), apply.getMask().getDefiningOp()};
    apply->erase();
    SmallVector<RecordOp> &stored = recordsOf[constant];
    if (record)
      stored.push_back(record);
    for (Operation *input : inputs)
      if (input->use_empty()) {
        // A mask below this one now lives on in what both leave.
        llvm::append_range(stored, recordsOf.lookup(input));
        recordsOf.erase(input);
        input->erase();
      }
    if (!stored.empty()) {
      FailureOr<WeightData> values = WeightData::read(attr, emit);
      if (failed(values))
        return failure();
      std::vector<uint8_t> nonzero(values->values().size());
      llvm::transform(values->values(), nonzero.begin(), [](float value) { return value != 0; });
      std::string digest = digestMask(type.getShape(), nonzero);
      for (RecordOp masked : stored) {
        // The key may have got a suffix to be unique.
        masked.setStored(getConstantName(constant));
        masked.setStoredDigest(digest);
      }
    }
    ++result.folded;
  }
  return result;
}
