// GELU by erf becomes one function, in whatever order a model multiplies, and keeps the stated errors: 3.2 units in the
// last place (2.3e-7) from zero on, 1.3e-7 below, measured against libm in f64.
// RUN: prune-opt %s --prune-approximate-math | FileCheck %s --check-prefix=IR
// DEFINE: %{fma} = true
// DEFINE: %{run} = prune-opt %s --prune-lower-to-llvm=fuse-multiply-add=%{fma} | \
// DEFINE:   mlir-runner -e main -entry-point-result=void -O2 -shared-libs=%llvm_libs/libmlir_c_runner_utils.so | FileCheck %s
// RUN: %{run}
// REDEFINE: %{fma} = false
// RUN: %{run}

// Two chains of at most seven steps that wait for each other; with 512 bits, where multipliers are scarcer, one of twelve.
// IR-LABEL: @as_onnx
// IR-COUNT-3: arith.mulf
// IR-COUNT-12: math.fma
// IR: arith.mulf
// IR: math.fma
// IR-NOT: {{arith.mulf|math.fma|math.copysign}}
// IR: return
func.func @as_onnx(%x: vector<8xf32>) -> vector<8xf32> {
  %half = arith.constant dense<5.000000e-01> : vector<8xf32>
  %one = arith.constant dense<1.000000e+00> : vector<8xf32>
  %root = arith.constant dense<1.41421354> : vector<8xf32>
  %scaled = arith.divf %x, %root : vector<8xf32>
  %erf = math.erf %scaled : vector<8xf32>
  %sum = arith.addf %erf, %one : vector<8xf32>
  %product = arith.mulf %x, %sum : vector<8xf32>
  %result = arith.mulf %product, %half : vector<8xf32>
  return %result : vector<8xf32>
}

// IR-LABEL: @wide
// IR-NOT: arith.mulf
// IR-COUNT-12: math.fma
// IR: arith.mulf
// IR: math.fma
// IR-NOT: {{arith.mulf|math.fma|math.copysign}}
// IR: return
func.func @wide(%x: vector<16xf32>) -> vector<16xf32> {
  %half = arith.constant dense<5.000000e-01> : vector<16xf32>
  %one = arith.constant dense<1.000000e+00> : vector<16xf32>
  %root = arith.constant dense<0.707106769> : vector<16xf32>
  %scaled = arith.mulf %x, %root : vector<16xf32>
  %erf = math.erf %scaled : vector<16xf32>
  %sum = arith.addf %erf, %one : vector<16xf32>
  %halved = arith.mulf %x, %half : vector<16xf32>
  %result = arith.mulf %halved, %sum : vector<16xf32>
  return %result : vector<16xf32>
}

// The largest errors over 400,000 numbers from %low on, %width apart: the difference, and its share of the result.
func.func @worst(%low: f64, %width: f64) -> (f64, f64) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = arith.constant 50000 : index
  %zero = arith.constant dense<0.0> : vector<8xf64>
  %half = arith.constant dense<0.5> : vector<8xf64>
  %one = arith.constant dense<1.0> : vector<8xf64>
  %factor = arith.constant dense<0.70710678118654752> : vector<8xf64>
  %lanes = arith.constant dense<[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]> : vector<8xf64>
  %eight = arith.constant 8.0 : f64
  %lows = vector.broadcast %low : f64 to vector<8xf64>
  %widths = vector.broadcast %width : f64 to vector<8xf64>
  %max:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %zero, %r = %zero) -> (vector<8xf64>, vector<8xf64>) {
    %j = arith.index_cast %i : index to i64
    %k = arith.sitofp %j : i64 to f64
    %first = arith.mulf %k, %eight : f64
    %firsts = vector.broadcast %first : f64 to vector<8xf64>
    %at = arith.addf %firsts, %lanes : vector<8xf64>
    %distance = arith.mulf %at, %widths : vector<8xf64>
    %exact = arith.addf %lows, %distance : vector<8xf64>
    %x32 = arith.truncf %exact : vector<8xf64> to vector<8xf32>
    %x = arith.extf %x32 : vector<8xf32> to vector<8xf64>
    %got32 = func.call @as_onnx(%x32) : (vector<8xf32>) -> vector<8xf32>
    %got = arith.extf %got32 : vector<8xf32> to vector<8xf64>
    %scaled = arith.mulf %x, %factor : vector<8xf64>
    %erf = math.erf %scaled : vector<8xf64>
    %sum = arith.addf %erf, %one : vector<8xf64>
    %product = arith.mulf %x, %sum : vector<8xf64>
    %want = arith.mulf %product, %half : vector<8xf64>
    %difference = arith.subf %got, %want : vector<8xf64>
    %absolute = math.absf %difference : vector<8xf64>
    %relative = arith.divf %absolute, %want : vector<8xf64>
    %next_a = arith.maximumf %a, %absolute : vector<8xf64>
    %next_r = arith.maximumf %r, %relative : vector<8xf64>
    scf.yield %next_a, %next_r : vector<8xf64>, vector<8xf64>
  }
  %absolute = vector.reduction <maximumf>, %max#0 : vector<8xf64> into f64
  %relative = vector.reduction <maximumf>, %max#1 : vector<8xf64> into f64
  return %absolute, %relative : f64, f64
}

