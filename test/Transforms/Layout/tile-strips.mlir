// Layers around a depthwise convolution run strip by strip, and what does not pay or does not fit stays whole.
// RUN: prune-opt %s --split-input-file --prune-tile-strips="cache-bytes=2048 strip-bytes=4096" \
// RUN:   --remarks-filter=tile-strips --remark-format=emitRemark 2>%t.remarks | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK --input-file=%t.remarks
// RUN: prune-opt %s --split-input-file --prune-tile-strips | FileCheck %s --check-prefix=LARGE
// RUN: prune-opt %s --split-input-file --prune-tile-strips="cache-bytes=2048 strip-bytes=4096 threads=4" \
// RUN:   --remarks-filter=tile-strips --remark-format=emitRemark 2>%t.threads | FileCheck %s --check-prefix=THREADS
// RUN: FileCheck %s --check-prefix=UNEVEN --input-file=%t.threads

// A row of either image, 8 channels x 16 columns, has 512 bytes, and three rows of the result read five. Three strips of 3 rows are 9,
// so that the last one begins at row 5. Before the rows there is one of zeros, after them another one.
// CHECK-LABEL: func @strips
// CHECK-SAME: %[[X:.*]]: tensor<4x8x16xf32>
// CHECK: %[[ZEROS:.*]] = linalg.fill {{.*}} -> tensor<1x8x7x16xf32>
// CHECK: scf.for %[[I:.*]] = %{{.*}} iter_args(%[[OUT:.*]] = %{{.*}}, %[[WIDE:.*]] = %[[ZEROS]])
// CHECK: %[[ROW:.*]] = arith.minsi
// CHECK: %[[FIRST:.*]] = arith.minsi
// CHECK: %[[PART:.*]] = tensor.extract_slice %[[X]][0, %[[FIRST]], 0] [4, 5, 16]
// CHECK: %[[PLACE:.*]] = tensor.extract_slice %[[WIDE]][0, 0, 1, 0] [1, 8, 5, 16]
// CHECK: %[[W:.*]] = prune.linear {{.*}} ins(%[[PART]] {{.*}} outs(%[[PLACE]]
// CHECK: %[[HELD:.*]] = tensor.insert_slice %[[W]] into %[[WIDE]][0, 0, 1, 0]
// CHECK: %[[SEEN:.*]] = tensor.extract_slice %[[HELD]][0, 0, %{{.*}}, 0] [1, 8, 5, 16]
// CHECK: prune.depthwise window <{{.*}}low = [0, 1], high = [0, 1]> ins(%[[SEEN]]{{.*}} outs(%{{.*}} : tensor<1x8x3x16xf32>)
// CHECK: %[[REST:.*]] = tensor.extract_slice %[[X]][0, %[[ROW]], 0] [4, 3, 16]
// CHECK: prune.linear {{.*}} extras(%[[REST]]
// CHECK: tensor.insert_slice %{{.*}} into %[[OUT]][0, %[[ROW]], 0] [4, 3, 16]
// REMARK: [Passed] {{.*}} Remark="in strips of 3 rows, 5 of the image that the convolution reads"
// LARGE-LABEL: func @strips
// LARGE-NOT: scf.for

