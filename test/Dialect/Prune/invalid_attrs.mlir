// Parameters of patterns and criteria that make no sense, by the label of the constraint in PruneAttrs.td.
// RUN: prune-opt %s --split-input-file --verify-diagnostics

// expected-error @+1 {{expected 0 < n <= m in an n:m pattern, got 3:2}}
module attributes {n_of_m_c1 = #prune.n_of_m<3, 2>} {}

// -----

// expected-error @+1 {{expected 0 < n <= m in an n:m pattern, got 0:4}}
module attributes {n_of_m_c1 = #prune.n_of_m<0, 4>} {}

// -----

// expected-error @+1 {{expected a block of at least 1x1, got 4x0}}
module attributes {block_c1 = #prune.block<4, 0>} {}

// -----

// expected-error @+1 {{expected a dimension of 0 or more in a slice pattern, got -1}}
module attributes {slice_c1 = #prune.slice<dim = -1>} {}

// -----

// expected-error @+1 {{expected a group of 1 or more in a slice pattern, got 0}}
module attributes {slice_c1 = #prune.slice<dim = 0, group = 0>} {}

// -----

// expected-error @+2 {{expected ::mlir::prune::Norm to be one of: l1, l2, linf}}
// expected-error @+1 {{failed to parse}}
module attributes {norm = #prune.magnitude<l3>} {}
