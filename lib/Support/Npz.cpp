//===- Npz.cpp - Several tensors in a zip archive ------------------------------===//
//
// As much of the zip format as NumPy writes: stored and deflated members, zip64 sizes.
//
//===----------------------------------------------------------------------===//

#include "prune/Support/Npy.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/CRC.h"
#include "llvm/Support/Compression.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::prune;
using llvm::createStringError;
using llvm::StringRef;

static uint16_t read16(StringRef bytes, size_t at) { return llvm::support::endian::read16le(bytes.data() + at); }
static uint32_t read32(StringRef bytes, size_t at) { return llvm::support::endian::read32le(bytes.data() + at); }
static uint64_t read64(StringRef bytes, size_t at) { return llvm::support::endian::read64le(bytes.data() + at); }
static uint32_t getCRC(StringRef bytes) { return llvm::crc32(llvm::arrayRefFromStringRef(bytes)); }

namespace {
/// Where the directory of an archive lies.
struct Directory {
  uint64_t offset = 0, size = 0, count = 0;
};

/// One line of the directory.
struct Member {
  StringRef name;
  uint16_t flags = 0, method = 0;
  uint32_t crc = 0;
  uint64_t packedSize = 0, size = 0, headerAt = 0;
};
} // namespace

static llvm::Expected<Directory> findDirectory(StringRef bytes) {
  // The end record is 22 bytes and a comment of at most 65535.
  StringRef end("PK\5\6", 4);
  size_t tail = bytes.size() > 65557 ? bytes.size() - 65557 : 0;
  size_t at = bytes.size() < 22 ? StringRef::npos : bytes.drop_back(18).rfind(end);
  if (at == StringRef::npos || at < tail || at + 22 > bytes.size())
    return createStringError("expected a zip archive, got no end record (truncated?)");
  Directory directory{read32(bytes, at + 16), read32(bytes, at + 12), read16(bytes, at + 10)};
  // Zip64: a locator just before points to a longer end record.
  if (at >= 20 && bytes.substr(at - 20, 4) == StringRef("PK\6\7", 4)) {
    uint64_t record = read64(bytes, at - 12);
    if (record > bytes.size() || bytes.size() - record < 56 || bytes.substr(record, 4) != StringRef("PK\6\6", 4))
      return createStringError("expected a zip64 end record inside the file");
    directory = {read64(bytes, record + 48), read64(bytes, record + 40), read64(bytes, record + 32)};
  }
  if (directory.offset > bytes.size() || directory.size > bytes.size() - directory.offset)
    return createStringError("expected the directory of the archive inside the file (truncated?)");
  return directory;
}

/// Reads one line of the directory and drops it from `rest`.
static llvm::Expected<Member> takeMember(StringRef &rest) {
  if (rest.size() < 46 || !rest.starts_with(StringRef("PK\1\2", 4)))
    return createStringError("expected another member in the directory of the archive (truncated?)");
  Member member;
  member.flags = read16(rest, 8);
  member.method = read16(rest, 10);
  member.crc = read32(rest, 16);
  member.packedSize = read32(rest, 20);
  member.size = read32(rest, 24);
  member.headerAt = read32(rest, 42);
  size_t nameSize = read16(rest, 28), extraSize = read16(rest, 30), commentSize = read16(rest, 32);
  if (rest.size() - 46 < nameSize + extraSize + commentSize)
    return createStringError("expected the name of a member inside the directory of the archive (truncated?)");
  member.name = rest.substr(46, nameSize);
  StringRef extra = rest.substr(46 + nameSize, extraSize);
  rest = rest.drop_front(46 + nameSize + extraSize + commentSize);
  // Values that do not fit 32 bits are in an extra field, in this order.
  while (extra.size() >= 4) {
    size_t id = read16(extra, 0), size = read16(extra, 2);
    if (extra.size() - 4 < size)
      break;
    StringRef field = extra.substr(4, size);
    extra = extra.drop_front(4 + size);
    if (id != 1)
      continue;
    for (uint64_t *value : {&member.size, &member.packedSize, &member.headerAt})
      if (*value == UINT32_MAX) {
        if (field.size() < 8)
          return createStringError("expected a zip64 size for member '" + member.name + "'");
        *value = read64(field, 0);
        field = field.drop_front(8);
      }
  }
  return member;
}

/// Unpacks deflated data of a known size. LLVM offers zlib's own frame only: a header before, a checksum that we do not
/// know behind. Data comes out all the same; whether it is right, the CRC of the archive says.
static llvm::Expected<std::string> inflate(StringRef packed, uint64_t size) {
  if (!llvm::compression::zlib::isAvailable())
    return createStringError("expected stored data, got deflated (this LLVM has no zlib)");
  std::string framed("\x78\x01", 2);
  framed.append(packed.begin(), packed.end());
  framed.append(4, '\0');
  std::string result(size, '\0');
  size_t produced = size;
  llvm::consumeError(llvm::compression::zlib::decompress(llvm::arrayRefFromStringRef(framed),
                                                         reinterpret_cast<uint8_t *>(result.data()), produced));
  if (produced != size)
    return createStringError("expected " + llvm::Twine(size) + " bytes of unpacked data, got " + llvm::Twine(produced));
  return result;
}

