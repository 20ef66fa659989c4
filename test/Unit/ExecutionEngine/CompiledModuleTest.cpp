//===- CompiledModuleTest.cpp - Lowered modules run in process ----------------===//

#include "prune/ExecutionEngine/CompiledModule.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "prune/ExecutionEngine/Benchmark.h"
#include "prune/InitAll.h"
#include "llvm/BinaryFormat/Magic.h"
#include "gtest/gtest.h"
#include <cstring>
#include <thread>

using namespace mlir;
using namespace mlir::prune;

namespace {

/// y[0] = x[0] * weights[0] + workspace[0]; workspace[0] = x[0].
std::string makeModule(llvm::StringRef entryTail, llvm::StringRef extra = "") {
  return (R"mlir(
    prune.entry @main ("x": tensor<1xf32>) -> ("y": tensor<1xf32>) weights(@weights) workspace(64) )mlir" +
          entryTail + R"mlir(
    prune.blob @weights dense_resource<w> : tensor<64xi8>
    llvm.func @main(%in: !llvm.ptr, %out: !llvm.ptr, %w: !llvm.ptr, %s: !llvm.ptr) {
      %px = llvm.load %in : !llvm.ptr -> !llvm.ptr
      %py = llvm.load %out : !llvm.ptr -> !llvm.ptr
      %x = llvm.load %px : !llvm.ptr -> f32
      %a = llvm.load %w : !llvm.ptr -> f32
      %b = llvm.load %s : !llvm.ptr -> f32
      %m = llvm.fmul %x, %a : f32
      %y = llvm.fadd %m, %b : f32
      llvm.store %y, %py : f32, !llvm.ptr
      llvm.store %x, %s : f32, !llvm.ptr
      )mlir" +
          extra + R"mlir(
      llvm.return
    }
    llvm.func @somewhere_else()
    {-# dialect_resources: { builtin: { w: "0x4000000000004040)mlir" +
          std::string(120, '0') + R"mlir(" } } #-}
  )mlir")
      .str();
}

