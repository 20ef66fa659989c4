// Products of int8 become words where the target has VNNI instructions and the model says that this is faster; else the same
// sums are computed in f32. A weight costs as in choice.mlir.
//
// DEFINE: %{model} = cost-model=%S/Inputs/model.json
// DEFINE: %{remarks} = --remarks-filter=prune-pack --remark-format=emitRemark
// Without VNNI: whole numbers of f32, and a remark.
// RUN: prune-opt %s --prune-pack="%{model} report=%t.json" %{remarks} 2>%t.remarks | FileCheck %s --check-prefix=FLOATS
// FLOATS-LABEL: @main
// FLOATS: %[[WIDE:.*]] = arith.extui %arg0 : tensor<64x8xi8> to tensor<64x8xi32>
// FLOATS: arith.sitofp %[[WIDE]] : tensor<64x8xi32> to tensor<64x8xf32>
// FLOATS: prune.linear chunked_csr rows 2 {{.*}} storage({{.*}}xf32, #
// FLOATS-SAME: outs(%{{.*}} : tensor<2x4x32xf32>)
// FLOATS: arith.fptosi {{.*}} : tensor<64x4xf32> to tensor<64x4xi32>
// RUN: FileCheck %s --check-prefix=NOVNNI --input-file=%t.remarks
// NOVNNI: [Missed] Pack {{.*}}w: int8 declined: the target has no VNNI instructions; computes in f32: chunked_csr, chunk 8, 4 vectors at density 0.25 (32.0 us estimated)
// NOVNNI-NOT: are rounded
// RUN: FileCheck %s --check-prefix=JSON --input-file=%t.json
// JSON-NOT: word_columns
// JSON: "type": "f32"
//
// With VNNI: words of four columns.
// RUN: prune-opt %s --prune-pack="%{model} vnni report=%t.json" %{remarks} 2>%t.remarks | FileCheck %s --check-prefix=WORDS
// WORDS-LABEL: @main
// WORDS-NOT: arith.extui
// WORDS: prune.linear chunked_csr rows 2 chunk 2 vectors 4 word_columns 4 storage({{.*}}xi32, #
// WORDS-SAME: outs(%{{.*}} : tensor<2x4x32xi32>)
// RUN: FileCheck %s --check-prefix=TAKEN --input-file=%t.remarks
// TAKEN: [Passed] Pack {{.*}}w: int8, density 0.25 in words of 4 columns: chunked_csr, chunk 2, 4 vectors at density 0.25 (8.0 us estimated); {{.*}}; f32 would take 32.0 us
// RUN: FileCheck %s --check-prefix=WORDJSON --input-file=%t.json
// WORDJSON: "columns": 8
// WORDJSON: "type": "int8"
// WORDJSON-NEXT: "word_columns": 4
// Unless they are slower by the model.
// RUN: sed 's/"version": 1,/"version": 1, "word": {"step": 10, "column": 1, "source": "none"},/' %S/Inputs/model.json > %t.slow.json
// RUN: prune-opt %s --prune-pack="cost-model=%t.slow.json vnni" %{remarks} 2>&1 | FileCheck %s --check-prefix=SLOW
// SLOW: [Missed] Pack {{.*}}w: int8 declined: words of 4 columns would take 80.0 us; computes in f32: chunked_csr
// SLOW-NOT: word_columns
//
// What is asked for is done.
// RUN: prune-opt %s --prune-pack="%{model} word-columns=2" %{remarks} 2>&1 | FileCheck %s --check-prefix=FORCED
// FORCED: [Missed] Pack {{.*}}w: int8, density 0.25 in words of 2 columns: {{.*}}; the times are with VNNI instructions, which the target lacks
// FORCED: prune.linear chunked_csr {{.*}} word_columns 2
// RUN: prune-opt %s --prune-pack="%{model} vnni kernel=sparsifier" %{remarks} 2>&1 | FileCheck %s --check-prefix=SPARSIFIER
// SPARSIFIER: [Missed] Pack {{.*}}int8, and the sparsifier was asked for
// RUN: not prune-opt %s --prune-pack="word-columns=3" 2>&1 | FileCheck %s --check-prefix=COLUMNS
// COLUMNS: prune-pack: expected word-columns of 0, 2 or 4, got 3
// GPUs have no code of their own for them.
// RUN: prune-opt %s --prune-pack-gpu="chip=sm_80" --remarks-filter=prune-pack-gpu --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=GPU
// GPU: [Missed] Pack {{.*}}int8, left to the general loops
// GPU: linalg.generic
//
// Sums beyond 2^24 are rounded in f32, so that VNNI stays with words; those that could leave i32 do so everywhere.
// RUN: sed -e s/x8x/x600x/g -e 's/dense<.*: tensor<4x600xi8>/dense<-128> : tensor<4x600xi8>/' -e 's/dense<.*: tensor<4x600xi1>/dense<true> : tensor<4x600xi1>/' %s > %t.long.mlir
// RUN: prune-opt %t.long.mlir --prune-pack="%{model}" %{remarks} 2>&1 | FileCheck %s --check-prefix=ROUNDED
// ROUNDED: [Missed] Pack {{.*}}computes in f32: {{.*}}; sums up to 19584000 are rounded to 24 bits
// RUN: prune-opt %t.long.mlir --prune-pack="cost-model=%t.slow.json vnni" %{remarks} 2>&1 | FileCheck %s --check-prefix=EXACT
// EXACT: [Missed] Pack {{.*}}int8, density 1.00 in words of 4 columns: {{.*}}; f32 would take
// EXACT: word_columns 4
// RUN: sed s/x600x/x40000x/g %t.long.mlir | prune-opt --prune-pack="%{model}" | FileCheck %s --check-prefix=LONG
// LONG: word_columns 2

func.func @main(%x: tensor<64x8xi8>) -> tensor<64x4xi32> {
  %w = arith.constant dense<[[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, -8]]> : tensor<4x8xi8> loc("w")
  %m = arith.constant dense<[[true, true, true, true, false, false, false, false], [true, true, true, true, false, false, false, false], [false, false, false, false, false, false, false, false], [false, false, false, false, false, false, false, false]]> : tensor<4x8xi1>
  %p = prune.apply %w, %m as(#prune.unstructured) name("w") : tensor<4x8xi8>
  %zero = arith.constant 0 : i32
  %empty = tensor.empty() : tensor<64x4xi32>
  %init = linalg.fill ins(%zero : i32) outs(%empty : tensor<64x4xi32>) -> tensor<64x4xi32>
  %y = linalg.generic {indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>],
                       iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %p : tensor<64x8xi8>, tensor<4x8xi8>) outs(%init : tensor<64x4xi32>) {
  ^bb0(%a: i8, %b: i8, %sum: i32):
    %0 = arith.extui %a : i8 to i32
    %1 = arith.extsi %b : i8 to i32
    %2 = arith.muli %0, %1 : i32
    %3 = arith.addi %sum, %2 : i32
    linalg.yield %3 : i32
  } -> tensor<64x4xi32>
  return %y : tensor<64x4xi32>
}
