//===- NpyTest.cpp - NumPy's files, whole and damaged -------------------------===//

#include "prune/Support/Npy.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"
#include <cstring>
#include <random>

using namespace mlir::prune;

namespace {

std::string readInput(const char *name) {
  auto buffer = llvm::MemoryBuffer::getFile(std::string(PRUNE_TEST_DIR) + "/Tools/prune-run/Inputs/" + name);
  EXPECT_TRUE(bool(buffer)) << name;
  return buffer ? (*buffer)->getBuffer().str() : "";
}

/// A version 1 file with this header.
std::string makeNpy(const std::string &header, const std::string &data, char version = 1) {
  std::string bytes("\x93NUMPY", 6);
  bytes += version;
  bytes += '\0';
  for (unsigned i = 0; i < (version == 1 ? 2u : 4u); ++i)
    bytes += static_cast<char>(header.size() >> (8 * i));
  return bytes + header + data;
}

std::string errorOf(const std::string &bytes) {
  llvm::Expected<HostTensor> tensor = parseNpy(bytes);
  return tensor ? "" : llvm::toString(tensor.takeError());
}

HostTensor makeTensor(ElementKind kind, llvm::ArrayRef<int64_t> shape) {
  HostTensor tensor(kind, shape);
  for (size_t i = 0; i < tensor.data.size(); ++i)
    tensor.data.data()[i] = kind == ElementKind::Bool ? i % 2 : static_cast<char>(i * 7);
  return tensor;
}

void expectEqual(const HostTensor &a, const HostTensor &b) {
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.shape, b.shape);
  ASSERT_EQ(a.data.size(), b.data.size());
  EXPECT_EQ(0, std::memcmp(a.data.data(), b.data.data(), a.data.size()));
}

std::string write(llvm::ArrayRef<NamedTensor> tensors) {
  std::string bytes;
  llvm::raw_string_ostream os(bytes);
  EXPECT_FALSE(bool(writeNpz(os, tensors)));
  return bytes;
}

TEST(NpyTest, ReadsWhatNumPyWrote) {
  llvm::Expected<HostTensor> tensor = parseNpy(readInput("x.npy"));
  ASSERT_TRUE(bool(tensor));
  EXPECT_EQ(describe(tensor->kind, tensor->shape), "float32[4, 8]");
  // Stored with the first index fastest: the same tensor.
  llvm::Expected<HostTensor> fortran = parseNpy(readInput("xf.npy"));
  ASSERT_TRUE(bool(fortran));
  expectEqual(*tensor, *fortran);
}

TEST(NpyTest, ReadsStoredAndDeflatedArchives) {
  for (const char *name : {"x.npz", "shape.npz"}) {
    llvm::Expected<std::vector<NamedTensor>> tensors = parseNpz(readInput(name));
    ASSERT_TRUE(bool(tensors)) << llvm::toString(tensors.takeError());
    ASSERT_EQ(tensors->size(), 3u);
    EXPECT_EQ((*tensors)[0].name, "x");
    EXPECT_EQ((*tensors)[1].name, "ids");
    EXPECT_EQ((*tensors)[1].tensor.getElement(1), -7);
    EXPECT_EQ(describe((*tensors)[2].tensor.kind, (*tensors)[2].tensor.shape), "bool[]");
  }
}

TEST(NpyTest, RoundTripsEveryKindAndShape) {
  std::vector<NamedTensor> tensors;
  for (int kind = 0; kind <= static_cast<int>(ElementKind::Float64); ++kind)
    for (llvm::SmallVector<int64_t, 4> shape : {llvm::SmallVector<int64_t, 4>{}, {0}, {5}, {2, 3}, {1, 2, 3, 4}})
      tensors.push_back({"t" + std::to_string(tensors.size()), makeTensor(static_cast<ElementKind>(kind), shape)});
  std::string bytes = write(tensors);
  EXPECT_EQ(bytes, write(tensors));
  llvm::Expected<std::vector<NamedTensor>> read = parseNpz(bytes);
  ASSERT_TRUE(bool(read)) << llvm::toString(read.takeError());
  ASSERT_EQ(read->size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ((*read)[i].name, tensors[i].name);
    expectEqual((*read)[i].tensor, tensors[i].tensor);
  }
}