// Each of four threads has two rows.
// THREADS-LABEL: func @strips
// THREADS: scf.forall (%[[T:.*]]) in (4)
// THREADS: %[[BAND:.*]] = arith.muli %[[T]]
// THREADS: tensor.extract_slice %{{.*}}[0, %[[BAND]], 0] [4, 2, 16]
// THREADS: scf.for
// THREADS: tensor.parallel_insert_slice %{{.*}}[0, %[[BAND]], 0] [4, 2, 16]
func.func @strips(%x: tensor<4x8x16xf32>, %w: tensor<2x4x6xf32>, %f: tensor<8x3x3xf32>, %v: tensor<1x8x6xf32>)
    -> tensor<4x8x16xf32> {
  %e = tensor.empty() : tensor<8x8x16xf32>
  %h = prune.linear dense rows 6 chunk 4 lanes 2 storage(%w : tensor<2x4x6xf32>) ins(%x : tensor<4x8x16xf32>)
      outs(%e : tensor<8x8x16xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<8x8x16xf32>
  %wide = tensor.expand_shape %h [[0, 1], [2], [3]] output_shape [1, 8, 8, 16] : tensor<8x8x16xf32> into tensor<1x8x8x16xf32>
  %de = tensor.empty() : tensor<1x8x8x16xf32>
  %d = prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      ins(%wide, %f : tensor<1x8x8x16xf32>, tensor<8x3x3xf32>) outs(%de : tensor<1x8x8x16xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x8x8x16xf32>
  %n = tensor.collapse_shape %d [[0, 1], [2], [3]] : tensor<1x8x8x16xf32> into tensor<8x8x16xf32>
  %ye = tensor.empty() : tensor<4x8x16xf32>
  %y = prune.linear dense rows 6 chunk 8 lanes 2 storage(%v : tensor<1x8x6xf32>) ins(%n : tensor<8x8x16xf32>)
      extras(%x : tensor<4x8x16xf32>) outs(%ye : tensor<4x8x16xf32>) {
  ^bb0(%s: f32, %r: f32):
    %0 = arith.addf %s, %r : f32
    prune.yield %0 : f32
  } -> tensor<4x8x16xf32>
  return %y : tensor<4x8x16xf32>
}

// -----

// Windows of nine rows: most would be computed twice. And five rows cannot be shared by four threads.
// CHECK-LABEL: func @tall
// CHECK-NOT: scf.for
// REMARK: [Missed] {{.*}} Remark="not in strips: 1 rows of the result need 9 of 13"
// UNEVEN: [Missed] {{.*}} Remark="not in strips: threads cannot share 5 rows evenly among 4"
func.func @tall(%x: tensor<4x13x16xf32>, %w: tensor<2x4x6xf32>, %f: tensor<8x9x1xf32>) -> tensor<1x8x5x16xf32> {
  %e = tensor.empty() : tensor<1x8x13x16xf32>
  %image = tensor.expand_shape %x [[0, 1], [2], [3]] output_shape [1, 4, 13, 16] : tensor<4x13x16xf32> into tensor<1x4x13x16xf32>
  %h = prune.linear dense rows 6 chunk 4 lanes 2 storage(%w : tensor<2x4x6xf32>) ins(%image : tensor<1x4x13x16xf32>)
      outs(%e : tensor<1x8x13x16xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x8x13x16xf32>
  %de = tensor.empty() : tensor<1x8x5x16xf32>
  %d = prune.depthwise window <kernel = [9, 1], strides = [1, 1], dilations = [1, 1], low = [0, 0], high = [0, 0]>
      ins(%h, %f : tensor<1x8x13x16xf32>, tensor<8x9x1xf32>) outs(%de : tensor<1x8x5x16xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x8x5x16xf32>
  return %d : tensor<1x8x5x16xf32>
}

// -----

// Something else needs the wide image.
// CHECK-LABEL: func @used_twice
// CHECK-NOT: scf.for
func.func @used_twice(%x: tensor<1x4x8x16xf32>, %w: tensor<2x4x6xf32>, %f: tensor<8x3x3xf32>)
    -> (tensor<1x8x8x16xf32>, tensor<1x8x8x16xf32>) {
  %e = tensor.empty() : tensor<1x8x8x16xf32>
  %h = prune.linear dense rows 6 chunk 4 lanes 2 storage(%w : tensor<2x4x6xf32>) ins(%x : tensor<1x4x8x16xf32>)
      outs(%e : tensor<1x8x8x16xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x8x8x16xf32>
  %d = prune.depthwise window <kernel = [3, 3], strides = [1, 1], dilations = [1, 1], low = [1, 1], high = [1, 1]>
      ins(%h, %f : tensor<1x8x8x16xf32>, tensor<8x3x3xf32>) outs(%e : tensor<1x8x8x16xf32>) {
  ^bb0(%s: f32):
    prune.yield %s : f32
  } -> tensor<1x8x8x16xf32>
  return %h, %d : tensor<1x8x8x16xf32>, tensor<1x8x8x16xf32>
}
