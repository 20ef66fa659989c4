// The stated errors hold: every function is run over a range, as a vector of f32 through the polynomial, and compared to
// libm in f64 (f64 has no polynomial). Printed: 1 where the largest error is within the bound.
// DEFINE: %{fma} = true
// DEFINE: %{run} = prune-opt %s --prune-lower-to-llvm=fuse-multiply-add=%{fma} | \
// DEFINE:   mlir-runner -e main -entry-point-result=void -O2 -shared-libs=%llvm_libs/libmlir_c_runner_utils.so | FileCheck %s
// RUN: %{run}
// REDEFINE: %{fma} = false
// RUN: %{run}

func.func @approximate_exp(%x: vector<8xf32>) -> vector<8xf32> {
  %y = math.exp %x : vector<8xf32>
  return %y : vector<8xf32>
}
func.func @check_exp() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = arith.constant 50000 : index
  %low = arith.constant -8.660000e+01 : f64
  %width = arith.constant 4.382500e-04 : f64
  %zero = arith.constant dense<0.0> : vector<8xf64>
  %lanes = arith.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> : vector<8xf64>
  %eight = arith.constant 8.0 : f64
  %lowv = vector.broadcast %low : f64 to vector<8xf64>
  %widthv = vector.broadcast %width : f64 to vector<8xf64>
  %max = scf.for %i = %c0 to %n step %c1 iter_args(%worst = %zero) -> (vector<8xf64>) {
    %j = arith.index_cast %i : index to i64
    %k = arith.sitofp %j : i64 to f64
    %k8 = arith.mulf %k, %eight : f64
    %kv = vector.broadcast %k8 : f64 to vector<8xf64>
    %at = arith.addf %kv, %lanes : vector<8xf64>
    %scaled = arith.mulf %at, %widthv : vector<8xf64>
    %x = arith.addf %lowv, %scaled : vector<8xf64>
    %x32 = arith.truncf %x : vector<8xf64> to vector<8xf32>
    %x64 = arith.extf %x32 : vector<8xf32> to vector<8xf64>
    %got32 = func.call @approximate_exp(%x32) : (vector<8xf32>) -> vector<8xf32>
    %got = arith.extf %got32 : vector<8xf32> to vector<8xf64>
    %want = math.exp %x64 : vector<8xf64>
    %difference = arith.subf %got, %want : vector<8xf64>
    %absolute = math.absf %difference : vector<8xf64>
    %relative = arith.divf %absolute, %want : vector<8xf64>
    %next = arith.maximumf %worst, %relative : vector<8xf64>
    scf.yield %next : vector<8xf64>
  }
  %worst = vector.reduction <maximumf>, %max : vector<8xf64> into f64
  %bound = arith.constant 1.200000e-07 : f64
  %ok = arith.cmpf ole, %worst, %bound : f64
  vector.print str "exp: "
  vector.print %ok : i1
  vector.print %worst : f64
  return
}
// CHECK: exp: 1

func.func @approximate_exp2(%x: vector<8xf32>) -> vector<8xf32> {
  %y = math.exp2 %x : vector<8xf32>
  return %y : vector<8xf32>
}
func.func @check_exp2() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = arith.constant 50000 : index
  %low = arith.constant -1.249000e+02 : f64
  %width = arith.constant 6.320000e-04 : f64
  %zero = arith.constant dense<0.0> : vector<8xf64>
  %lanes = arith.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> : vector<8xf64>
  %eight = arith.constant 8.0 : f64
  %lowv = vector.broadcast %low : f64 to vector<8xf64>
  %widthv = vector.broadcast %width : f64 to vector<8xf64>
  %max = scf.for %i = %c0 to %n step %c1 iter_args(%worst = %zero) -> (vector<8xf64>) {
    %j = arith.index_cast %i : index to i64
    %k = arith.sitofp %j : i64 to f64
    %k8 = arith.mulf %k, %eight : f64
    %kv = vector.broadcast %k8 : f64 to vector<8xf64>
    %at = arith.addf %kv, %lanes : vector<8xf64>
    %scaled = arith.mulf %at, %widthv : vector<8xf64>
    %x = arith.addf %lowv, %scaled : vector<8xf64>
    %x32 = arith.truncf %x : vector<8xf64> to vector<8xf32>
    %x64 = arith.extf %x32 : vector<8xf32> to vector<8xf64>
    %got32 = func.call @approximate_exp2(%x32) : (vector<8xf32>) -> vector<8xf32>
    %got = arith.extf %got32 : vector<8xf32> to vector<8xf64>
    %want = math.exp2 %x64 : vector<8xf64>
    %difference = arith.subf %got, %want : vector<8xf64>
    %absolute = math.absf %difference : vector<8xf64>
    %relative = arith.divf %absolute, %want : vector<8xf64>
    %next = arith.maximumf %worst, %relative : vector<8xf64>
    scf.yield %next : vector<8xf64>
  }
  %worst = vector.reduction <maximumf>, %max : vector<8xf64> into f64
  %bound = arith.constant 1.200000e-07 : f64
  %ok = arith.cmpf ole, %worst, %bound : f64
  vector.print str "exp2: "
  vector.print %ok : i1
  vector.print %worst : f64
  return
}
// CHECK: exp2: 1

