// A report that cannot be written is an error with its file name.
// RUN: not prune-opt %s --prune-identify="table=none json=%t.none/report.json" 2>&1 | FileCheck %s
// CHECK: error: cannot write report '{{.*}}report.json'
module {}
