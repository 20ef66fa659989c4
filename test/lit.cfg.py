# The lit suite: every .mlir and .test file below this folder that is not an input.
import os

import lit.formats

config.name = "prune"
config.test_format = lit.formats.ShTest(True)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "Unit", "python", "lib"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.prune_build, "test")
config.environment["PATH"] = os.pathsep.join(
    [os.path.join(config.prune_build, "bin"), config.llvm_tools, os.environ["PATH"]])
config.substitutions.append(("%plugin", os.path.join(config.prune_build, "lib", "libPrunePlugin.so")))
config.substitutions.append(("%llvm_libs", config.llvm_libs))
config.substitutions.append(("%source", config.prune_source))
config.substitutions.append(("%python", os.path.join(config.prune_build, "venv", "bin", "python")))
if os.path.exists(os.path.join(config.prune_build, "venv", "bin", "python")):
    config.available_features.add("python")
if os.path.exists("/proc/cpuinfo"):
    with open("/proc/cpuinfo") as cpuinfo:
        flags = cpuinfo.read()
    for feature in ("avx2", "avx512f", "avx512_vnni"):
        if " " + feature in flags:
            config.available_features.add(feature)
# PRUNE_VERIFY_ROUNDTRIP=1 runs the whole suite again with a text and bytecode round trip before each pass pipeline.
opt = "prune-opt"
if os.environ.get("PRUNE_VERIFY_ROUNDTRIP"):
    opt += " --verify-roundtrip"
config.substitutions.append(("prune-opt ", opt + " "))
