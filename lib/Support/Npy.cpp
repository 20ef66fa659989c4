//===- Npy.cpp - One tensor as NumPy stores it ---------------------------------===//

#include "prune/Support/Npy.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::prune;
using llvm::createStringError;
using llvm::StringRef;

static_assert(llvm::endianness::native == llvm::endianness::little, "tensors are little-endian in files and in memory");

static constexpr StringRef kMagic("\x93NUMPY", 6);
/// NumPy itself writes shorter headers than this for any tensor of plain elements.
static constexpr size_t kMaxHeader = 1 << 16;

static std::optional<ElementKind> parseDescr(StringRef descr) {
  return llvm::StringSwitch<std::optional<ElementKind>>(descr)
      .Cases({"|b1", "<b1"}, ElementKind::Bool)
      .Cases({"|i1", "<i1"}, ElementKind::Int8)
      .Case("<i2", ElementKind::Int16)
      .Case("<i4", ElementKind::Int32)
      .Case("<i8", ElementKind::Int64)
      .Cases({"|u1", "<u1"}, ElementKind::UInt8)
      .Case("<u2", ElementKind::UInt16)
      .Case("<u4", ElementKind::UInt32)
      .Case("<u8", ElementKind::UInt64)
      .Case("<f2", ElementKind::Float16)
      .Cases({"<V2", "|V2"}, ElementKind::BFloat16)
      .Case("<f4", ElementKind::Float32)
      .Case("<f8", ElementKind::Float64)
      .Default(std::nullopt);
}

static StringRef getDescr(ElementKind kind) {
  static constexpr llvm::StringLiteral descrs[] = {"|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2",
                                                   "<u4", "<u8", "<f2", "<V2", "<f4", "<f8"};
  return descrs[static_cast<unsigned>(kind)];
}

namespace {
/// The header is a Python dictionary of three known keys; nothing else of Python is understood.
class HeaderParser {
public:
  explicit HeaderParser(StringRef text) : text(text) {}

  llvm::Error parse();

  std::string descr;
  bool fortranOrder = false;
  llvm::SmallVector<int64_t, 4> shape;

private:
  void skipSpace() { text = text.ltrim(" \t\n\r"); }
  bool consume(StringRef token) {
    skipSpace();
    return text.consume_front(token);
  }
  bool parseString(StringRef &value);
  bool parseShape();

  StringRef text;
};
} // namespace

bool HeaderParser::parseString(StringRef &value) {
  skipSpace();
  if (text.empty() || (text[0] != '\'' && text[0] != '"'))
    return false;
  size_t end = text.find(text[0], 1);
  if (end == StringRef::npos)
    return false;
  value = text.slice(1, end);
  text = text.drop_front(end + 1);
  return true;
}

bool HeaderParser::parseShape() {
  if (!consume("("))
    return false;
  while (!consume(")")) {
    uint64_t dim;
    skipSpace();
    if (shape.size() == 64 || text.consumeInteger(10, dim) || dim > uint64_t(INT64_MAX))
      return false;
    shape.push_back(dim);
    consume("L"); // Python 2
    if (!consume(",")) {
      // A comma may be missing only before the end.
      if (consume(")"))
        return true;
      return false;
    }
  }
  return true;
}

llvm::Error HeaderParser::parse() {
  bool seen[3] = {false, false, false};
  auto bad = [] { return createStringError("expected a header of descr, fortran_order and shape"); };
  if (!consume("{"))
    return bad();
  while (!consume("}")) {
    StringRef key;
    if (!parseString(key) || !consume(":"))
      return bad();
    int index = llvm::StringSwitch<int>(key).Case("descr", 0).Case("fortran_order", 1).Case("shape", 2).Default(-1);
    if (index < 0 || seen[index])
      return bad();
    seen[index] = true;
    StringRef value;
    if (index == 0) {
      skipSpace();
      if (text.starts_with("["))
        return createStringError("expected plain elements, got a structure");
      if (!parseString(value))
        return bad();
      descr = value.str();
    } else if (index == 1) {
      fortranOrder = consume("True");
      if (!fortranOrder && !consume("False"))
        return bad();
    } else if (!parseShape()) {
      return bad();
    }
    if (!consume(",")) {
      if (consume("}"))
        break;
      return bad();
    }
  }
  skipSpace();
  if (!seen[0] || !seen[1] || !seen[2] || !text.empty())
    return bad();
  return llvm::Error::success();
}

/// Copies elements stored with the first index running fastest to row-major order.
static void copyFromFortranOrder(HostTensor &tensor, const char *source) {
  unsigned width = getByteWidth(tensor.kind);
  size_t rank = tensor.shape.size();
  llvm::SmallVector<int64_t> strides(rank), index(rank, 0);
  int64_t stride = 1;
  for (size_t d = 0; d < rank; ++d) {
    strides[d] = stride;
    stride *= tensor.shape[d];
  }
  int64_t offset = 0;
  for (int64_t i = 0, e = tensor.getNumElements(); i < e; ++i) {
    std::memcpy(tensor.data.data() + i * width, source + offset * width, width);
    for (size_t d = rank; d-- > 0;) {
      offset += strides[d];
      if (++index[d] < tensor.shape[d])
        break;
      offset -= strides[d] * tensor.shape[d];
      index[d] = 0;
    }
  }
}

