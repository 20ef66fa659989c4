//===- InputFileTest.cpp - Modules that may be hostile ------------------------===//

#include "prune/Support/InputFile.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "prune/Support/Compare.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"
#include <cmath>
#include <cstring>

using namespace mlir;
using namespace mlir::prune;

namespace {

std::string check(const std::string &bytes) {
  llvm::Error error = checkModuleBytes(bytes);
  return error ? llvm::toString(std::move(error)) : "";
}

std::string nested(const std::string &open, const std::string &close, unsigned depth) {
  std::string text;
  for (unsigned i = 0; i < depth; ++i)
    text += open;
  for (unsigned i = 0; i < depth; ++i)
    text += close;
  return text;
}

TEST(InputFileTest, LimitsNestingOfEachBracket) {
  for (auto [open, close] : {std::pair("(", ")"), {"[", "]"}, {"{", "}"}, {"tuple<", ">"}}) {
    EXPECT_EQ(check(nested(open, close, kMaxNesting)), "") << open;
    EXPECT_NE(check(nested(open, close, kMaxNesting + 1)).find("nested at most"), std::string::npos) << open;
  }
}

TEST(InputFileTest, CountsNoBracketsInStringsCommentsAndArrows) {
  std::string many(5000, '(');
  EXPECT_EQ(check("\"" + many + "\""), "");
  EXPECT_EQ(check("\"\\\"" + many + "\" \"\\\\\""), "");
  EXPECT_EQ(check("// " + many + "\n"), "");
  // Without care each arrow would close a bracket, and each comparison open one.
  EXPECT_NE(check(nested("<->", "", kMaxNesting + 1)).find("nested at most"), std::string::npos);
  EXPECT_EQ(check(nested("d0 <= 1, d0 >= 0\n", "", 5000)), "");
}

TEST(InputFileTest, RefusesWhatIsNoModule) {
  EXPECT_NE(check("").find("empty"), std::string::npos);
  EXPECT_NE(check(std::string("\x7f"
                              "ELF\0\0",
                              6))
                .find("other data"),
            std::string::npos);
}

TEST(InputFileTest, ChecksTheSectionsOfBytecode) {
  MLIRContext context;
  context.allowUnregisteredDialects();
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(R"mlir(
    "test.op"() {a = dense_resource<r> : tensor<4xi8>} : () -> ()
    {-# dialect_resources: { builtin: { r: "0x4000000001020304" } } #-}
  )mlir",
                                                             &context);
  ASSERT_TRUE(module);
  std::string bytes;
  llvm::raw_string_ostream os(bytes);
  ASSERT_TRUE(succeeded(writeBytecodeToFile(*module, os)));
  EXPECT_EQ(check(bytes), "");
  // A cut between two sections leaves whole ones; those miss something for the reader to notice.
  unsigned accepted = 0;
  for (size_t size = 4; size < bytes.size(); ++size)
    accepted += check(bytes.substr(0, size)).empty();
  EXPECT_LE(accepted, 10u);
  EXPECT_NE(check(bytes + "\1"), "");
}

HostTensor makeFloats(llvm::ArrayRef<float> values) {
  HostTensor tensor(ElementKind::Float32, {static_cast<int64_t>(values.size())});
  std::memcpy(tensor.data.data(), values.data(), values.size() * sizeof(float));
  return tensor;
}

TEST(CompareTest, FollowsAllclose) {
  HostTensor expected = makeFloats({1, -100, 0, INFINITY, NAN});
  llvm::Expected<Difference> same = compareTensors(makeFloats({1, -100, 0, INFINITY, NAN}), expected, 0, 0);
  ASSERT_TRUE(bool(same));
  EXPECT_EQ(same->numBeyond, 0);
  EXPECT_EQ(same->maxAbs, 0);
  llvm::Expected<Difference> near = compareTensors(makeFloats({1.5, -101, 0.25, INFINITY, NAN}), expected, 0.01, 0.25);
  ASSERT_TRUE(bool(near));
  EXPECT_EQ(near->numBeyond, 1); // 1.5 against 1
  EXPECT_EQ(near->maxAbs, 1);
  EXPECT_EQ(near->worst, 1);
  llvm::Expected<Difference> far = compareTensors(makeFloats({NAN, -100, 0, -INFINITY, 1}), expected, 1, 1e9);
  ASSERT_TRUE(bool(far));
  EXPECT_EQ(far->numBeyond, 3);
}

TEST(CompareTest, RefusesOtherShapes) {
  llvm::Expected<Difference> result = compareTensors(makeFloats({1}), makeFloats({1, 2}), 0, 0);
  ASSERT_FALSE(bool(result));
  EXPECT_EQ(llvm::toString(result.takeError()), "expected float32[2], got float32[1]");
}

} // namespace
