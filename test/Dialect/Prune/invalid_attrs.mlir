// Parameters of patterns and criteria that make no sense, by the label of the constraint in PruneAttrs.td.
// RUN: prune-opt %s --split-input-file --verify-diagnostics

// expected-error @+1 {{expected 0 < n <= m in an n:m pattern, got 3:2}}
module attributes {n_of_m_c1 = #prune.n_of_m<3, 2>} {}

// -----

// expected-error @+1 {{expected 0 < n <= m in an n:m pattern, got 0:4}}
module attributes {n_of_m_c1 = #prune.n_of_m<0, 4>} {}

// -----

// expected-error @+1 {{expected 0 < n <= m <= 8 in a transposable n:m pattern, got 0:4}}
module attributes {transposable_c1 = #prune.transposable<0, 4>} {}

// -----

// expected-error @+1 {{expected 0 < n <= m <= 8 in a transposable n:m pattern, got 5:4}}
module attributes {transposable_c1 = #prune.transposable<5, 4>} {}

// -----

// expected-error @+1 {{expected 0 < n <= m <= 8 in a transposable n:m pattern, got 4:16}}
module attributes {transposable_c1 = #prune.transposable<4, 16>} {}

// -----

// expected-error @+1 {{expected v > 0 and 0 < n <= 4 <= m in a v:n:m pattern, got 0:2:8}}
module attributes {v_n_m_c1 = #prune.v_n_m<0, 2, 8>} {}

// -----

// expected-error @+1 {{expected v > 0 and 0 < n <= 4 <= m in a v:n:m pattern, got 64:0:8}}
module attributes {v_n_m_c1 = #prune.v_n_m<64, 0, 8>} {}

// -----

// expected-error @+1 {{expected v > 0 and 0 < n <= 4 <= m in a v:n:m pattern, got 64:5:8}}
module attributes {v_n_m_c1 = #prune.v_n_m<64, 5, 8>} {}

// -----

// expected-error @+1 {{expected v > 0 and 0 < n <= 4 <= m in a v:n:m pattern, got 64:2:3}}
module attributes {v_n_m_c1 = #prune.v_n_m<64, 2, 3>} {}

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

// -----

// expected-error @+1 {{expected a schedule to begin at step 0 or later, got -1}}
module attributes {schedule_c1 = #prune.schedule<cosine, begin = -1, end = 5>} {}

// -----

// expected-error @+1 {{expected a schedule to end at or after its begin 10, got 9}}
module attributes {schedule_c1 = #prune.schedule<cosine, begin = 10, end = 9>} {}

// -----

// expected-error @+1 {{expected 1 or more steps between two updates of masks, got 0}}
module attributes {schedule_c2 = #prune.schedule<cosine, end = 9, every = 0>} {}

// -----

// expected-error @+1 {{expected an initial sparsity in [0, 1), got 1}}
module attributes {schedule_c3 = #prune.schedule<cosine, end = 9, initial = 1>} {}

// -----

// expected-error @+1 {{expected an initial sparsity in [0, 1), got -0.5}}
module attributes {schedule_c3 = #prune.schedule<cosine, end = 9, initial = -0.5>} {}

// -----

// expected-error @+1 {{expected no initial sparsity in a constant schedule, got 0.5}}
module attributes {schedule_c3 = #prune.schedule<constant, initial = 0.5>} {}

// -----

// expected-error @+1 {{expected a positive power, got 0}}
module attributes {schedule_c4 = #prune.schedule<polynomial, end = 9, power = 0>} {}

// -----

// expected-error @+1 {{expected a power in a polynomial schedule only, got 2 in a cosine one}}
module attributes {schedule_c4 = #prune.schedule<cosine, end = 9, power = 2>} {}

// -----

// expected-error @+1 {{expected milestones in a multi_step schedule and in no other, got 0 in a multi_step one}}
module attributes {schedule_c5 = #prune.schedule<multi_step, end = 9>} {}

// -----

// expected-error @+1 {{expected milestones in a multi_step schedule and in no other, got 1 in a cosine one}}
module attributes {schedule_c5 = #prune.schedule<cosine, end = 9, milestones = [9]>} {}

// -----

// expected-error @+1 {{expected milestones that rise from 2 to at most 9, got 1}}
module attributes {schedule_c5 = #prune.schedule<multi_step, begin = 2, end = 9, every = 1, milestones = [1]>} {}

// -----

// expected-error @+1 {{expected milestones that rise from 0 to at most 9, got 4 after 4}}
module attributes {schedule_c5 = #prune.schedule<multi_step, end = 9, every = 1, milestones = [4, 4]>} {}

// -----

// expected-error @+1 {{expected milestones that rise from 0 to at most 9, got 10 after 4}}
module attributes {schedule_c5 = #prune.schedule<multi_step, end = 9, every = 1, milestones = [4, 10]>} {}

// -----

// expected-error @+1 {{expected milestones at which masks are updated, every 4 steps from 1, got 6}}
module attributes {schedule_c5 = #prune.schedule<multi_step, begin = 1, end = 9, every = 4, milestones = [5, 6]>} {}

// -----

// expected-error @+1 {{expected constant, polynomial, exponential, cosine, multi_step or geometric, got cubic}}
module attributes {kind = #prune.schedule<cubic>} {}

// -----

// expected-error @+1 {{expected begin, end, every, initial, power or milestones, got until}}
module attributes {key = #prune.schedule<cosine, until = 9>} {}

// -----

// expected-error @+1 {{expected begin, end, every, initial, power or milestones once, got end twice}}
module attributes {key = #prune.schedule<cosine, end = 9, end = 9>} {}

// -----

// expected-error @+1 {{expected a positive rate of movement, got 0}}
module attributes {movement_c1 = #prune.movement<rate = 0>} {}

// -----

// expected-error @+1 {{expected a positive rate of movement, got -1}}
module attributes {soft_movement_c1 = #prune.soft_movement<rate = -1>} {}

// -----

// expected-error @+1 {{expected a penalty of 0 or more of soft movement, got -0.1}}
module attributes {soft_movement_c2 = #prune.soft_movement<penalty = -0.1>} {}

// -----

// expected-error @+1 {{expected rate or penalty, got speed}}
module attributes {key = #prune.soft_movement<speed = 1>} {}

// -----

// expected-error @+1 {{expected rate or penalty once, got rate twice}}
module attributes {key = #prune.soft_movement<rate = 1, rate = 2>} {}

// -----

// expected-error @+1 {{expected a positive damping of obs, got 0}}
module attributes {obs_c1 = #prune.obs<damping = 0>} {}
