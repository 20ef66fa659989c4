//===- MaskConstantTest.cpp - Reading and writing constants --------------------===//

#include "prune/Dialect/Prune/IR/MaskConstant.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/MLIRContext.h"
#include "prune/Dialect/Prune/IR/Prune.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace mlir::prune;

namespace {

class MaskConstantTest : public ::testing::Test {
protected:
  MaskConstantTest() : builder(&context) { context.loadDialect<PruneDialect>(); }
  RankedTensorType type(ArrayRef<int64_t> shape, Type element) { return RankedTensorType::get(shape, element); }
  MLIRContext context;
  Builder builder;
};

TEST_F(MaskConstantTest, readsBackWhatItWrites) {
  // Around bytes and words, splats of both kinds, and sizes on either side of the resource limit.
  for (int64_t size : {1, 2, 7, 8, 9, 64, 65, 1024, 1025, 5000}) {
    for (int kind = 0; kind < 3; ++kind) {
      std::vector<uint8_t> bytes(size);
      for (int64_t i = 0; i < size; ++i)
        bytes[i] = kind == 2 ? i % 3 == 0 : kind;
      ElementsAttr attr = makeMaskAttr(type({size}, builder.getI1Type()), bytes, "mask");
      EXPECT_EQ(isa<DenseResourceElementsAttr>(attr), size > kMaxInlineElements);
      FailureOr<MaskData> mask = MaskData::read(attr);
      ASSERT_TRUE(succeeded(mask));
      EXPECT_EQ(mask->bytes().vec(), bytes) << size << " elements, kind " << kind;
      EXPECT_EQ(mask->countKept(), std::count(bytes.begin(), bytes.end(), 1));
    }
  }
}

TEST_F(MaskConstantTest, borrowsFloatsAndConvertsTheRest) {
  auto f32 = DenseElementsAttr::get(type({3}, builder.getF32Type()), ArrayRef<float>{1, -2, 0.5});
  FailureOr<WeightData> weight = WeightData::read(f32);
  ASSERT_TRUE(succeeded(weight));
  EXPECT_EQ(reinterpret_cast<const char *>(weight->values().data()), f32.getRawData().data()) << "copied";
  for (Type element : {Type(builder.getF16Type()), Type(builder.getBF16Type()), Type(builder.getF64Type())}) {
    SmallVector<APFloat> values;
    for (double value : {1.0, -2.0, 0.5}) {
      APFloat number(value);
      bool lost;
      number.convert(cast<FloatType>(element).getFloatSemantics(), APFloat::rmNearestTiesToEven, &lost);
      values.push_back(number);
    }
    FailureOr<WeightData> other = WeightData::read(DenseElementsAttr::get(type({3}, element), values));
    ASSERT_TRUE(succeeded(other));
    EXPECT_EQ(other->values(), (ArrayRef<float>{1, -2, 0.5}));
  }
  FailureOr<WeightData> splat = WeightData::read(DenseElementsAttr::get(type({2, 2}, builder.getF32Type()), 3.0f));
  ASSERT_TRUE(succeeded(splat));
  EXPECT_EQ(splat->values(), (ArrayRef<float>{3, 3, 3, 3}));
}

TEST_F(MaskConstantTest, refusesWhatIsNoMaskOrWeight) {
  std::string message;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) { message = diagnostic.str(); });
  auto emit = [&] { return emitError(UnknownLoc::get(&context)); };
  auto i8 = DenseElementsAttr::get(type({2}, builder.getI8Type()), ArrayRef<int8_t>{1, 0});
  EXPECT_TRUE(failed(MaskData::read(i8, emit)));
  EXPECT_EQ(message, "expected a constant of i1");
  auto i16 = DenseElementsAttr::get(type({2}, builder.getI16Type()), ArrayRef<int16_t>{1, 0});
  EXPECT_TRUE(failed(WeightData::read(i16, emit)));
  EXPECT_EQ(message, "expected a constant of f16, bf16, f32, f64 or i8");
  EXPECT_TRUE(failed(MaskData::read(Attribute(), emit)));
  ElementsAttr shortResource = makeResourceAttr(type({4}, builder.getF32Type()), ArrayRef("12345678", 8), "w");
  EXPECT_TRUE(failed(WeightData::read(shortResource, emit)));
  EXPECT_EQ(message, "resource 'w' holds 8 bytes, its type needs 16");
}

TEST_F(MaskConstantTest, digestsShapeAndBytes) {
  std::vector<uint8_t> bytes = {1, 0, 0, 1, 1, 1};
  std::string digest = digestMask({2, 3}, bytes);
  EXPECT_EQ(digest.size(), 16u);
  EXPECT_NE(digest, digestMask({3, 2}, bytes));
  bytes[1] = 1;
  EXPECT_NE(digest, digestMask({2, 3}, bytes));
}

} // namespace