llvm::Expected<HostTensor> mlir::prune::parseNpy(StringRef bytes) {
  if (!bytes.starts_with(kMagic))
    return createStringError("expected a .npy file, got other data");
  if (bytes.size() < 12)
    return createStringError("expected a .npy header, got " + llvm::Twine(bytes.size()) + " bytes (truncated)");
  unsigned version = static_cast<uint8_t>(bytes[6]);
  if (version < 1 || version > 3)
    return createStringError("expected .npy format version 1, 2 or 3, got " + llvm::Twine(version));
  size_t headerAt = version == 1 ? 10 : 12;
  size_t headerSize = version == 1 ? llvm::support::endian::read16le(bytes.data() + 8)
                                   : llvm::support::endian::read32le(bytes.data() + 8);
  if (headerSize > kMaxHeader)
    return createStringError("expected a .npy header of at most " + llvm::Twine(kMaxHeader) + " bytes, got " +
                             llvm::Twine(headerSize));
  if (bytes.size() - headerAt < headerSize)
    return createStringError("expected a .npy header of " + llvm::Twine(headerSize) + " bytes, got " +
                             llvm::Twine(bytes.size() - headerAt) + " (truncated)");
  HeaderParser header(bytes.substr(headerAt, headerSize));
  if (llvm::Error error = header.parse())
    return error;
  std::optional<ElementKind> kind = parseDescr(header.descr);
  if (!kind)
    return createStringError("expected little-endian bool, integer or floating point elements, got '" +
                             StringRef(header.descr).take_front(40) + "'");
  std::optional<int64_t> count = getNumElements(header.shape);
  if (!count)
    return createStringError("expected a shape that fits in memory");
  StringRef data = bytes.drop_front(headerAt + headerSize);
  uint64_t expected = uint64_t(*count) * getByteWidth(*kind);
  if (data.size() != expected)
    return createStringError("expected " + llvm::Twine(expected) + " bytes of data for " +
                             describe(*kind, header.shape) + ", got " + llvm::Twine(data.size()) +
                             (data.size() < expected ? " (truncated)" : ""));
  HostTensor tensor(*kind, header.shape);
  if (header.fortranOrder)
    copyFromFortranOrder(tensor, data.data());
  else if (!data.empty())
    std::memcpy(tensor.data.data(), data.data(), data.size());
  if (*kind == ElementKind::Bool)
    for (size_t i = 0; i < data.size(); ++i)
      tensor.data.data()[i] = tensor.data.data()[i] != 0;
  return tensor;
}

void mlir::prune::writeNpy(llvm::raw_ostream &os, const HostTensor &tensor) {
  std::string header = "{'descr': '" + getDescr(tensor.kind).str() + "', 'fortran_order': False, 'shape': (";
  for (auto [i, dim] : llvm::enumerate(tensor.shape))
    header += (i ? " " : "") + llvm::utostr(dim) + ",";
  if (tensor.shape.size() > 1)
    header.pop_back();
  header += "), }";
  // Data starts at a multiple of 64 bytes.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  char size[2];
  llvm::support::endian::write16le(size, header.size());
  os << kMagic << StringRef("\1\0", 2) << StringRef(size, 2) << header
     << StringRef(tensor.data.data(), tensor.data.size());
}

llvm::Expected<std::vector<NamedTensor>> mlir::prune::readTensors(StringRef path, TensorFilter isWanted) {
  auto fail = [&](const llvm::Twine &why) { return createStringError("'" + path + "': " + why); };
  if (llvm::sys::fs::is_directory(path))
    return fail("expected a file, got a folder");
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return fail(buffer.getError().message());
  StringRef bytes = (*buffer)->getBuffer();
  std::vector<NamedTensor> result;
  if (bytes.starts_with("PK")) {
    llvm::Expected<std::vector<NamedTensor>> tensors = parseNpz(bytes, isWanted);
    if (!tensors)
      return fail(llvm::toString(tensors.takeError()));
    return tensors;
  }
  if (!bytes.starts_with(kMagic))
    return fail("expected a .npy or .npz file, got other data");
  llvm::Expected<HostTensor> tensor = parseNpy(bytes);
  if (!tensor)
    return fail(llvm::toString(tensor.takeError()));
  result.push_back({"", std::move(*tensor)});
  return result;
}

llvm::Error mlir::prune::writeFileAtomically(StringRef path,
                                             llvm::function_ref<llvm::Error(llvm::raw_ostream &)> write) {
  auto temp = llvm::sys::fs::TempFile::create(path + ".%%%%%%.tmp");
  if (!temp)
    return createStringError("cannot write '" + path + "': " + llvm::toString(temp.takeError()));
  auto fail = [&](const llvm::Twine &why) {
    std::string message = ("cannot write '" + path + "': " + why).str();
    llvm::consumeError(temp->discard());
    return createStringError(message);
  };
  {
    llvm::raw_fd_ostream os(temp->FD, /*shouldClose=*/false);
    if (llvm::Error error = write(os)) {
      os.clear_error();
      return fail(llvm::toString(std::move(error)));
    }
    os.flush();
    if (os.has_error()) {
      std::string why = os.error().message();
      os.clear_error();
      return fail(why);
    }
  }
  llvm::consumeError(llvm::errorCodeToError(
      llvm::sys::fs::setPermissions(temp->TmpName, llvm::sys::fs::perms(0666 & ~llvm::sys::fs::getUmask()))));
  if (llvm::Error error = temp->keep(path))
    return createStringError("cannot write '" + path + "': " + llvm::toString(std::move(error)));
  return llvm::Error::success();
}