TEST(NpyTest, AcceptsHeadersOfAllVersions) {
  std::string data(24, '\1');
  for (const char *header : {"{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }  \n",
                             "{\"shape\":(3L,),\"descr\":\"<f8\",\"fortran_order\":False}",
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\n"})
    for (char version : {1, 2, 3})
      EXPECT_EQ(errorOf(makeNpy(header, data, version)), "") << header;
}

TEST(NpyTest, MakesBytesOfBoolsZeroOrOne) {
  llvm::Expected<HostTensor> tensor =
      parseNpy(makeNpy("{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", std::string("\xff\0", 2)));
  ASSERT_TRUE(bool(tensor));
  EXPECT_EQ(tensor->data.data()[0], 1);
  EXPECT_EQ(tensor->data.data()[1], 0);
}

TEST(NpyTest, RefusesHostileHeaders) {
  auto header = [](const std::string &descr, const std::string &shape) {
    return "{'descr': " + descr + ", 'fortran_order': False, 'shape': " + shape + ", }";
  };
  EXPECT_NE(errorOf(makeNpy(header("'>f4'", "(1,)"), "1234")).find("little-endian"), std::string::npos);
  EXPECT_NE(errorOf(makeNpy(header("'|O'", "(1,)"), "1234")).find("got '|O'"), std::string::npos);
  EXPECT_NE(errorOf(makeNpy(header("[('a', '<f4')]", "(1,)"), "1234")).find("structure"), std::string::npos);
  EXPECT_NE(errorOf(makeNpy(header("'<f4'", "(2,)"), "1234")).find("expected 8 bytes of data"), std::string::npos);
  EXPECT_NE(errorOf(makeNpy(header("'<f4'", "(1,)"), "12345")).find("got 5"), std::string::npos);
  EXPECT_NE(errorOf(makeNpy(header("'<f4'", "(4611686018427387904, 4)"), "")).find("fits in memory"),
            std::string::npos);
  EXPECT_NE(errorOf(makeNpy(header("'<f8'", "(1152921504606846976,)"), "")).find("fits in memory"), std::string::npos);
  for (const char *text : {"  ", "{ ", "{}", "{'descr': '<f4'}", "{'descr': '<f4', 'descr': '<f4'}", "{'shape': (1 2)}",
                           "{'shape': (-1,)}", "{'shape': (99999999999999999999,)}", "{'other': 1}", "{'descr': '<f4}"})
    EXPECT_NE(errorOf(makeNpy(text, "")).find("expected a header"), std::string::npos) << text;
  EXPECT_NE(errorOf(makeNpy(header("'<f4'", "()"), "1234") + "x").find("got 5"), std::string::npos);
  EXPECT_NE(errorOf(makeNpy(header("'<f4'", "()"), "1234", 4)).find("version"), std::string::npos);
  std::string longHeader("\x93NUMPY\2\0\xff\xff\xff\x7f", 12);
  EXPECT_NE(errorOf(longHeader).find("at most"), std::string::npos);
}

// Every cut of a file is refused with a message.
TEST(NpyTest, RefusesTruncatedFiles) {
  std::string npy = readInput("x.npy"), npz = readInput("ref.npz");
  for (size_t size = 0; size < npy.size(); ++size)
    EXPECT_NE(errorOf(npy.substr(0, size)), "") << size;
  for (size_t size = 0; size < npz.size(); ++size) {
    llvm::Expected<std::vector<NamedTensor>> tensors = parseNpz(npz.substr(0, size));
    EXPECT_FALSE(bool(tensors)) << size;
    llvm::consumeError(tensors.takeError());
  }
}

// Damage ends in an error or in tensors of sane sizes, never in a crash or a huge allocation.
TEST(NpyTest, SurvivesMutatedFiles) {
  std::mt19937 random(1);
  for (const char *name : {"x.npz", "ref.npz"}) {
    std::string whole = readInput(name);
    ASSERT_FALSE(whole.empty());
    for (int round = 0; round < 4000; ++round) {
      std::string bytes = whole;
      for (int change = random() % 4; change >= 0; --change) {
        size_t at = random() % bytes.size();
        static const unsigned char edges[] = {0, 1, 0x7f, 0x80, 0xff};
        bytes[at] = random() % 2 ? static_cast<char>(random()) : static_cast<char>(edges[random() % 5]);
      }
      llvm::Expected<std::vector<NamedTensor>> tensors = parseNpz(bytes);
      if (!tensors) {
        EXPECT_NE(llvm::toString(tensors.takeError()), "");
        continue;
      }
      for (const NamedTensor &item : *tensors)
        EXPECT_LE(item.tensor.data.size(), 4096u);
    }
  }
}

TEST(NpyTest, RefusesTwoMembersOfOneName) {
  std::vector<NamedTensor> tensors;
  tensors.push_back({"a", makeTensor(ElementKind::Int8, {1})});
  tensors.push_back({"a", makeTensor(ElementKind::Int8, {1})});
  llvm::Expected<std::vector<NamedTensor>> read = parseNpz(write(tensors));
  ASSERT_FALSE(bool(read));
  EXPECT_NE(llvm::toString(read.takeError()).find("two of 'a'"), std::string::npos);
}

// What is not wanted may be damaged: it is not looked at.
TEST(NpyTest, ReadsOnlyWhatIsWanted) {
  std::vector<NamedTensor> tensors;
  tensors.push_back({"a", makeTensor(ElementKind::Int8, {3})});
  tensors.push_back({"b", makeTensor(ElementKind::Float32, {2})});
  std::string bytes = write(tensors);
  size_t data = bytes.find("\x93NUMPY", bytes.find("b.npy"));
  ASSERT_NE(data, std::string::npos);
  bytes[data] = 0;
  llvm::Expected<std::vector<NamedTensor>> read = parseNpz(bytes, [](llvm::StringRef name) { return name == "a"; });
  ASSERT_TRUE(bool(read)) << llvm::toString(read.takeError());
  ASSERT_EQ(read->size(), 1u);
  EXPECT_EQ(read->front().name, "a");
  expectEqual(read->front().tensor, tensors.front().tensor);
  read = parseNpz(bytes);
  ASSERT_FALSE(bool(read));
  EXPECT_NE(llvm::toString(read.takeError()).find("member 'b.npy'"), std::string::npos);
}

TEST(NpyTest, AnEmptyArchiveHasNoTensors) {
  llvm::Expected<std::vector<NamedTensor>> read = parseNpz(write({}));
  ASSERT_TRUE(bool(read));
  EXPECT_TRUE(read->empty());
}

TEST(HostTensorTest, CountsWithoutOverflow) {
  EXPECT_EQ(getNumElements({}), 1);
  EXPECT_EQ(getNumElements({0, int64_t(1) << 62, int64_t(1) << 62}), 0);
  EXPECT_EQ(getNumElements({int64_t(1) << 32, int64_t(1) << 32}), std::nullopt);
  EXPECT_EQ(getNumElements({-1}), std::nullopt);
}

TEST(HostTensorTest, ReadsHalfPrecision) {
  HostTensor tensor(ElementKind::Float16, {1});
  uint16_t bits = 0xc500;
  std::memcpy(tensor.data.data(), &bits, 2);
  EXPECT_EQ(tensor.getElement(0), -5.0);
  tensor.kind = ElementKind::BFloat16;
  EXPECT_EQ(tensor.getElement(0), -2048.0);
}

} // namespace
