// RUN: prune-opt %s --verify-diagnostics --prune-forall-to-loops=threads=2

func.func @tensors(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{expected no results before it becomes a loop, got 1 (bufferize first)}}
  %y = scf.forall (%i) in (4) shared_outs(%out = %x) -> tensor<4xf32> {
    %s = tensor.extract_slice %x[%i] [1] [1] : tensor<4xf32> to tensor<1xf32>
    scf.forall.in_parallel {
      tensor.parallel_insert_slice %s into %out[%i] [1] [1] : tensor<1xf32> into tensor<4xf32>
    }
  }
  return %y : tensor<4xf32>
}
