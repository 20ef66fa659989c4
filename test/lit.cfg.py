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
# Intel's OpenCL runtime for processors runs kernels where there is no graphics processor: tools/check installs it.
opencl = os.path.join(config.prune_build, "opencl", "lib")
if os.path.exists(os.path.join(opencl, "libintelocl.so")):
    config.available_features.add("opencl")
    config.environment["OCL_ICD_FILENAMES"] = os.path.join(opencl, "libintelocl.so")
    config.environment["LD_LIBRARY_PATH"] = opencl
    # Its vectorizer takes most of a test's time and is no code of ours; library.test has it.
    config.environment["CL_CONFIG_CPU_VECTORIZER_MODE"] = "1"
config.substitutions.append(("%check_gpu", os.path.join(config.prune_build, "venv", "bin", "python") + " " +
                             os.path.join(config.test_source_root, "Integration", "GPU", "Inputs", "check.py")))
for folder in (os.environ.get("CUDA_HOME", "") + "/bin", "/usr/local/cuda/bin", *os.environ["PATH"].split(os.pathsep)):
    if os.path.exists(os.path.join(folder, "ptxas")):
        config.available_features.add("ptxas")
# PRUNE_VERIFY_ROUNDTRIP=1 runs the whole suite again with a text and bytecode round trip before each pass pipeline.
opt = "prune-opt"
if os.environ.get("PRUNE_VERIFY_ROUNDTRIP"):
    opt += " --verify-roundtrip"
config.substitutions.append(("prune-opt ", opt + " "))
