//===- Target.cpp - The processor code is compiled for -------------------------===//

#include "prune/Support/Target.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

using namespace mlir::prune;
using llvm::StringRef;

static llvm::Triple getTriple() { return llvm::Triple(llvm::sys::getProcessTriple()); }

static llvm::Expected<const llvm::Target *> lookupTarget() {
  static const bool initialised = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    llvm::InitializeNativeTargetAsmParser();
    return true;
  }();
  (void)initialised;
  std::string message;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(getTriple(), message);
  if (!target)
    return llvm::createStringError(message);
  return target;
}

static llvm::Expected<std::unique_ptr<llvm::MCSubtargetInfo>> createSubtarget(const CPUTarget &target) {
  auto native = lookupTarget();
  if (!native)
    return native.takeError();
  std::unique_ptr<llvm::MCSubtargetInfo> info(
      (*native)->createMCSubtargetInfo(getTriple(), target.cpu, target.features));
  if (!info)
    return llvm::createStringError("no code generator for cpu '" + target.cpu + "'");
  return info;
}

/// LLVM itself only prints a warning for a name it does not know, and goes on with another processor.
static llvm::Error checkNames(const CPUTarget &target) {
  auto generic = createSubtarget({"", ""});
  if (!generic)
    return generic.takeError();
  if (!target.cpu.empty() && !(*generic)->isCPUStringValid(target.cpu))
    return llvm::createStringError("unknown cpu '" + target.cpu + "' for " + getTriple().str());
  llvm::SmallVector<StringRef> features;
  StringRef(target.features).split(features, ',', -1, /*KeepEmpty=*/false);
  for (StringRef feature : features) {
    if (!feature.starts_with("+") && !feature.starts_with("-"))
      return llvm::createStringError("expected '+' or '-' before cpu feature '" + feature + "'");
    bool known = llvm::any_of((*generic)->getAllProcessorFeatures(),
                              [&](const llvm::SubtargetFeatureKV &kv) { return kv.Key == feature.drop_front(); });
    if (!known)
      return llvm::createStringError("unknown cpu feature '" + feature.drop_front() + "' for " + getTriple().str());
  }
  return llvm::Error::success();
}

llvm::Expected<CPUTarget> mlir::prune::resolveTarget(StringRef cpu, StringRef features) {
  CPUTarget target{cpu.str(), ""};
  if (cpu == "host") {
    target.cpu = llvm::sys::getHostCPUName().str();
    auto named = createSubtarget(target);
    if (!named)
      return named.takeError();
    llvm::StringMap<bool> host = llvm::sys::getHostCPUFeatures();
    // In the order of LLVM's table, which is sorted.
    for (const llvm::SubtargetFeatureKV &kv : (*named)->getAllProcessorFeatures()) {
      auto it = host.find(kv.Key);
      if (it == host.end() || it->second == (*named)->checkFeatures((llvm::Twine("+") + kv.Key).str()))
        continue;
      target.features += (target.features.empty() ? "" : ",") + std::string(it->second ? "+" : "-") + kv.Key;
    }
  }
  if (!features.empty())
    target.features += (target.features.empty() ? "" : ",") + features.str();
  if (llvm::Error error = checkNames(target))
    return error;
  return target;
}

llvm::Expected<std::vector<std::string>> mlir::prune::getInstructionSets(const CPUTarget &target) {
  if (llvm::Error error = checkNames(target))
    return error;
  auto wanted = createSubtarget(target);
  if (!wanted)
    return wanted.takeError();
  std::vector<std::string> names;
  // Names absent from the host's list are tuning advice, not instruction sets.
  llvm::StringMap<bool> host = llvm::sys::getHostCPUFeatures();
  for (const llvm::SubtargetFeatureKV &kv : (*wanted)->getAllProcessorFeatures())
    if (host.contains(kv.Key) && (*wanted)->checkFeatures((llvm::Twine("+") + kv.Key).str()))
      names.push_back(kv.Key);
  return names;
}

llvm::Expected<std::vector<std::string>> mlir::prune::findMissingFeatures(const CPUTarget &target) {
  auto names = getInstructionSets(target);
  if (!names)
    return names.takeError();
  llvm::StringMap<bool> host = llvm::sys::getHostCPUFeatures();
  llvm::erase_if(*names, [&](const std::string &name) { return host.lookup(name); });
  return names;
}

llvm::Expected<std::unique_ptr<llvm::TargetMachine>> mlir::prune::createTargetMachine(const CPUTarget &target) {
  if (llvm::Error error = checkNames(target))
    return error;
  auto native = lookupTarget();
  if (!native)
    return native.takeError();
  std::unique_ptr<llvm::TargetMachine> machine(
      (*native)->createTargetMachine(getTriple(), target.cpu, target.features, llvm::TargetOptions(), llvm::Reloc::PIC_,
                                     std::nullopt, llvm::CodeGenOptLevel::Aggressive));
  if (!machine)
    return llvm::createStringError("no code generator for cpu '" + target.cpu + "'");
  return machine;
}

llvm::Expected<VectorUnits> mlir::prune::describeVectorUnits(const CPUTarget &target) {
  auto created = createSubtarget(target);
  if (!created)
    return created.takeError();
  const llvm::MCSubtargetInfo &subtarget = **created;
  VectorUnits units;
  units.hasFMA = subtarget.checkFeatures("+fma");
  if (subtarget.checkFeatures("+avx512f") && subtarget.checkFeatures("+avx512vl")) {
    units.bits = 512;
    units.registers = 32;
  } else if (subtarget.checkFeatures("+avx")) {
    units.bits = 256;
  }
  units.hasVNNI = subtarget.checkFeatures("+avxvnni") && units.bits == 256;
  units.hasVNNI |= subtarget.checkFeatures("+avx512vnni") && subtarget.checkFeatures("+avx512vl");
  return units;
}
