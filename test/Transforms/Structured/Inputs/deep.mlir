#x = affine_map<(m, n, k) -> (m, k)>
#w = affine_map<(m, n, k) -> (n, k)>
#y = affine_map<(m, n, k) -> (m, n)>
// Scores of the neurons rise with their index: steeply in fc1, hardly in fc2, evenly in fc3. fc1 and fc2 have the same
// shapes.
func.func @main(%x: tensor<1x8xf32>) -> tensor<1x2xf32> {
  %zero = arith.constant 0.0 : f32
  %fc1 = arith.constant dense<[[1., 1., 1., 1., 1., 1., 1., 1.], [8., 8., 8., 8., 8., 8., 8., 8.], [27., 27., 27., 27., 27., 27., 27., 27.], [64., 64., 64., 64., 64., 64., 64., 64.], [125., 125., 125., 125., 125., 125., 125., 125.], [216., 216., 216., 216., 216., 216., 216., 216.], [343., 343., 343., 343., 343., 343., 343., 343.], [512., 512., 512., 512., 512., 512., 512., 512.]]> : tensor<8x8xf32> loc("fc1")
  %fc2 = arith.constant dense<[[100., 800., 2700., 6400., 12500., 21600., 34300., 51200.], [101., 808., 2727., 6464., 12625., 21816., 34643., 51712.], [102., 816., 2754., 6528., 12750., 22032., 34986., 52224.], [103., 824., 2781., 6592., 12875., 22248., 35329., 52736.], [104., 832., 2808., 6656., 13000., 22464., 35672., 53248.], [105., 840., 2835., 6720., 13125., 22680., 36015., 53760.], [106., 848., 2862., 6784., 13250., 22896., 36358., 54272.], [107., 856., 2889., 6848., 13375., 23112., 36701., 54784.]]> : tensor<8x8xf32> loc("fc2")
  %fc3 = arith.constant dense<[[100., 101., 102., 103., 104., 105., 106., 107.], [200., 202., 204., 206., 208., 210., 212., 214.], [300., 303., 306., 309., 312., 315., 318., 321.], [400., 404., 408., 412., 416., 420., 424., 428.], [500., 505., 510., 515., 520., 525., 530., 535.], [600., 606., 612., 618., 624., 630., 636., 642.], [700., 707., 714., 721., 728., 735., 742., 749.], [800., 808., 816., 824., 832., 840., 848., 856.]]> : tensor<8x8xf32> loc("fc3")
  %fc4 = arith.constant dense<[[1., 2., 3., 4., 5., 6., 7., 8.], [1., 2., 3., 4., 5., 6., 7., 8.]]> : tensor<2x8xf32> loc("fc4")
  %e1 = tensor.empty() : tensor<1x8xf32>
  %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<1x8xf32>) -> tensor<1x8xf32>
  %h1 = linalg.contract indexing_maps = [#x, #w, #y] ins(%x, %fc1 : tensor<1x8xf32>, tensor<8x8xf32>) outs(%f1 : tensor<1x8xf32>) -> tensor<1x8xf32>
  %e2 = tensor.empty() : tensor<1x8xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<1x8xf32>) -> tensor<1x8xf32>
  %h2 = linalg.contract indexing_maps = [#x, #w, #y] ins(%h1, %fc2 : tensor<1x8xf32>, tensor<8x8xf32>) outs(%f2 : tensor<1x8xf32>) -> tensor<1x8xf32>
  %e3 = tensor.empty() : tensor<1x8xf32>
  %f3 = linalg.fill ins(%zero : f32) outs(%e3 : tensor<1x8xf32>) -> tensor<1x8xf32>
  %h3 = linalg.contract indexing_maps = [#x, #w, #y] ins(%h2, %fc3 : tensor<1x8xf32>, tensor<8x8xf32>) outs(%f3 : tensor<1x8xf32>) -> tensor<1x8xf32>
  %e4 = tensor.empty() : tensor<1x2xf32>
  %f4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<1x2xf32>) -> tensor<1x2xf32>
  %h4 = linalg.contract indexing_maps = [#x, #w, #y] ins(%h3, %fc4 : tensor<1x8xf32>, tensor<2x8xf32>) outs(%f4 : tensor<1x2xf32>) -> tensor<1x2xf32>
  return %h4 : tensor<1x2xf32>
}