func.func @approximate_erf(%x: vector<8xf32>) -> vector<8xf32> {
  %y = math.erf %x : vector<8xf32>
  return %y : vector<8xf32>
}
func.func @check_erf() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = arith.constant 50000 : index
  %low = arith.constant -6.000000e+00 : f64
  %width = arith.constant 3.000000e-05 : f64
  %zero = arith.constant dense<0.0> : vector<8xf64>
  %lanes = arith.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> : vector<8xf64>
  %eight = arith.constant 8.0 : f64
  %lowv = vector.broadcast %low : f64 to vector<8xf64>
  %widthv = vector.broadcast %width : f64 to vector<8xf64>
  %max = scf.for %i = %c0 to %n step %c1 iter_args(%worst = %zero) -> (vector<8xf64>) {
    %j = arith.index_cast %i : index to i64
    %k = arith.sitofp %j : i64 to f64
    %k8 = arith.mulf %k, %eight : f64
    %kv = vector.broadcast %k8 : f64 to vector<8xf64>
    %at = arith.addf %kv, %lanes : vector<8xf64>
    %scaled = arith.mulf %at, %widthv : vector<8xf64>
    %x = arith.addf %lowv, %scaled : vector<8xf64>
    %x32 = arith.truncf %x : vector<8xf64> to vector<8xf32>
    %x64 = arith.extf %x32 : vector<8xf32> to vector<8xf64>
    %got32 = func.call @approximate_erf(%x32) : (vector<8xf32>) -> vector<8xf32>
    %got = arith.extf %got32 : vector<8xf32> to vector<8xf64>
    %want = math.erf %x64 : vector<8xf64>
    %difference = arith.subf %got, %want : vector<8xf64>
    %absolute = math.absf %difference : vector<8xf64>
    %relative = arith.divf %absolute, %want : vector<8xf64>
    %next = arith.maximumf %worst, %absolute : vector<8xf64>
    scf.yield %next : vector<8xf64>
  }
  %worst = vector.reduction <maximumf>, %max : vector<8xf64> into f64
  %bound = arith.constant 1.000000e-07 : f64
  %ok = arith.cmpf ole, %worst, %bound : f64
  vector.print str "erf: "
  vector.print %ok : i1
  vector.print %worst : f64
  return
}
// CHECK: erf: 1

func.func @approximate_tanh(%x: vector<8xf32>) -> vector<8xf32> {
  %y = math.tanh %x : vector<8xf32>
  return %y : vector<8xf32>
}
func.func @check_tanh() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = arith.constant 50000 : index
  %low = arith.constant -1.200000e+01 : f64
  %width = arith.constant 6.000000e-05 : f64
  %zero = arith.constant dense<0.0> : vector<8xf64>
  %lanes = arith.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> : vector<8xf64>
  %eight = arith.constant 8.0 : f64
  %lowv = vector.broadcast %low : f64 to vector<8xf64>
  %widthv = vector.broadcast %width : f64 to vector<8xf64>
  %max = scf.for %i = %c0 to %n step %c1 iter_args(%worst = %zero) -> (vector<8xf64>) {
    %j = arith.index_cast %i : index to i64
    %k = arith.sitofp %j : i64 to f64
    %k8 = arith.mulf %k, %eight : f64
    %kv = vector.broadcast %k8 : f64 to vector<8xf64>
    %at = arith.addf %kv, %lanes : vector<8xf64>
    %scaled = arith.mulf %at, %widthv : vector<8xf64>
    %x = arith.addf %lowv, %scaled : vector<8xf64>
    %x32 = arith.truncf %x : vector<8xf64> to vector<8xf32>
    %x64 = arith.extf %x32 : vector<8xf32> to vector<8xf64>
    %got32 = func.call @approximate_tanh(%x32) : (vector<8xf32>) -> vector<8xf32>
    %got = arith.extf %got32 : vector<8xf32> to vector<8xf64>
    %want = math.tanh %x64 : vector<8xf64>
    %difference = arith.subf %got, %want : vector<8xf64>
    %absolute = math.absf %difference : vector<8xf64>
    %relative = arith.divf %absolute, %want : vector<8xf64>
    %next = arith.maximumf %worst, %absolute : vector<8xf64>
    scf.yield %next : vector<8xf64>
  }
  %worst = vector.reduction <maximumf>, %max : vector<8xf64> into f64
  %bound = arith.constant 5.000000e-07 : f64
  %ok = arith.cmpf ole, %worst, %bound : f64
  vector.print str "tanh: "
  vector.print %ok : i1
  vector.print %worst : f64
  return
}
// CHECK: tanh: 1

