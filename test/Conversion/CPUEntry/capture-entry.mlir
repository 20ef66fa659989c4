// The signature of a model goes into prune.entry before bufferization takes it apart.
// RUN: prune-opt %s --prune-capture-entry="cpu=x86-64-v3 features=+avx512f threads=2" | FileCheck %s
// RUN: prune-opt %s --prune-capture-entry="function=other cpu=x86-64" | FileCheck %s --check-prefix=OTHER
// RUN: prune-opt %s --prune-capture-entry | FileCheck %s --check-prefix=HOST

// CHECK: prune.entry @main ("ids": tensor<1x4xi64>, "in1": tensor<f32>) -> ("out0": tensor<f32>, "emb": tensor<1x4xi64>) cpu("x86-64-v3") features("+avx512f") threads(2)
// OTHER: prune.entry @other () -> () cpu("x86-64"){{$}}
// HOST: prune.entry @main {{.*}} cpu("{{[a-z].*}}")

// CHECK: func.func @main(%{{.*}}: tensor<1x4xi64> {bufferization.writable = false}, %{{.*}}: tensor<f32> {bufferization.writable = false}) -> (tensor<f32>, tensor<1x4xi64>)
// OTHER: func.func private @main(%{{.*}}: tensor<1x4xi64> {prune.name = "ids"}
func.func @main(%ids: tensor<1x4xi64> {prune.name = "ids"}, %x: tensor<f32>)
    -> (tensor<f32>, tensor<1x4xi64> {prune.name = "emb"}) {
  return %x, %ids : tensor<f32>, tensor<1x4xi64>
}

// CHECK: func.func private @other()
// OTHER: func.func @other()
func.func @other() { return }
