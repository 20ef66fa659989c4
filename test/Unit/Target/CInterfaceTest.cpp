//===- CInterfaceTest.cpp - Text of the C interface ---------------------------===//

#include "prune/Target/CLibrary.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

using namespace mlir::prune;

namespace {

TEST(CInterfaceTest, MakesIdentifiers) {
  EXPECT_EQ(makeIdentifier("input_ids"), "input_ids");
  EXPECT_EQ(makeIdentifier("onnx::MatMul_12"), "onnx__MatMul_12");
  EXPECT_EQ(makeIdentifier("1x"), "_1x");
  EXPECT_EQ(makeIdentifier(""), "_");
  EXPECT_EQ(makeIdentifier("int"), "int_");
  EXPECT_EQ(makeIdentifier("\xc3\xa4"), "__");
}

// Names of tensors may be anything; what is written stays C.
TEST(CInterfaceTest, CompilesWithOddNames) {
  auto compiler = llvm::sys::findProgramByName("cc");
  if (!compiler)
    GTEST_SKIP() << "no C compiler";
  EntryDescription entry;
  for (const char *name :
       {"model", "inputs_", "int64_t", "a*/b", "a\"b\\", "?\?/", "@name@", "\xc3\xa4", "x y", "x.y", "for", ""})
    entry.inputs.push_back({name, ElementKind::Int64, {2, 3}});
  entry.outputs.push_back({"model", ElementKind::Float16, {}});
  llvm::SmallString<128> folder;
  ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("prune-test", folder));
  auto write = [&](const char *name, const std::string &text) {
    std::error_code error;
    llvm::raw_fd_ostream os((folder + "/" + name).str(), error);
    os << text;
  };
  write("odd.h", emitCHeader(entry, "odd"));
  write("odd.c", emitCSource(entry, "odd", 64, 0x1234, /*parallel=*/true, {"avx2", "no-such-set"}));
  std::string source = (folder + "/odd.c").str(), object = (folder + "/odd.o").str();
  EXPECT_EQ(llvm::sys::ExecuteAndWait(
                *compiler, {*compiler, "-std=c99", "-trigraphs", "-Wall", "-Werror", "-c", source, "-o", object}),
            0);
  llvm::sys::fs::remove_directories(folder);
}

} // namespace