func.func @approximate_log(%x: vector<8xf32>) -> vector<8xf32> {
  %y = math.log %x : vector<8xf32>
  return %y : vector<8xf32>
}
func.func @check_log() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = arith.constant 50000 : index
  %low = arith.constant 1.000000e-05 : f64
  %width = arith.constant 1.250000e-04 : f64
  %zero = arith.constant dense<0.0> : vector<8xf64>
  %lanes = arith.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> : vector<8xf64>
  %eight = arith.constant 8.0 : f64
  %lowv = vector.broadcast %low : f64 to vector<8xf64>
  %widthv = vector.broadcast %width : f64 to vector<8xf64>
  %max = scf.for %i = %c0 to %n step %c1 iter_args(%worst = %zero) -> (vector<8xf64>) {
    %j = arith.index_cast %i : index to i64
    %k = arith.sitofp %j : i64 to f64
    %k8 = arith.mulf %k, %eight : f64
    %kv = vector.broadcast %k8 : f64 to vector<8xf64>
    %at = arith.addf %kv, %lanes : vector<8xf64>
    %scaled = arith.mulf %at, %widthv : vector<8xf64>
    %x = arith.addf %lowv, %scaled : vector<8xf64>
    %x32 = arith.truncf %x : vector<8xf64> to vector<8xf32>
    %x64 = arith.extf %x32 : vector<8xf32> to vector<8xf64>
    %got32 = func.call @approximate_log(%x32) : (vector<8xf32>) -> vector<8xf32>
    %got = arith.extf %got32 : vector<8xf32> to vector<8xf64>
    %want = math.log %x64 : vector<8xf64>
    %difference = arith.subf %got, %want : vector<8xf64>
    %absolute = math.absf %difference : vector<8xf64>
    %relative = arith.divf %absolute, %want : vector<8xf64>
    %next = arith.maximumf %worst, %absolute : vector<8xf64>
    scf.yield %next : vector<8xf64>
  }
  %worst = vector.reduction <maximumf>, %max : vector<8xf64> into f64
  %bound = arith.constant 6.000000e-07 : f64
  %ok = arith.cmpf ole, %worst, %bound : f64
  vector.print str "log: "
  vector.print %ok : i1
  vector.print %worst : f64
  return
}
// CHECK: log: 1

func.func @approximate_log1p(%x: vector<8xf32>) -> vector<8xf32> {
  %y = math.log1p %x : vector<8xf32>
  return %y : vector<8xf32>
}
func.func @check_log1p() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = arith.constant 50000 : index
  %low = arith.constant 0.000000e+00 : f64
  %width = arith.constant 2.000000e-05 : f64
  %zero = arith.constant dense<0.0> : vector<8xf64>
  %lanes = arith.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> : vector<8xf64>
  %eight = arith.constant 8.0 : f64
  %lowv = vector.broadcast %low : f64 to vector<8xf64>
  %widthv = vector.broadcast %width : f64 to vector<8xf64>
  %max = scf.for %i = %c0 to %n step %c1 iter_args(%worst = %zero) -> (vector<8xf64>) {
    %j = arith.index_cast %i : index to i64
    %k = arith.sitofp %j : i64 to f64
    %k8 = arith.mulf %k, %eight : f64
    %kv = vector.broadcast %k8 : f64 to vector<8xf64>
    %at = arith.addf %kv, %lanes : vector<8xf64>
    %scaled = arith.mulf %at, %widthv : vector<8xf64>
    %x = arith.addf %lowv, %scaled : vector<8xf64>
    %x32 = arith.truncf %x : vector<8xf64> to vector<8xf32>
    %x64 = arith.extf %x32 : vector<8xf32> to vector<8xf64>
    %got32 = func.call @approximate_log1p(%x32) : (vector<8xf32>) -> vector<8xf32>
    %got = arith.extf %got32 : vector<8xf32> to vector<8xf64>
    %want = math.log1p %x64 : vector<8xf64>
    %difference = arith.subf %got, %want : vector<8xf64>
    %absolute = math.absf %difference : vector<8xf64>
    %relative = arith.divf %absolute, %want : vector<8xf64>
    %next = arith.maximumf %worst, %absolute : vector<8xf64>
    scf.yield %next : vector<8xf64>
  }
  %worst = vector.reduction <maximumf>, %max : vector<8xf64> into f64
  %bound = arith.constant 6.000000e-07 : f64
  %ok = arith.cmpf ole, %worst, %bound : f64
  vector.print str "log1p: "
  vector.print %ok : i1
  vector.print %worst : f64
  return
}
// CHECK: log1p: 1