/// The tensor in one member.
static llvm::Expected<HostTensor> readMember(StringRef bytes, const Member &member) {
  if (member.flags & 1)
    return createStringError("expected plain data, got encrypted");
  if (member.headerAt > bytes.size() || bytes.size() - member.headerAt < 30 ||
      bytes.substr(member.headerAt, 4) != StringRef("PK\3\4", 4))
    return createStringError("expected a header inside the file (truncated?)");
  // The local header has a name and extra field of its own lengths.
  uint64_t dataAt = member.headerAt + 30 + read16(bytes, member.headerAt + 26) + read16(bytes, member.headerAt + 28);
  if (dataAt > bytes.size() || member.packedSize > bytes.size() - dataAt)
    return createStringError("expected " + llvm::Twine(member.packedSize) +
                             " bytes of data inside the file (truncated?)");
  StringRef data = bytes.substr(dataAt, member.packedSize);
  std::string unpacked;
  if (member.method == 8) {
    // Deflate never shrinks by more than 1032: a larger promise is a trap.
    if (member.size / 1040 > member.packedSize + 64)
      return createStringError("expected a size that " + llvm::Twine(member.packedSize) +
                               " packed bytes can give, got " + llvm::Twine(member.size));
    llvm::Expected<std::string> result = inflate(data, member.size);
    if (!result)
      return result.takeError();
    unpacked = std::move(*result);
    data = unpacked;
  } else if (member.method != 0) {
    return createStringError("expected stored or deflated data, got compression method " + llvm::Twine(member.method));
  } else if (member.size != member.packedSize) {
    return createStringError("expected " + llvm::Twine(member.size) + " bytes of stored data, got " +
                             llvm::Twine(member.packedSize));
  }
  if (uint32_t crc = getCRC(data); crc != member.crc)
    return createStringError("expected CRC " + llvm::utohexstr(member.crc) + ", got " + llvm::utohexstr(crc) +
                             " (damaged)");
  return parseNpy(data);
}

llvm::Expected<std::vector<NamedTensor>> mlir::prune::parseNpz(StringRef bytes, TensorFilter isWanted) {
  llvm::Expected<Directory> directory = findDirectory(bytes);
  if (!directory)
    return directory.takeError();
  StringRef rest = bytes.substr(directory->offset, directory->size);
  std::vector<NamedTensor> result;
  llvm::StringSet<> seen;
  for (uint64_t i = 0; i < directory->count; ++i) {
    llvm::Expected<Member> member = takeMember(rest);
    if (!member)
      return member.takeError();
    StringRef name = member->name;
    name.consume_back(".npy");
    if (!seen.insert(name).second)
      return createStringError("expected one member of each name, got two of '" + name + "'");
    if (isWanted && !isWanted(name))
      continue;
    llvm::Expected<HostTensor> tensor = readMember(bytes, *member);
    if (!tensor)
      return createStringError("member '" + member->name + "': " + llvm::toString(tensor.takeError()));
    result.push_back({name.str(), std::move(*tensor)});
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

namespace {
/// Little-endian fields one after the other.
struct FieldWriter {
  std::string bytes;
  FieldWriter &add(uint64_t value, unsigned width) {
    for (unsigned i = 0; i < width; ++i)
      bytes.push_back(static_cast<char>(value >> (8 * i)));
    return *this;
  }
};
} // namespace

llvm::Error mlir::prune::writeNpz(llvm::raw_ostream &os, llvm::ArrayRef<NamedTensor> tensors) {
  constexpr uint64_t date = (1 << 5 | 1) << 16; // the first of January 1980, midnight: no clock in the file
  std::string directory;
  uint64_t offset = 0;
  for (const NamedTensor &item : tensors) {
    std::string data;
    llvm::raw_string_ostream stream(data);
    writeNpy(stream, item.tensor);
    std::string name = item.name + ".npy";
    if (data.size() >= UINT32_MAX || offset + data.size() >= UINT32_MAX || name.size() > UINT16_MAX)
      return createStringError("expected less than 4 GiB of tensors in a .npz file");
    uint32_t crc = getCRC(data);
    auto addCommon = [&](FieldWriter &w) {
      // Version, flags (the name is UTF-8), method: stored.
      w.add(20, 2).add(1 << 11, 2).add(0, 2).add(date, 4).add(crc, 4).add(data.size(), 4).add(data.size(), 4);
      w.add(name.size(), 2).add(0, 2);
    };
    FieldWriter local, central;
    local.add(0x04034b50, 4);
    addCommon(local);
    central.add(0x02014b50, 4).add(20, 2);
    addCommon(central);
    central.add(0, 2).add(0, 2).add(0, 2).add(0, 4).add(offset, 4);
    os << local.bytes << name << data;
    directory += central.bytes + name;
    offset += local.bytes.size() + name.size() + data.size();
  }
  FieldWriter end;
  end.add(0x06054b50, 4).add(0, 2).add(0, 2).add(tensors.size(), 2).add(tensors.size(), 2);
  end.add(directory.size(), 4).add(offset, 4).add(0, 2);
  os << directory << end.bytes;
  return llvm::Error::success();
}
