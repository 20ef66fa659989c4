// Threads find their share of a loop by themselves: no call of the runtime's work sharing, which may allocate memory.
// RUN: prune-opt %s --prune-split-parallel-loops=threads=3 | FileCheck %s
// RUN: prune-opt %s --convert-linalg-to-loops --prune-lower-to-llvm=threads=3 | mlir-translate --mlir-to-llvmir | FileCheck %s --check-prefix=LLVM
// RUN: prune-opt %s --convert-linalg-to-loops --prune-lower-to-llvm=threads=3 | mlir-runner -e main -entry-point-result=void -O1 \
// RUN:   -shared-libs=%llvm_libs/libmlir_runner_utils.so,%llvm_libs/libmlir_c_runner_utils.so,%llvm_libs/libomp.so | FileCheck %s --check-prefix=OUT

// LLVM-NOT: __kmpc_for_static_init
// LLVM: call void {{.*}}@__kmpc_fork_call
// LLVM: define internal void @fill..omp_par
// LLVM: call i32 @omp_get_thread_num

// CHECK-LABEL: func @fill
// CHECK: omp.parallel num_threads(%{{.*}} : i32) {
// CHECK: %[[THREAD:.*]] = func.call @omp_get_thread_num
// CHECK: %[[THREADS:.*]] = func.call @omp_get_num_threads
// CHECK: scf.for %[[AT:.*]] = %{{.*}} to %{{.*}} step
// CHECK: %[[COLUMN:.*]] = arith.remui %[[AT]]
// CHECK: %[[ROW:.*]] = arith.divui %[[AT]]
// CHECK: memref.alloca_scope
// A loop inside is left alone.
// CHECK: scf.parallel
// CHECK: omp.terminator
func.func @fill(%a: memref<?x?x2xi32>, %from: index, %rows: index, %columns: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c10 = arith.constant 10 : i32
  scf.parallel (%i, %j) = (%from, %c0) to (%rows, %columns) step (%c2, %c1) {
    %x = arith.index_cast %i : index to i32
    %y = arith.index_cast %j : index to i32
    %z = arith.muli %x, %c10 : i32
    %sum = arith.addi %z, %y : i32
    scf.parallel (%k) = (%c0) to (%c2) step (%c1) {
      memref.store %sum, %a[%i, %j, %k] : memref<?x?x2xi32>
      scf.reduce
    }
    scf.reduce
  }
  return
}

// With a reduction: upstream's way.
// CHECK-LABEL: func @sum
// CHECK-NOT: omp.parallel
// CHECK: scf.parallel
func.func @sum(%n: index) -> i32 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %r = scf.parallel (%i) = (%c0) to (%n) step (%c1) init (%zero) -> i32 {
    scf.reduce(%one : i32) {
    ^bb0(%x: i32, %y: i32):
      %s = arith.addi %x, %y : i32
      scf.reduce.return %s : i32
    }
  }
  return %r : i32
}

// Rows 1 and 3 of five, all three columns; then an empty range of negative extent.
// OUT: {{\[\[\[}}-1,    -1],
// OUT-NEXT: {{\[}}-1,    -1],
// OUT-NEXT: {{\[}}-1,    -1{{\]\]}},
// OUT-NEXT: {{\[\[}}10,    10],
// OUT-NEXT: {{\[}}11,    11],
// OUT-NEXT: {{\[}}12,    12{{\]\]}},
// OUT-NEXT: {{\[\[}}-1,
// OUT: {{\[\[}}30,    30],
// OUT-NEXT: {{\[}}31,    31],
// OUT-NEXT: {{\[}}32,    32{{\]\]}},
// OUT-NEXT: {{\[\[}}-1,
func.func private @printMemrefI32(memref<*xi32>) attributes {llvm.emit_c_interface}
func.func @main() {
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %c5 = arith.constant 5 : index
  %none = arith.constant -1 : i32
  %fixed = memref.alloc() : memref<5x3x2xi32>
  linalg.fill ins(%none : i32) outs(%fixed : memref<5x3x2xi32>)
  %a = memref.cast %fixed : memref<5x3x2xi32> to memref<?x?x2xi32>
  func.call @fill(%a, %c1, %c5, %c3) : (memref<?x?x2xi32>, index, index, index) -> ()
  func.call @fill(%a, %c5, %c1, %c3) : (memref<?x?x2xi32>, index, index, index) -> ()
  %any = memref.cast %fixed : memref<5x3x2xi32> to memref<*xi32>
  func.call @printMemrefI32(%any) : (memref<*xi32>) -> ()
  return
}
