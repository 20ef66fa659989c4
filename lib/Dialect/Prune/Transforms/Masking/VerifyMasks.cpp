//===- VerifyMasks.cpp - Compare masks with their records ---------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Remarks.h"
#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "prune/Dialect/Prune/Transforms/Masking/Masking.h"
#include "prune/Support/Constants.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

class MaskVerifier {
public:
  explicit MaskVerifier(ModuleOp module) : module(module) {}
  FailureOr<VerifyMasksResult> run();

private:
  InFlightDiagnostic fail(Location loc) {
    broken = true;
    return emitError(loc);
  }
  void verifyApplied(RecordOp record, ArrayRef<ApplyOp> applies);
  void verifyStored(RecordOp record);

  ModuleOp module;
  bool broken = false;
  llvm::StringMap<SmallVector<ApplyOp>> appliesByName;
  /// Constants by the name they carry.
  llvm::StringMap<SmallVector<arith::ConstantOp>> constantsByName;
};

} // namespace

void MaskVerifier::verifyApplied(RecordOp record, ArrayRef<ApplyOp> applies) {
  StringRef name = record.getWeight();
  int64_t recordedKept = record.getKept(), total = record.getTotal();
  if (applies.empty()) {
    // The application of a mask that keeps everything folds away.
    if (recordedKept != total)
      fail(record.getLoc()) << "mask of '" << name << "' was lost: no prune.apply of that name is left to prune "
                            << total - recordedKept << " of " << total << " weights";
    return;
  }
  bool used = false;
  for (ApplyOp apply : applies) {
    used |= !apply->use_empty();
    if (apply.getPattern() != record.getPattern()) {
      fail(apply.getLoc()) << "mask of '" << name << "' changed its pattern: recorded " << record.getPattern()
                           << ", found " << apply.getPattern();
      continue;
    }
    Attribute constant = getConstantAttr(apply.getMask());
    if (!constant) {
      fail(apply.getLoc()) << "mask of '" << name << "' was decided, but is no longer a constant";
      continue;
    }
    auto emit = [&] { return fail(apply.getLoc()) << "mask of '" << name << "': "; };
    FailureOr<MaskData> mask = MaskData::read(constant, emit);
    if (failed(mask))
      continue;
    int64_t kept = mask->countKept();
    if (mask->size() != total)
      fail(apply.getLoc()) << "mask of '" << name << "' changed its size: recorded " << total << ", found "
                           << mask->size();
    else if (kept != recordedKept)
      fail(apply.getLoc()) << "mask of '" << name << "' changed: recorded " << recordedKept << " of " << total
                           << " kept, found " << kept;
    else if (std::string digest = digestMask(mask->shape(), mask->bytes()); digest != record.getDigest())
      fail(apply.getLoc()) << "mask of '" << name << "' changed: recorded digest " << record.getDigest() << ", found "
                           << digest;
    else
      (void)apply.getPattern().verifyMask(emit, mask->shape(), mask->bytes());
  }
  ApplyOp first = applies.front();
  if (!used)
    fail(first.getLoc()) << "mask of '" << name << "' was bypassed: the result of its prune.apply is not used";
}

void MaskVerifier::verifyStored(RecordOp record) {
  StringRef name = record.getWeight(), stored = *record.getStored();
  ArrayRef<arith::ConstantOp> constants = constantsByName[stored];
  if (constants.empty()) {
    fail(record.getLoc()) << "masked weight of '" << name << "' was lost: no constant '" << stored << "' is left";
    return;
  }
  for (arith::ConstantOp constant : constants) {
    auto emit = [&] { return fail(constant.getLoc()) << "masked weight of '" << name << "': "; };
    FailureOr<WeightData> weight = WeightData::read(constant.getValue(), emit);
    if (failed(weight))
      continue;
    std::vector<uint8_t> nonzero(weight->values().size());
    llvm::transform(weight->values(), nonzero.begin(), [](float value) { return value != 0; });
    if (std::string digest = digestMask(weight->shape(), nonzero); digest != *record.getStoredDigest())
      fail(constant.getLoc()) << "masked weight of '" << name << "' changed: " << llvm::count(nonzero, 1)
                              << " nonzero of at most " << record.getKept() << " kept, digest recorded "
                              << *record.getStoredDigest() << ", found " << digest;
  }
}

FailureOr<VerifyMasksResult> MaskVerifier::run() {
  module.walk([&](Operation *op) {
    if (auto apply = dyn_cast<ApplyOp>(op); apply && apply.getName())
      appliesByName[*apply.getName()].push_back(apply);
    else if (auto constant = dyn_cast<arith::ConstantOp>(op); constant && isa<ElementsAttr>(constant.getValue()))
      constantsByName[getConstantName(constant)].push_back(constant);
  });
  VerifyMasksResult result;
  for (RecordOp record : module.getOps<RecordOp>()) {
    ++result.records;
    if (record.getStored())
      verifyStored(record);
    else
      verifyApplied(record, appliesByName[record.getWeight()]);
    // What has a record is done; the rest is reported below.
    appliesByName[record.getWeight()].clear();
  }
  for (const auto &entry : appliesByName)
    for (ApplyOp apply : entry.second)
      remark::analysis(apply.getLoc(), remark::RemarkOpts::name("Unrecorded").category("masks"))
          << remark::add("mask of '{0}' is not checked because it has no record", entry.first().str());
  if (broken)
    return failure();
  return result;
}

FailureOr<VerifyMasksResult> mlir::prune::verifyMasks(ModuleOp module) { return MaskVerifier(module).run(); }
