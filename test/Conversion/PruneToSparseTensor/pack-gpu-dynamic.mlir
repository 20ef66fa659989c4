// Products behind gates, and of one token behind a ReLU, read only columns of activations that are not zero, where the cost
// model of the chip says so.
//
// DEFINE: %{options} = chip=sm_90
// DEFINE: %{pack} = prune-opt %s --split-input-file --mlir-elide-resource-strings-if-larger=8 --prune-pack-gpu="%{options}" --remarks-filter=prune-pack-gpu --remark-format=emitRemark
// RUN: %{pack} 2>&1 | FileCheck %s
// RUN: %{pack} -o /dev/null 2>&1 | FileCheck %s --check-prefix=REMARK
// REDEFINE: %{options} = chip=sm_90 kernel=dense
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=DENSE
// DENSE-NOT: columns
// REDEFINE: %{options} = chip=sm_90 kernel=columns precision=f16
// RUN: %{pack} 2>&1 | FileCheck %s --check-prefix=HALF
//
// RUN: prune-opt %S/../../Integration/GPU/gates.mlir --prune-pack-gpu="chip=sm_90 report=%t.json" -o /dev/null
// RUN: FileCheck %s --check-prefix=JSON --input-file=%t.json
// JSON: "activation_break_even": {{[01]}}
// JSON-NEXT: "activation_density": 0.5
// JSON: "kernel": "columns"
// JSON: "activation_density": 0.25

// The weight is transposed; activations are not rounded with it.
// CHECK-LABEL: @gated
// CHECK: %[[GATED:.*]] = prune.gate
// CHECK: prune.linear columns rows {{[0-9]+}} chunk {{[0-9]+}} lanes 0 storage(%{{.*}} : tensor<2048x2052xf32>) ins(%[[GATED]] : tensor<1x2048xf32>)
// REMARK: [Passed] Pack {{.*}}a: columns in f32, tiles of {{[0-9]+}} rows, chunk {{[0-9]+}} skips columns of zero activations: expected density 0.25, below break-even {{[01]\.[0-9]+}} ({{[0-9.]+}} us estimated); matrix in f32 declined: slower ({{[0-9.]+}} us estimated)
// HALF-LABEL: @gated
// HALF-NOT: arith.truncf
// HALF: prune.linear columns rows {{[0-9]+}} chunk {{[0-9]+}} lanes 0 storage(%{{.*}} : tensor<2048x2056xf16>) ins(%{{.*}} : tensor<1x2048xf32>)
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @gated(%x: tensor<1x2048xf32>) -> tensor<1x2052xf32> {
  %a = arith.constant dense<2.0> : tensor<2052x2048xf32> loc("a")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x2052xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x2052xf32>) -> tensor<1x2052xf32>
  %m = prune.dynamic_mask %x along 1 keep(512) : tensor<1x2048xf32>
  %g = prune.gate %x, %m : tensor<1x2048xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%g, %a : tensor<1x2048xf32>, tensor<2052x2048xf32>) outs(%f : tensor<1x2052xf32>) -> tensor<1x2052xf32>
  return %0 : tensor<1x2052xf32>
}

// -----

// A ReLU of one token is recognised; what is known of it is nothing.
// CHECK-LABEL: @rectified
// CHECK: prune.linear columns
// REMARK: [Passed] Pack {{.*}}w: columns in f32, {{.*}} expected density 0.50, below break-even
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
#i = affine_map<(m, n) -> (m, n)>
func.func @rectified(%x: tensor<1x2048xf32>) -> tensor<1x2048xf32> {
  %w = arith.constant dense<2.0> : tensor<2048x2048xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x2048xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x2048xf32>) -> tensor<1x2048xf32>
  %r = linalg.generic {indexing_maps = [#i, #i], iterator_types = ["parallel", "parallel"]} ins(%x : tensor<1x2048xf32>) outs(%e : tensor<1x2048xf32>) {
  ^bb0(%in: f32, %out: f32):
    %0 = arith.maximumf %in, %zero : f32
    linalg.yield %0 : f32
  } -> tensor<1x2048xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%r, %w : tensor<1x2048xf32>, tensor<2048x2048xf32>) outs(%f : tensor<1x2048xf32>) -> tensor<1x2048xf32>
  return %0 : tensor<1x2048xf32>
}

// -----

// Sixteen tokens need almost every column, each another part: dense. With seventeen there is no kernel.
// CHECK-LABEL: @many_tokens
// CHECK: prune.linear matrix
// CHECK: prune.linear matrix
// REMARK: [Missed] Pack {{.*}}p: matrix in f32 at density 1.00 ({{[0-9.]+}} us estimated); columns in f32, {{.*}} declined: expected density 0.90, above break-even {{0\.[0-9]+}} ({{[0-9.]+}} us estimated)
// REMARK: [Missed] Pack {{.*}}q: matrix in f32 at density 1.00 ({{[0-9.]+}} us estimated); columns declined: M = 17 > 16
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @many_tokens(%x: tensor<16x512xf32>, %z: tensor<17x512xf32>) -> (tensor<16x256xf32>, tensor<17x256xf32>) {
  %p = arith.constant dense<2.0> : tensor<256x512xf32> loc("p")
  %q = arith.constant dense<3.0> : tensor<256x512xf32> loc("q")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<16x256xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<16x256xf32>) -> tensor<16x256xf32>
  %e1 = tensor.empty() : tensor<17x256xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<17x256xf32>) -> tensor<17x256xf32>
  %m = prune.dynamic_mask %x along 1 threshold(0.1) sparsity(0.1) : tensor<16x512xf32>
  %g = prune.gate %x, %m : tensor<16x512xf32>
  %n = prune.dynamic_mask %z along 1 threshold(0.1) sparsity(0.1) : tensor<17x512xf32>
  %h = prune.gate %z, %n : tensor<17x512xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%g, %p : tensor<16x512xf32>, tensor<256x512xf32>) outs(%f : tensor<16x256xf32>) -> tensor<16x256xf32>
  %1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%h, %q : tensor<17x512xf32>, tensor<256x512xf32>) outs(%f1 : tensor<17x256xf32>) -> tensor<17x256xf32>
  return %0, %1 : tensor<16x256xf32>, tensor<17x256xf32>
}

// -----

// Zero times infinity is no zero: nothing is skipped.
// CHECK-LABEL: @infinite
// CHECK: prune.linear matrix
// REMARK: [Missed] Pack {{.*}}w: zeros of the activations are not skipped because the weight holds values that are not finite, whose product with zero is NaN
#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
func.func @infinite(%x: tensor<1x4xf32>) -> tensor<1x2xf32> {
  %w = arith.constant dense<[[1.0, 0x7F800000, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]]> : tensor<2x4xf32> loc("w")
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x2xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x2xf32>) -> tensor<1x2xf32>
  %m = prune.dynamic_mask %x along 1 keep(1) : tensor<1x4xf32>
  %g = prune.gate %x, %m : tensor<1x4xf32>
  %0 = linalg.contract indexing_maps = [#x, #w, #y] ins(%g, %w : tensor<1x4xf32>, tensor<2x4xf32>) outs(%f : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %0 : tensor<1x2xf32>
}