class CompiledModuleTest : public ::testing::Test {
protected:
  CompiledModuleTest() {
    DialectRegistry registry;
    prune::registerAllDialects(registry);
    registerCodeGenTranslations(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
  }

  llvm::Expected<std::unique_ptr<CompiledModule>> compile(const std::string &text, CompileOptions options = {}) {
    module = parseSourceString<ModuleOp>(text, &context);
    if (!module)
      return llvm::createStringError("does not parse");
    return CompiledModule::create(*module, options);
  }
  std::string errorOf(const std::string &text) {
    auto compiled = compile(text);
    return compiled ? "" : llvm::toString(compiled.takeError());
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

float callOnce(CompiledModule &code, float x) {
  std::vector<HostTensor> inputs;
  inputs.emplace_back(ElementKind::Float32, llvm::ArrayRef<int64_t>{1});
  std::memcpy(inputs[0].data.data(), &x, sizeof(x));
  llvm::Expected<std::vector<HostTensor>> outputs = code.run(inputs);
  EXPECT_TRUE(bool(outputs));
  return outputs ? static_cast<float>((*outputs)[0].getElement(0)) : 0;
}

TEST_F(CompiledModuleTest, ReadsWeightsAndKeepsTheWorkspace) {
  for (bool borrow : {false, true}) {
    CompileOptions options;
    options.borrowWeights = borrow;
    auto code = compile(makeModule(""), options);
    ASSERT_TRUE(bool(code)) << llvm::toString(code.takeError());
    EXPECT_EQ((*code)->getWeightBytes(), 64u);
    EXPECT_EQ(callOnce(**code, 2), 6); // 2 * 3 + 0
    EXPECT_EQ(callOnce(**code, 1), 5); // 1 * 3 + 2
    float fromThread = 0;
    std::thread([&, &code = *code] { fromThread = callOnce(*code, 10); }).join();
    EXPECT_EQ(fromThread, 31); // 10 * 3 + 1
  }
  // The module is left as it was.
  EXPECT_FALSE(module->getOps<EntryOp>().empty());
}

TEST_F(CompiledModuleTest, ChecksInputs) {
  auto code = compile(makeModule(""));
  ASSERT_TRUE(bool(code));
  auto refusal = [&](std::vector<HostTensor> inputs) {
    auto outputs = (*code)->run(inputs);
    return outputs ? std::string() : llvm::toString(outputs.takeError());
  };
  EXPECT_EQ(refusal({}), "expected 1 inputs, got 0");
  std::vector<HostTensor> wrong;
  wrong.emplace_back(ElementKind::Int32, llvm::ArrayRef<int64_t>{1});
  EXPECT_EQ(refusal(std::move(wrong)), "input 'x': expected float32[1], got int32[1]");
}

TEST_F(CompiledModuleTest, RefusesFeaturesThisMachineLacks) {
#if defined(__x86_64__)
  // Half of AMD's retired instructions: no machine has all of these.
  std::string message = errorOf(makeModule("cpu(\"x86-64\") features(\"+xop,+fma4,+amx-fp16,+amx-complex,+avx10.2\")"));
  EXPECT_NE(message.find("the module is compiled for cpu 'x86-64' with"), std::string::npos) << message;
  EXPECT_NE(message.find("which this machine lacks"), std::string::npos) << message;
#endif
  EXPECT_NE(errorOf(makeModule("cpu(\"pentium12\")")).find("unknown cpu 'pentium12'"), std::string::npos);
}

TEST_F(CompiledModuleTest, NamesWhatCannotBeLinked) {
  std::string message = errorOf(makeModule("", "llvm.call @somewhere_else() : () -> ()"));
  EXPECT_NE(message.find("cannot link the code"), std::string::npos) << message;
  EXPECT_NE(message.find("somewhere_else"), std::string::npos) << message;
}

TEST_F(CompiledModuleTest, RefusesModulesThatAreNotLowered) {
  EXPECT_NE(errorOf("module {}").find("expected one prune.entry in the module, got 0"), std::string::npos);
  EXPECT_NE(errorOf("prune.entry @main () -> ()\nfunc.func @main() { return }").find("not lowered"), std::string::npos);
}

TEST_F(CompiledModuleTest, RefusesWeightsThatWereElided) {
  std::string text = makeModule("");
  text.resize(text.find("{-#"));
  std::string message = errorOf(text);
  EXPECT_NE(message.find("expected 64 bytes of weights in resource 'w', got 0"), std::string::npos) << message;
}

TEST_F(CompiledModuleTest, EmitsObjectsThatDefineOneSymbol) {
  module = parseSourceString<ModuleOp>(makeModule(""), &context);
  ASSERT_TRUE(module);
  llvm::Expected<EntryDescription> entry = describeEntry(*module);
  ASSERT_TRUE(bool(entry));
  CodeGenOptions options;
  options.symbol = "model_run";
  llvm::Expected<ObjectCode> code = generateObject(*module, *entry, options);
  ASSERT_TRUE(bool(code));
  EXPECT_EQ(llvm::identify_magic(code->object->getBuffer()), llvm::file_magic::elf_relocatable);
  EXPECT_TRUE(code->object->getBuffer().contains("model_run"));
  EXPECT_TRUE(code->undefined.empty());
}

TEST(BenchmarkTest, SummarizesRuns) {
  Timing timing;
  for (int i = 10; i >= 0; --i)
    timing.runs.push_back(i);
  summarize(timing);
  EXPECT_EQ(timing.median, 5);
  EXPECT_EQ(timing.p10, 1);
  EXPECT_EQ(timing.p90, 9);
  EXPECT_EQ(timing.min, 0);
  EXPECT_EQ(timing.max, 10);
  EXPECT_EQ(timing.runs.front(), 10); // in the order of running
  EXPECT_DOUBLE_EQ(timing.getSpread(), 1.6);
}

TEST(BenchmarkTest, RandomInputsDependOnTheSignatureOnly) {
  std::vector<TensorSpec> specs{{"a", ElementKind::Float32, {100}}, {"i", ElementKind::Int64, {100}}};
  std::vector<HostTensor> first = makeRandomInputs(specs), second = makeRandomInputs(specs);
  for (size_t t = 0; t < specs.size(); ++t)
    EXPECT_EQ(0, std::memcmp(first[t].data.data(), second[t].data.data(), first[t].data.size()));
  double sum = 0;
  for (int i = 0; i < 100; ++i) {
    EXPECT_LT(std::abs(first[0].getElement(i)), 1.0);
    sum += first[1].getElement(i);
    EXPECT_TRUE(first[1].getElement(i) == 0 || first[1].getElement(i) == 1);
  }
  EXPECT_GT(sum, 10);
}

} // namespace
