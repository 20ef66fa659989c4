// Softmax regression on batches of 8 with momentum and a mask, written by hand in the form that a training module has:
// a result that is named like an argument is its next value.
#bf = affine_map<(b, f, c) -> (b, f)>
#fc = affine_map<(b, f, c) -> (f, c)>
#bc = affine_map<(b, f, c) -> (b, c)>
#id = affine_map<(b, c) -> (b, c)>
#row = affine_map<(b, c) -> (b)>
#all = affine_map<(b, c) -> ()>
#vec = affine_map<(b) -> (b)>
#one = affine_map<(b) -> ()>

func.func @init() -> (tensor<4x3xf32> {prune.name = "param:w"}, tensor<4x3xi1> {prune.name = "mask:w"},
                      tensor<4x3xf32> {prune.name = "state:w:momentum"}, tensor<i64> {prune.name = "step"}) {
  %w = arith.constant dense<[[0.1, -0.2, 0.3], [0.02, 0.2, -0.1], [-0.3, 0.01, 0.1], [0.2, 0.1, -0.01]]>
      : tensor<4x3xf32>
  %mask = arith.constant dense<true> : tensor<4x3xi1>
  %momentum = arith.constant dense<0.0> : tensor<4x3xf32>
  %step = arith.constant dense<0> : tensor<i64>
  return %w, %mask, %momentum, %step : tensor<4x3xf32>, tensor<4x3xi1>, tensor<4x3xf32>, tensor<i64>
}

