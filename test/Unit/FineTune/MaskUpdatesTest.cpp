//===- MaskUpdatesTest.cpp - Masks that change in training --------------------===//
//
// Schedules in C++ against numbers of NumPy and against the code that is made of them, and what patterns from outside
// are told.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "prune/Dialect/Prune/Transforms/FineTune/FineTune.h"
#include "prune/Dialect/Prune/Transforms/Masking/Spelling.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

class MaskUpdatesTest : public ::testing::Test {
protected:
  MaskUpdatesTest() {
    context.loadDialect<arith::ArithDialect, func::FuncDialect, linalg::LinalgDialect, math::MathDialect, PruneDialect,
                        tensor::TensorDialect>();
  }

  ScheduleAttr parse(StringRef text) {
    std::string error;
    ScheduleAttr schedule = parseSchedule(text, &context, error);
    EXPECT_TRUE(schedule) << error;
    return schedule;
  }

  /// What the code of a schedule gives at `step`: computed by folding.
  std::pair<double, bool> fold(ScheduleAttr schedule, int64_t step, double target) {
    OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
    ImplicitLocOpBuilder b(module->getLoc(), &context);
    b.setInsertionPointToEnd(module->getBody());
    auto function = func::FuncOp::create(b, "f", b.getFunctionType({}, {b.getF64Type(), b.getI1Type()}));
    b.setInsertionPointToStart(function.addEntryBlock());
    Value at = arith::ConstantOp::create(b, b.getI64IntegerAttr(step));
    func::ReturnOp::create(b, ValueRange{emitSparsity(b, at, schedule, target), emitIsUpdate(b, at, schedule)});
    PassManager manager(&context);
    manager.addPass(createCanonicalizerPass());
    EXPECT_TRUE(succeeded(manager.run(*module)));
    Operation *end = function.front().getTerminator();
    FloatAttr sparsity;
    BoolAttr isUpdate;
    EXPECT_TRUE(matchPattern(end->getOperand(0), m_Constant(&sparsity)));
    EXPECT_TRUE(matchPattern(end->getOperand(1), m_Constant(&isUpdate)));
    return {sparsity.getValueAsDouble(), isUpdate.getValue()};
  }

  MLIRContext context;
};

TEST_F(MaskUpdatesTest, schedulesGiveTheNumbersOfNumPy) {
  struct {
    StringRef text;
    double expected[4]; // at the steps 0, 25, 50 and 99, to 0.9
  } cases[] = {
      {"constant:end=100", {0.9, 0.9, 0.9, 0.9}},
      {"polynomial:end=100:initial=0.2", {0.20000000000000007, 0.6046875, 0.8125, 0.8999993000000001}},
      {"exponential:end=100:initial=0.2",
       {0.19999999999999996, 0.5243171539989115, 0.7171572875253811, 0.8978987874292808}},
      {"cosine:end=100:initial=0.2", {0.2, 0.30251262658470846, 0.55, 0.899827296128006}},
      {"multi-step:end=100:every=25:milestones=[25,50]:initial=0.2", {0.2, 0.55, 0.9, 0.9}},
      {"geometric:end=100:every=30:initial=0.2",
       {0.19999999999999996, 0.19999999999999996, 0.5243171539989115, 0.8318207169492571}},
  };
  const int64_t steps[] = {0, 25, 50, 99};
  for (const auto &test : cases)
    for (auto [step, expected] : llvm::zip_equal(steps, test.expected))
      EXPECT_NEAR(parse(test.text).getSparsity(step, 0.9), expected, 1e-15) << test.text.str() << " at " << step;
}

