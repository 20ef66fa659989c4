//===- JSONReader.h - Members of a file, checked --------------------*- C++ -*-===//
#ifndef PRUNE_LIB_ANALYSIS_JSONREADER_H
#define PRUNE_LIB_ANALYSIS_JSONREADER_H

#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"
#include <string>

namespace mlir::prune {

/// Reads members of a cost model and says what is wrong with the first bad one, by its path.
class JSONReader {
public:
  JSONReader(llvm::StringRef file) : file(file) {}

  std::string error;

  /// Parses a text that may be hostile: too large, too deep.
  static llvm::Expected<llvm::json::Value> parse(llvm::StringRef text, llvm::StringRef file);
  /// The object at the top, with "version": 1; an empty one after an error.
  const llvm::json::Object *root(const llvm::json::Value &value);

  void fail(const llvm::Twine &path, const llvm::Twine &rule, const llvm::json::Value *got);
  double number(const llvm::json::Object &object, llvm::StringRef key, const llvm::Twine &path);
  int64_t count(const llvm::json::Object &object, llvm::StringRef key, const llvm::Twine &path);
  std::string string(const llvm::json::Object &object, llvm::StringRef key, const llvm::Twine &path);
  /// The index of a string among `names`.
  size_t choice(const llvm::json::Object &object, llvm::StringRef key, llvm::ArrayRef<llvm::StringRef> names,
                const llvm::Twine &path);
  const llvm::json::Array *array(const llvm::json::Object &object, llvm::StringRef key, const llvm::Twine &path);
  const llvm::json::Object *entry(const llvm::json::Array &array, size_t i, const llvm::Twine &path);

private:
  llvm::StringRef file;
};

} // namespace mlir::prune

#endif // PRUNE_LIB_ANALYSIS_JSONREADER_H