func.func private @logits(%w: tensor<4x3xf32>, %x: tensor<8x4xf32>) -> tensor<8x3xf32> {
  %zero = arith.constant dense<0.0> : tensor<8x3xf32>
  %z = linalg.contract indexing_maps = [#bf, #fc, #bc] ins(%x, %w : tensor<8x4xf32>, tensor<4x3xf32>)
      outs(%zero : tensor<8x3xf32>) -> tensor<8x3xf32>
  return %z : tensor<8x3xf32>
}

// Mean cross entropy, right answers, and the gradient of the loss by the logits.
func.func private @loss(%z: tensor<8x3xf32>, %labels: tensor<8xi64>)
    -> (tensor<f32>, tensor<i64>, tensor<8x3xf32>) {
  %least = arith.constant dense<0xFF800000> : tensor<8xf32>
  %zeros = arith.constant dense<0.0> : tensor<8xf32>
  %zero = arith.constant dense<0.0> : tensor<f32>
  %none = arith.constant dense<0> : tensor<i64>
  %batch = arith.constant 8.0 : f32
  %e8x3 = tensor.empty() : tensor<8x3xf32>
  %most = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%z : tensor<8x3xf32>) outs(%least : tensor<8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %m = arith.maximumf %a, %o : f32
    linalg.yield %m : f32
  } -> tensor<8xf32>
  %sum = linalg.generic {indexing_maps = [#id, #row, #row], iterator_types = ["parallel", "reduction"]}
      ins(%z, %most : tensor<8x3xf32>, tensor<8xf32>) outs(%zeros : tensor<8xf32>) {
  ^bb0(%a: f32, %m: f32, %o: f32):
    %d = arith.subf %a, %m : f32
    %e = math.exp %d : f32
    %s = arith.addf %o, %e : f32
    linalg.yield %s : f32
  } -> tensor<8xf32>
  %picked = linalg.generic {indexing_maps = [#id, #row, #row], iterator_types = ["parallel", "reduction"]}
      ins(%z, %labels : tensor<8x3xf32>, tensor<8xi64>) outs(%zeros : tensor<8xf32>) {
  ^bb0(%a: f32, %l: i64, %o: f32):
    %c = linalg.index 1 : index
    %i = arith.index_cast %c : index to i64
    %is = arith.cmpi eq, %i, %l : i64
    %p = arith.select %is, %a, %o : f32
    linalg.yield %p : f32
  } -> tensor<8xf32>
  %loss = linalg.generic {indexing_maps = [#vec, #vec, #vec, #one], iterator_types = ["reduction"]}
      ins(%most, %sum, %picked : tensor<8xf32>, tensor<8xf32>, tensor<8xf32>) outs(%zero : tensor<f32>) {
  ^bb0(%m: f32, %s: f32, %p: f32, %o: f32):
    %l = math.log %s : f32
    %a = arith.addf %l, %m : f32
    %b = arith.subf %a, %p : f32
    %c = arith.divf %b, %batch : f32
    %d = arith.addf %o, %c : f32
    linalg.yield %d : f32
  } -> tensor<f32>
  %correct = linalg.generic {indexing_maps = [#vec, #vec, #one], iterator_types = ["reduction"]}
      ins(%most, %picked : tensor<8xf32>, tensor<8xf32>) outs(%none : tensor<i64>) {
  ^bb0(%m: f32, %p: f32, %o: i64):
    %is = arith.cmpf oeq, %m, %p : f32
    %i = arith.extui %is : i1 to i64
    %s = arith.addi %o, %i : i64
    linalg.yield %s : i64
  } -> tensor<i64>
  %g = linalg.generic {indexing_maps = [#id, #row, #row, #row, #id], iterator_types = ["parallel", "parallel"]}
      ins(%z, %most, %sum, %labels : tensor<8x3xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xi64>)
      outs(%e8x3 : tensor<8x3xf32>) {
  ^bb0(%a: f32, %m: f32, %s: f32, %l: i64, %o: f32):
    %d = arith.subf %a, %m : f32
    %e = math.exp %d : f32
    %p = arith.divf %e, %s : f32
    %c = linalg.index 1 : index
    %i = arith.index_cast %c : index to i64
    %is = arith.cmpi eq, %i, %l : i64
    %h = arith.uitofp %is : i1 to f32
    %r = arith.subf %p, %h : f32
    %q = arith.divf %r, %batch : f32
    linalg.yield %q : f32
  } -> tensor<8x3xf32>
  return %loss, %correct, %g : tensor<f32>, tensor<i64>, tensor<8x3xf32>
}

func.func @train_step(%w: tensor<4x3xf32> {prune.name = "param:w"}, %mask: tensor<4x3xi1> {prune.name = "mask:w"},
                      %momentum: tensor<4x3xf32> {prune.name = "state:w:momentum"},
                      %step: tensor<i64> {prune.name = "step"}, %x: tensor<8x4xf32> {prune.name = "x"},
                      %labels: tensor<8xi64> {prune.name = "labels"})
    -> (tensor<4x3xf32> {prune.name = "param:w"}, tensor<4x3xf32> {prune.name = "state:w:momentum"},
        tensor<i64> {prune.name = "step"}, tensor<f32> {prune.name = "loss"}, tensor<i64> {prune.name = "correct"},
        tensor<f32> {prune.name = "learning_rate"}) {
  %z = call @logits(%w, %x) : (tensor<4x3xf32>, tensor<8x4xf32>) -> tensor<8x3xf32>
  %loss, %correct, %gz = call @loss(%z, %labels)
      : (tensor<8x3xf32>, tensor<8xi64>) -> (tensor<f32>, tensor<i64>, tensor<8x3xf32>)
  %zero = arith.constant dense<0.0> : tensor<4x3xf32>
  %e = tensor.empty() : tensor<4x3xf32>
  %g = linalg.contract indexing_maps = [#bf, #bc, #fc] ins(%x, %gz : tensor<8x4xf32>, tensor<8x3xf32>)
      outs(%zero : tensor<4x3xf32>) -> tensor<4x3xf32>
  %next:2 = linalg.generic {indexing_maps = [#id, #id, #id, #id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%w, %momentum, %g, %mask : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x3xi1>)
      outs(%e, %e : tensor<4x3xf32>, tensor<4x3xf32>) {
  ^bb0(%a: f32, %m: f32, %d: f32, %keep: i1, %o0: f32, %o1: f32):
    %c0 = arith.constant 0.0 : f32
    %beta = arith.constant 0.9 : f32
    %rate = arith.constant 0.05 : f32
    %m0 = arith.mulf %m, %beta : f32
    %m1 = arith.addf %m0, %d : f32
    %u = arith.mulf %m1, %rate : f32
    %a1 = arith.subf %a, %u : f32
    %a2 = arith.select %keep, %a1, %c0 : f32
    %m2 = arith.select %keep, %m1, %c0 : f32
    linalg.yield %a2, %m2 : f32, f32
  } -> (tensor<4x3xf32>, tensor<4x3xf32>)
  %one = arith.constant dense<1> : tensor<i64>
  %after = arith.addi %step, %one : tensor<i64>
  %rate = arith.constant dense<0.05> : tensor<f32>
  return %next#0, %next#1, %after, %loss, %correct, %rate
      : tensor<4x3xf32>, tensor<4x3xf32>, tensor<i64>, tensor<f32>, tensor<i64>, tensor<f32>
}

func.func @eval_step(%w: tensor<4x3xf32> {prune.name = "param:w"}, %x: tensor<8x4xf32> {prune.name = "x"},
                     %labels: tensor<8xi64> {prune.name = "labels"})
    -> (tensor<f32> {prune.name = "loss"}, tensor<i64> {prune.name = "correct"},
        tensor<8x3xf32> {prune.name = "y"}) {
  %z = call @logits(%w, %x) : (tensor<4x3xf32>, tensor<8x4xf32>) -> tensor<8x3xf32>
  %loss, %correct, %gz = call @loss(%z, %labels)
      : (tensor<8x3xf32>, tensor<8xi64>) -> (tensor<f32>, tensor<i64>, tensor<8x3xf32>)
  return %loss, %correct, %z : tensor<f32>, tensor<i64>, tensor<8x3xf32>
}

// Weights of at most 0.15 are pruned, at the steps 10, 20, and so on.
func.func @update_masks(%w: tensor<4x3xf32> {prune.name = "param:w"}, %mask: tensor<4x3xi1> {prune.name = "mask:w"},
                        %momentum: tensor<4x3xf32> {prune.name = "state:w:momentum"},
                        %step: tensor<i64> {prune.name = "step"})
    -> (tensor<4x3xf32> {prune.name = "param:w"}, tensor<4x3xi1> {prune.name = "mask:w"},
        tensor<4x3xf32> {prune.name = "state:w:momentum"}, tensor<f32> {prune.name = "sparsity"}) {
  %e = tensor.empty() : tensor<4x3xf32>
  %em = tensor.empty() : tensor<4x3xi1>
  %none = arith.constant dense<0.0> : tensor<f32>
  %next:3 = linalg.generic {indexing_maps = [#id, #id, #id, #id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%w, %momentum : tensor<4x3xf32>, tensor<4x3xf32>)
      outs(%e, %em, %e : tensor<4x3xf32>, tensor<4x3xi1>, tensor<4x3xf32>) {
  ^bb0(%a: f32, %m: f32, %o0: f32, %o1: i1, %o2: f32):
    %c0 = arith.constant 0.0 : f32
    %limit = arith.constant 0.15 : f32
    %abs = math.absf %a : f32
    %keep = arith.cmpf ogt, %abs, %limit : f32
    %a1 = arith.select %keep, %a, %c0 : f32
    %m1 = arith.select %keep, %m, %c0 : f32
    linalg.yield %a1, %keep, %m1 : f32, i1, f32
  } -> (tensor<4x3xf32>, tensor<4x3xi1>, tensor<4x3xf32>)
  %sparsity = linalg.generic {indexing_maps = [#id, #all], iterator_types = ["reduction", "reduction"]}
      ins(%next#1 : tensor<4x3xi1>) outs(%none : tensor<f32>) {
  ^bb0(%keep: i1, %o: f32):
    %c0 = arith.constant 0.0 : f32
    %c = arith.constant 0.083333333 : f32
    %d = arith.select %keep, %c0, %c : f32
    %s = arith.addf %o, %d : f32
    linalg.yield %s : f32
  } -> tensor<f32>
  return %next#0, %next#1, %next#2, %sparsity : tensor<4x3xf32>, tensor<4x3xi1>, tensor<4x3xf32>, tensor<f32>
}

func.func @schedule(%step: tensor<i64> {prune.name = "step"})
    -> (tensor<f32> {prune.name = "sparsity"}, tensor<i1> {prune.name = "update"},
        tensor<f32> {prune.name = "learning_rate"}) {
  %sparsity = arith.constant dense<0.5> : tensor<f32>
  %rate = arith.constant dense<0.05> : tensor<f32>
  %ten = arith.constant dense<10> : tensor<i64>
  %zero = arith.constant dense<0> : tensor<i64>
  %rest = arith.remsi %step, %ten : tensor<i64>
  %tenth = arith.cmpi eq, %rest, %zero : tensor<i64>
  %later = arith.cmpi sgt, %step, %zero : tensor<i64>
  %update = arith.andi %tenth, %later : tensor<i1>
  return %sparsity, %update, %rate : tensor<f32>, tensor<i1>, tensor<f32>
}
