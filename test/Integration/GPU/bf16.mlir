// Elements of bf16 on OpenCL, which has no such type, bit for bit as NumPy has them: a constant, a choice, a whole number, values in
// memory, and rounding after each step.
// REQUIRES: opencl, python
// RUN: %python -c "import sys; sys.path.insert(0, '%S/Inputs'); from gates import np, rounded; r = lambda v: rounded(np.float32(v), 'bf16'); rng = np.random.default_rng(3); \
// RUN:   x = rng.standard_normal(90, 'f4'); n = rng.integers(-99, 99, 90, 'i1'); x[:4] = [np.inf, -0.0, 1 + 2**-8, 1 + 3 * 2**-8]; h = r(x); \
// RUN:   np.savez('%t.x.npz', x=x, n=n, k=n > 0); np.savez('%t.ref.npz', y=np.where(n > 0, r(r(h * r(0.333)) + n), abs(h)).astype('f4'), s=r(h[::-1]).astype('f4'))"
// RUN: prune-run %s --gpu=opencl --inputs=%t.x.npz --compare=%t.ref.npz --rtol=0 --atol=0 | FileCheck %s
// CHECK: y: equal
// CHECK: s: equal

#same = affine_map<(d0) -> (d0)>
func.func @main(%x: tensor<90xf32> {prune.name = "x"}, %n: tensor<90xi8> {prune.name = "n"}, %k: tensor<90xi1> {prune.name = "k"})
    -> (tensor<90xf32> {prune.name = "y"}, tensor<90xf32> {prune.name = "s"}) {
  %half = arith.truncf %x : tensor<90xf32> to tensor<90xbf16>
  %third = arith.constant dense<0.333> : tensor<90xbf16>
  %scaled = arith.mulf %half, %third : tensor<90xbf16>
  %whole = arith.sitofp %n : tensor<90xi8> to tensor<90xbf16>
  %sum = arith.addf %scaled, %whole : tensor<90xbf16>
  %magnitude = math.absf %half : tensor<90xbf16>
  %chosen = arith.select %k, %sum, %magnitude : tensor<90xi1>, tensor<90xbf16>
  %y = arith.extf %chosen : tensor<90xbf16> to tensor<90xf32>
  %empty = tensor.empty() : tensor<90xbf16>
  %turned = linalg.generic {indexing_maps = [#same], iterator_types = ["parallel"]} outs(%empty : tensor<90xbf16>) {
  ^bb0(%out: bf16):
    %i = linalg.index 0 : index
    %last = arith.constant 89 : index
    %at = arith.subi %last, %i : index
    %value = tensor.extract %half[%at] : tensor<90xbf16>
    linalg.yield %value : bf16
  } -> tensor<90xbf16>
  %s = arith.extf %turned : tensor<90xbf16> to tensor<90xf32>
  return %y, %s : tensor<90xf32>, tensor<90xf32>
}