func.func @approximate_expm1(%x: vector<8xf32>) -> vector<8xf32> {
  %y = math.expm1 %x : vector<8xf32>
  return %y : vector<8xf32>
}
func.func @check_expm1() {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = arith.constant 50000 : index
  %low = arith.constant -3.000000e+00 : f64
  %width = arith.constant 1.500000e-05 : f64
  %zero = arith.constant dense<0.0> : vector<8xf64>
  %lanes = arith.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> : vector<8xf64>
  %eight = arith.constant 8.0 : f64
  %lowv = vector.broadcast %low : f64 to vector<8xf64>
  %widthv = vector.broadcast %width : f64 to vector<8xf64>
  %max = scf.for %i = %c0 to %n step %c1 iter_args(%worst = %zero) -> (vector<8xf64>) {
    %j = arith.index_cast %i : index to i64
    %k = arith.sitofp %j : i64 to f64
    %k8 = arith.mulf %k, %eight : f64
    %kv = vector.broadcast %k8 : f64 to vector<8xf64>
    %at = arith.addf %kv, %lanes : vector<8xf64>
    %scaled = arith.mulf %at, %widthv : vector<8xf64>
    %x = arith.addf %lowv, %scaled : vector<8xf64>
    %x32 = arith.truncf %x : vector<8xf64> to vector<8xf32>
    %x64 = arith.extf %x32 : vector<8xf32> to vector<8xf64>
    %got32 = func.call @approximate_expm1(%x32) : (vector<8xf32>) -> vector<8xf32>
    %got = arith.extf %got32 : vector<8xf32> to vector<8xf64>
    %want = math.expm1 %x64 : vector<8xf64>
    %difference = arith.subf %got, %want : vector<8xf64>
    %absolute = math.absf %difference : vector<8xf64>
    %relative = arith.divf %absolute, %want : vector<8xf64>
    %next = arith.maximumf %worst, %absolute : vector<8xf64>
    scf.yield %next : vector<8xf64>
  }
  %worst = vector.reduction <maximumf>, %max : vector<8xf64> into f64
  %bound = arith.constant 4.000000e-06 : f64
  %ok = arith.cmpf ole, %worst, %bound : f64
  vector.print str "expm1: "
  vector.print %ok : i1
  vector.print %worst : f64
  return
}
// CHECK: expm1: 1

// Infinities, overflow and NaN; 0x7FC00000 is NaN.
func.func @check_specials() {
  %inf = arith.constant 0x7F800000 : f32
  %ninf = arith.constant 0xFF800000 : f32
  %nan = arith.constant 0x7FC00000 : f32
  %big = arith.constant 89.0 : f32
  %small = arith.constant -104.0 : f32
  %zero = arith.constant 0.0 : f32
  %x = vector.from_elements %inf, %ninf, %nan, %big, %small, %zero, %zero, %zero : vector<8xf32>
  %e = func.call @approximate_exp(%x) : (vector<8xf32>) -> vector<8xf32>
  // CHECK: ( inf, 0, {{-?}}nan, inf, 0, 1, 1, 1 )
  vector.print %e : vector<8xf32>
  %r = func.call @approximate_erf(%x) : (vector<8xf32>) -> vector<8xf32>
  // CHECK: ( 1, -1, {{-?}}nan, 1, -1, 0, 0, 0 )
  vector.print %r : vector<8xf32>
  return
}

func.func @main() {
  call @check_exp() : () -> ()
  call @check_exp2() : () -> ()
  call @check_erf() : () -> ()
  call @check_tanh() : () -> ()
  call @check_log() : () -> ()
  call @check_log1p() : () -> ()
  call @check_expm1() : () -> ()
  call @check_specials() : () -> ()
  return
}
