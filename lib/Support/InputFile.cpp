//===- InputFile.cpp - Reading MLIR files that may be hostile -----------------===//

#include "prune/Support/InputFile.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/SourceMgr.h"
#include <cstdio>
#include <cstdlib>

using namespace mlir;
using namespace mlir::prune;
using llvm::createStringError;
using llvm::StringRef;

static constexpr StringRef kBytecodeMagic("ML\xefR", 4);

llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>> mlir::prune::openModuleFile(StringRef path) {
  auto fail = [&](const llvm::Twine &why) { return createStringError("'" + path + "': " + why); };
  if (path != "-" && llvm::sys::fs::is_directory(path))
    return fail("expected a file, got a folder");
  auto buffer = path == "-" ? llvm::MemoryBuffer::getSTDIN()
                            : llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/true,
                                                          /*IsVolatile=*/false, llvm::Align(64));
  if (!buffer)
    return fail(buffer.getError().message());
  if (llvm::isAddrAligned(llvm::Align(64), (*buffer)->getBufferStart()))
    return std::move(*buffer);
  auto aligned = llvm::WritableMemoryBuffer::getNewUninitMemBuffer((*buffer)->getBufferSize(),
                                                                   (*buffer)->getBufferIdentifier(), llvm::Align(64));
  if (!aligned)
    return fail("out of memory");
  llvm::copy((*buffer)->getBuffer(), aligned->getBufferStart());
  return aligned;
}

/// Walks over brackets outside of strings and comments.
static llvm::Error checkText(StringRef text) {
  unsigned round = 0, square = 0, curly = 0, angle = 0, line = 1;
  auto close = [](unsigned &depth) { depth -= depth != 0; };
  for (size_t i = 0, e = text.size(); i < e; ++i) {
    char c = text[i];
    char next = i + 1 < e ? text[i + 1] : 0;
    switch (c) {
    case '\n':
      ++line;
      continue;
    case '"':
      // The hex of a large constant is one string: find its end fast.
      for (i = text.find_first_of("\"\\\n", i + 1); i != StringRef::npos && text[i] == '\\';)
        i = text.find_first_of("\"\\\n", i + 2);
      if (i == StringRef::npos)
        return llvm::Error::success();
      line += text[i] == '\n';
      continue;
    case '/':
      if (next == '/') {
        i = text.find('\n', i);
        if (i == StringRef::npos)
          return llvm::Error::success();
        ++line;
      }
      continue;
    case '-':
    case '=':
      // An arrow is no bracket; nor is the comparison of an integer set.
      i += next == '>';
      continue;
    case '(':
      ++round;
      break;
    case '[':
      ++square;
      break;
    case '{':
      ++curly;
      break;
    case '<':
      angle += next != '=';
      break;
    case ')':
      close(round);
      continue;
    case ']':
      close(square);
      continue;
    case '}':
      close(curly);
      continue;
    case '>':
      if (next != '=')
        close(angle);
      continue;
    default:
      continue;
    }
    if (round + square + curly + angle > kMaxNesting)
      return createStringError("line " + llvm::Twine(line) + ": expected brackets nested at most " +
                               llvm::Twine(kMaxNesting) + " deep, got more");
  }
  return llvm::Error::success();
}

/// Takes a variable-width integer of the bytecode format: the zeros below the first one count the bytes that follow.
static bool takeVarInt(StringRef &rest, uint64_t &value) {
  if (rest.empty())
    return false;
  uint8_t head = rest[0];
  unsigned extra = head == 0 ? 8 : llvm::countr_zero(head);
  if (rest.size() < extra + 1)
    return false;
  value = 0;
  if (head == 0) {
    for (unsigned i = 8; i > 0; --i)
      value = value << 8 | static_cast<uint8_t>(rest[i]);
  } else {
    for (unsigned i = extra + 1; i > 0; --i)
      value = value << 8 | static_cast<uint8_t>(rest[i - 1]);
    value >>= extra + 1;
  }
  rest = rest.drop_front(extra + 1);
  return true;
}

/// Walks over the sections: magic, version, producer, then (id, length, alignment, padding, data) until the end.
static llvm::Error checkBytecode(StringRef bytes) {
  StringRef rest = bytes.drop_front(kBytecodeMagic.size());
  auto truncated = [&] {
    return createStringError("expected whole sections of bytecode, got a file that ends early at byte " +
                             llvm::Twine(bytes.size()) + " (truncated or damaged)");
  };
  uint64_t version;
  if (!takeVarInt(rest, version))
    return truncated();
  size_t end = rest.find('\0');
  if (end == StringRef::npos)
    return truncated();
  rest = rest.drop_front(end + 1);
  unsigned count = 0;
  while (!rest.empty()) {
    uint8_t id = rest[0];
    rest = rest.drop_front();
    uint64_t length, alignment = 1;
    // Unknown ids are left to the reader: the format may grow.
    if (++count > 256 || !takeVarInt(rest, length))
      return truncated();
    if (id & 0x80) {
      if (!takeVarInt(rest, alignment))
        return truncated();
      if (!llvm::isPowerOf2_64(alignment) || alignment > (1 << 20))
        return createStringError("expected a section alignment that is a power of two, got " + llvm::Twine(alignment));
      size_t at = rest.data() - bytes.data();
      size_t padding = llvm::alignTo(at, alignment) - at;
      if (padding > rest.size())
        return truncated();
      rest = rest.drop_front(padding);
    }
    if (length > rest.size())
      return truncated();
    rest = rest.drop_front(length);
  }
  return count ? llvm::Error::success() : truncated();
}

llvm::Error mlir::prune::checkModuleBytes(StringRef bytes) {
  if (bytes.empty())
    return createStringError("expected a module, got an empty file");
  if (bytes.starts_with(kBytecodeMagic))
    return checkBytecode(bytes);
  if (bytes.take_front(4096).contains('\0'))
    return createStringError("expected MLIR text or bytecode, got other data");
  return checkText(bytes);
}

void mlir::prune::exitOnFatalErrors(const char *tool) {
  static auto handle = [](void *tool, const char *reason, bool) {
    // Written at once and without LLVM's streams: they may be what failed.
    std::fprintf(stderr, "%s: error: the input is damaged or too large: %s\n", static_cast<const char *>(tool), reason);
    std::_Exit(1);
  };
  llvm::install_fatal_error_handler(handle, const_cast<char *>(tool));
  llvm::install_bad_alloc_error_handler(handle, const_cast<char *>(tool));
}

llvm::Expected<OwningOpRef<ModuleOp>> mlir::prune::parseModuleFile(StringRef path, MLIRContext &context) {
  auto buffer = openModuleFile(path);
  if (!buffer)
    return buffer.takeError();
  if (llvm::Error error = checkModuleBytes((*buffer)->getBuffer()))
    return createStringError("'" + path + "': " + llvm::toString(std::move(error)));
  std::string firstError;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diag) {
    if (diag.getSeverity() == DiagnosticSeverity::Error && firstError.empty()) {
      llvm::raw_string_ostream os(firstError);
      if (auto loc = dyn_cast<FileLineColLoc>(diag.getLocation()))
        os << "line " << loc.getLine() << ": ";
      os << diag;
    }
    return success();
  });
  auto sources = std::make_shared<llvm::SourceMgr>();
  sources->AddNewSourceBuffer(std::move(*buffer), llvm::SMLoc());
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, &context);
  if (!module) {
    std::replace(firstError.begin(), firstError.end(), '\n', ' ');
    return createStringError("'" + path + "': " + (firstError.empty() ? "cannot be parsed" : firstError));
  }
  return module;
}