TEST_F(MaskUpdatesTest, codeOfSchedulesAgreesWithThem) {
  for (StringRef text :
       {"constant", "constant:begin=3:end=20:every=4", "polynomial:begin=2:end=30:every=7",
        "polynomial:end=13:every=1:power=1.7:initial=0.31", "exponential:begin=5:end=25:initial=0.3",
        "cosine:begin=1:end=20:every=3:initial=0.5", "geometric:begin=2:end=22:every=6",
        "multi-step:begin=4:end=20:every=4:milestones=[8,16,20]", "cosine:begin=9", "polynomial:end=1"}) {
    ScheduleAttr schedule = parse(text);
    for (int64_t step = 0; step < 33; ++step)
      for (double target : {0.0, 0.5, 0.937}) {
        auto [sparsity, isUpdate] = fold(schedule, step, target);
        EXPECT_EQ(sparsity, schedule.getSparsity(step, target)) << text.str() << " at " << step;
        EXPECT_EQ(isUpdate, schedule.isUpdate(step)) << text.str() << " at " << step;
        EXPECT_TRUE(sparsity >= 0 && sparsity < 1) << text.str() << " at " << step;
        if (step >= schedule.getEnd()) {
          EXPECT_EQ(sparsity, target) << text.str() << " at " << step;
        }
      }
  }
}

//===----------------------------------------------------------------------===//
// A pattern from outside
//===----------------------------------------------------------------------===//

/// Two units, the even and the odd elements: no boxes.
struct ParityPattern : public PatternAttrInterface::ExternalModel<ParityPattern, UnitAttr> {
  LogicalResult verifyShape(Attribute, function_ref<InFlightDiagnostic()>, ArrayRef<int64_t>) const {
    return success();
  }
  SmallVector<int64_t> getUnitGrid(Attribute, ArrayRef<int64_t>) const { return {2}; }
  void reduceScores(Attribute, ArrayRef<int64_t>, ArrayRef<float>, ScoreOrder, ScoreReduction, int64_t, int64_t,
                    float *) const {}
  void expandUnits(Attribute, ArrayRef<int64_t>, ArrayRef<uint8_t>, int64_t, int64_t, uint8_t *) const {}
  LogicalResult verifyMask(Attribute, function_ref<InFlightDiagnostic()>, ArrayRef<int64_t>, ArrayRef<uint8_t>) const {
    return success();
  }
  StringRef getStorageFormat(Attribute) const { return "parity"; }
  void printShort(Attribute, raw_ostream &os) const { os << "parity"; }
};

/// Its first diagnostic.
template <typename Body> std::string getError(MLIRContext *context, Body body) {
  std::string error;
  ScopedDiagnosticHandler handler(context, [&](Diagnostic &diagnostic) {
    if (error.empty())
      error = diagnostic.str();
  });
  EXPECT_TRUE(failed(body()));
  return error;
}

TEST_F(MaskUpdatesTest, patternsWithoutBoxesAreRefused) {
  UnitAttr::attachInterface<ParityPattern>(context);
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(R"mlir(
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %w = arith.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32> loc("fc")
  %m = prune.mask %w by(#prune.magnitude<l1>) as(unit) sparsity(0.5) : tensor<4xf32>
  %p = prune.apply %w, %m as(unit) : tensor<4xf32>
  %y = arith.addf %x, %p : tensor<4xf32>
  return %y : tensor<4xf32>
})mlir",
                                                             &context);
  ASSERT_TRUE(module);
  PruneBuildTrainingOptions options;
  options.loss = "mse";
  EXPECT_EQ(getError(&context, [&] { return buildTraining(*module, options); }),
            "mask of 'fc' cannot be decided in training: pattern parity is for the compiler only (run "
            "prune-evaluate-masks)");
  std::string error = getError(&context, [&] {
    return parseSourceString<ModuleOp>(R"mlir(
func.func @f(%w: tensor<4xf32>, %m: tensor<4xi1>, %s: f64) -> tensor<4xi1> {
  %0 = prune.select_masks by(#prune.magnitude<l1>) as(unit) sparsity(%s) ins(%w : tensor<4xf32>)
      outs(%m : tensor<4xi1>) -> tensor<4xi1>
  return %0 : tensor<4xi1>
})mlir",
                                       &context)
               ? success()
               : failure();
  });
  EXPECT_EQ(error, "'prune.select_masks' op expected a pattern whose units are boxes (select_masks_c2), got unit");
}

} // namespace
