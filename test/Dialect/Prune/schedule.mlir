// Schedules and criteria with numbers print what differs from the defaults, in one order, and nothing else.
// RUN: prune-opt %s | prune-opt | FileCheck %s
// RUN: prune-opt %s --mlir-print-op-generic | prune-opt | FileCheck %s
// RUN: prune-opt %s --emit-bytecode | prune-opt | FileCheck %s

// CHECK-DAG: prune.constant = #prune.schedule<constant>
// CHECK-DAG: prune.cubic = #prune.schedule<polynomial, begin = 200, end = 1200>
// CHECK-DAG: prune.linear = #prune.schedule<polynomial, end = 1000, every = 10, initial = 2.500000e-01, power = 1.000000e+00>
// CHECK-DAG: prune.steps = #prune.schedule<multi_step, begin = 100, end = 300, milestones = [100, 200, 300]>
// CHECK-DAG: prune.once = #prune.schedule<cosine, begin = 7>
// CHECK-DAG: prune.rounds = #prune.schedule<geometric, end = 5, every = 2>
// CHECK-DAG: prune.slow = #prune.movement<rate = 1.000000e-02>
// CHECK-DAG: prune.plain = #prune.movement{{[,} ]}}
// CHECK-DAG: prune.soft = #prune.soft_movement{{[,} ]}}
// CHECK-DAG: prune.drawn = #prune.soft_movement<penalty = 1.000000e-03>
// CHECK-DAG: prune.both = #prune.soft_movement<rate = 5.000000e-01, penalty = 1.000000e-03>
// CHECK-DAG: prune.surgeon = #prune.obs{{[,} ]}}
// CHECK-DAG: prune.damped = #prune.obs<damping = 1.000000e-02>
module attributes {
  prune.constant = #prune.schedule<constant, begin = 0, every = 100, power = 3, initial = 0>,
  prune.cubic = #prune.schedule<polynomial, every = 100, end = 1200, begin = 200>,
  prune.linear = #prune.schedule<polynomial, end = 1000, every = 10, power = 1, initial = 0.25>,
  prune.steps = #prune.schedule<multi_step, begin = 100, end = 300, milestones = [100, 200, 300]>,
  prune.once = #prune.schedule<cosine, begin = 7, end = 7>,
  prune.rounds = #prune.schedule<geometric, end = 5, every = 2>,
  prune.slow = #prune.movement<rate = 0.01>,
  prune.plain = #prune.movement<rate = 1>,
  prune.soft = #prune.soft_movement,
  prune.drawn = #prune.soft_movement<penalty = 0.001>,
  prune.both = #prune.soft_movement<penalty = 0.001, rate = 0.5>,
  prune.surgeon = #prune.obs<damping = 1.0e-7>,
  prune.damped = #prune.obs<damping = 0.01>
} {}
