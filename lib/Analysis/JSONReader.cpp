//===- JSONReader.cpp - Members of a file, checked -----------------------------===//

#include "JSONReader.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

using namespace mlir::prune;
using llvm::StringRef;
using llvm::Twine;

static constexpr size_t kMaxFileBytes = 1 << 20;
static constexpr unsigned kMaxNesting = 16;

llvm::Expected<llvm::json::Value> JSONReader::parse(StringRef text, StringRef file) {
  auto fail = [&](const Twine &what) { return llvm::createStringError("cost model '" + file + "': " + what); };
  // What LLVM's parser takes for granted.
  if (text.size() > kMaxFileBytes)
    return fail("expected at most " + Twine(kMaxFileBytes) + " bytes, got " + Twine(text.size()));
  unsigned depth = 0;
  for (char c : text) {
    depth += c == '[' || c == '{';
    depth -= depth && (c == ']' || c == '}');
    if (depth > kMaxNesting)
      return fail("expected brackets nested at most " + Twine(kMaxNesting) + " deep, got more");
  }
  llvm::Expected<llvm::json::Value> value = llvm::json::parse(text);
  if (!value)
    return fail(llvm::toString(value.takeError()));
  return value;
}

const llvm::json::Object *JSONReader::root(const llvm::json::Value &value) {
  static const llvm::json::Object none;
  const llvm::json::Object *object = value.getAsObject();
  if (!object)
    fail("the top level", "an object", &value);
  object = object ? object : &none;
  int64_t version = count(*object, "version", "$");
  if (error.empty() && version != 1)
    fail("$.version", "1", object->get("version"));
  return object;
}

void JSONReader::fail(const Twine &path, const Twine &rule, const llvm::json::Value *got) {
  if (!error.empty())
    return;
  std::string text = got ? llvm::formatv("{0}", *got).str() : "nothing";
  if (text.size() > 60)
    text = text.substr(0, 57) + "...";
  error = ("cost model '" + file + "': expected " + rule + " at " + path + ", got " + text).str();
}

double JSONReader::number(const llvm::json::Object &object, StringRef key, const Twine &path) {
  const llvm::json::Value *value = object.get(key);
  std::optional<double> result = value ? value->getAsNumber() : std::nullopt;
  if (!result || !std::isfinite(*result) || *result < 0) {
    fail(path + "." + key, "a number of 0 or more", value);
    return 0;
  }
  return *result;
}

int64_t JSONReader::count(const llvm::json::Object &object, StringRef key, const Twine &path) {
  const llvm::json::Value *value = object.get(key);
  std::optional<int64_t> result = value ? value->getAsInteger() : std::nullopt;
  if (!result || *result < 1 || *result > (int64_t(1) << 40)) {
    fail(path + "." + key, "an integer of 1 or more", value);
    return 1;
  }
  return *result;
}

std::string JSONReader::string(const llvm::json::Object &object, StringRef key, const Twine &path) {
  const llvm::json::Value *value = object.get(key);
  std::optional<StringRef> result = value ? value->getAsString() : std::nullopt;
  if (!result)
    fail(path + "." + key, "a string", value);
  return result ? result->str() : "";
}

size_t JSONReader::choice(const llvm::json::Object &object, StringRef key, llvm::ArrayRef<StringRef> names,
                          const Twine &path) {
  std::string name = string(object, key, path);
  const StringRef *found = llvm::find(names, name);
  if (found != names.end())
    return found - names.begin();
  fail(path + "." + key, "one of " + llvm::join(names, ", "), object.get(key));
  return 0;
}

const llvm::json::Array *JSONReader::array(const llvm::json::Object &object, StringRef key, const Twine &path) {
  static const llvm::json::Array none;
  const llvm::json::Array *result = object.getArray(key);
  if (!result)
    fail(path + "." + key, "an array", object.get(key));
  return result ? result : &none;
}

const llvm::json::Object *JSONReader::entry(const llvm::json::Array &array, size_t i, const Twine &path) {
  static const llvm::json::Object none;
  const llvm::json::Object *result = array[i].getAsObject();
  if (!result)
    fail(path, "an object", &array[i]);
  return result ? result : &none;
}