func.func @main() {
  %zero = arith.constant 1.0e-06 : f64
  %low = arith.constant -14.0 : f64
  %width = arith.constant 3.5e-05 : f64
  %above:2 = call @worst(%zero, %width) : (f64, f64) -> (f64, f64)
  %relative = arith.constant 2.3e-07 : f64
  %above_ok = arith.cmpf ole, %above#1, %relative : f64
  // CHECK: above zero: 1
  vector.print str "above zero: "
  vector.print %above_ok : i1
  vector.print %above#1 : f64
  %below:2 = call @worst(%low, %width) : (f64, f64) -> (f64, f64)
  %absolute = arith.constant 1.3e-07 : f64
  %below_ok = arith.cmpf ole, %below#0, %absolute : f64
  // CHECK: below: 1
  vector.print str "below: "
  vector.print %below_ok : i1
  vector.print %below#0 : f64
  // Far away, infinities and NaN.
  %x = arith.constant dense<[0x7F800000, 0xFF800000, 0x7FC00000, 100.0, -1.0e+30, 0.0, 0.0, 0.0]> : vector<8xf32>
  %y = call @as_onnx(%x) : (vector<8xf32>) -> vector<8xf32>
  // CHECK: ( inf, -{{[0-9.]+}}e-{{[0-9]+}}, {{-?}}nan, 100, -{{[0-9.]+}}e-{{[0-9]+}}, 0, 0, 0 )
  vector.print %y : vector<8xf32>
  return
}

// IR-LABEL: @half_first
// IR-NOT: math.copysign
// IR: return
func.func @half_first(%x: vector<8xf32>) -> vector<8xf32> {
  %half = arith.constant dense<5.000000e-01> : vector<8xf32>
  %one = arith.constant dense<1.000000e+00> : vector<8xf32>
  %factor = arith.constant dense<0.707106769> : vector<8xf32>
  %scaled = arith.mulf %x, %factor : vector<8xf32>
  %erf = math.erf %scaled : vector<8xf32>
  %sum = arith.addf %erf, %one : vector<8xf32>
  %halved = arith.mulf %x, %half : vector<8xf32>
  %result = arith.mulf %halved, %sum : vector<8xf32>
  return %result : vector<8xf32>
}

// IR-LABEL: @x_last
// IR-NOT: math.copysign
// IR: return
func.func @x_last(%x: f32) -> f32 {
  %half = arith.constant 5.000000e-01 : f32
  %one = arith.constant 1.000000e+00 : f32
  %factor = arith.constant 0.707106769 : f32
  %scaled = arith.mulf %x, %factor : f32
  %erf = math.erf %scaled : f32
  %sum = arith.addf %erf, %one : f32
  %halved = arith.mulf %sum, %half : f32
  %result = arith.mulf %halved, %x : f32
  return %result : f32
}

// Not GELU: another scale, another factor, another variable, or a sum that is used besides.

// IR-LABEL: @another_scale
// IR: math.copysign
func.func @another_scale(%x: f32) -> f32 {
  %half = arith.constant 5.000000e-01 : f32
  %one = arith.constant 1.000000e+00 : f32
  %factor = arith.constant 0.7071 : f32
  %scaled = arith.mulf %x, %factor : f32
  %erf = math.erf %scaled : f32
  %sum = arith.addf %erf, %one : f32
  %halved = arith.mulf %sum, %half : f32
  %result = arith.mulf %halved, %x : f32
  return %result : f32
}

// IR-LABEL: @without_half
// IR: math.copysign
func.func @without_half(%x: f32) -> f32 {
  %one = arith.constant 1.000000e+00 : f32
  %factor = arith.constant 0.707106769 : f32
  %scaled = arith.mulf %x, %factor : f32
  %erf = math.erf %scaled : f32
  %sum = arith.addf %erf, %one : f32
  %result = arith.mulf %sum, %x : f32
  return %result : f32
}

// IR-LABEL: @another_variable
// IR: math.copysign
func.func @another_variable(%x: f32, %y: f32) -> f32 {
  %half = arith.constant 5.000000e-01 : f32
  %one = arith.constant 1.000000e+00 : f32
  %factor = arith.constant 0.707106769 : f32
  %scaled = arith.mulf %x, %factor : f32
  %erf = math.erf %scaled : f32
  %sum = arith.addf %erf, %one : f32
  %halved = arith.mulf %sum, %half : f32
  %result = arith.mulf %halved, %y : f32
  return %result : f32
}

// IR-LABEL: @sum_is_used
// IR: math.copysign
func.func @sum_is_used(%x: f32) -> (f32, f32) {
  %half = arith.constant 5.000000e-01 : f32
  %one = arith.constant 1.000000e+00 : f32
  %factor = arith.constant 0.707106769 : f32
  %scaled = arith.mulf %x, %factor : f32
  %erf = math.erf %scaled : f32
  %sum = arith.addf %erf, %one : f32
  %halved = arith.mulf %sum, %half : f32
  %result = arith.mulf %halved, %x : f32
  return %result, %sum : f32, f32
}
