// MaskLibrary.mlir - Masks decided at run time: the functions that convert-prune-to-loops calls.
//
// The contract is that of Masking/Selection.h and LayerSplit.h, bit for bit. All functions work on flat arrays:
//
//   keys    i32 for each unit, unsigned: orders as the scores do (getScoreKey in Scoring.h); NaN is the largest
//   states  i8 for each unit: 0 pruned, 1 candidate, 2 kept whatever its key
//   bounds  where the units of each weight begin among those of all weights, and the end of the last
//   least   how many units each weight keeps at least
//
// A cut is a key and a place: candidates with larger keys live, and those with an equal key up to that place.

// What orders as |score| does, or as the score if `signed`.
func.func private @prune_key(%score: f32, %signed: i1) -> i32 attributes {passthrough = ["alwaysinline"]} {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %all = arith.constant -1 : i32
  %sign = arith.constant 0x80000000 : i32
  %bits = arith.bitcast %score : f32 to i32
  %magnitude = arith.shli %bits, %one : i32
  %is_zero = arith.cmpi eq, %magnitude, %zero : i32
  %number = arith.select %is_zero, %zero, %bits : i32
  %is_negative = arith.cmpi slt, %number, %zero : i32
  %flipped = arith.xori %number, %all : i32
  %raised = arith.ori %number, %sign : i32
  %ordered = arith.select %is_negative, %flipped, %raised : i32
  %key = arith.select %signed, %ordered, %magnitude : i32
  %is_nan = arith.cmpf uno, %score, %score : f32
  %result = arith.select %is_nan, %all, %key : i32
  return %result : i32
}

// Whether the unit at `place` lives.
func.func private @prune_lives(%state: i8, %key: i32, %place: index, %cut: i64, %last: index) -> i1
    attributes {passthrough = ["alwaysinline"]} {
  %candidate = arith.constant 1 : i8
  %kept = arith.constant 2 : i8
  %wide = arith.extui %key : i32 to i64
  %above = arith.cmpi sgt, %wide, %cut : i64
  %equal = arith.cmpi eq, %wide, %cut : i64
  %early = arith.cmpi sle, %place, %last : index
  %tie = arith.andi %equal, %early : i1
  %good = arith.ori %above, %tie : i1
  %is_candidate = arith.cmpi eq, %state, %candidate : i8
  %is_kept = arith.cmpi eq, %state, %kept : i8
  %wins = arith.andi %is_candidate, %good : i1
  %lives = arith.ori %is_kept, %wins : i1
  return %lives : i1
}

//===--------------------------------------------------------------------------------------------------------------===//
// From elements to units and back
//===--------------------------------------------------------------------------------------------------------------===//

// Keys of units of one element.
func.func private @prune_write_keys(%scores: memref<?xf32>, %signed: i1, %keys: memref<?xi32>, %offset: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %size = memref.dim %scores, %c0 : memref<?xf32>
  scf.for %i = %c0 to %size step %c1 {
    %score = memref.load %scores[%i] : memref<?xf32>
    %key = func.call @prune_key(%score, %signed) : (f32, i1) -> i32
    %unit = arith.addi %offset, %i : index
    memref.store %key, %keys[%unit] : memref<?xi32>
  }
  return
}

// Keys of boxes of `b0 x b1 x b2` elements in an array of `n0 x n1 x n2`. `kind` 0: the mean of the elements, 1: the root
// mean square, 2: the largest. Sums are f64 in row-major order within each box.
func.func private @prune_write_box_keys(%scores: memref<?xf32>, %signed: i1, %kind: index,
                                        %n0: index, %n1: index, %n2: index, %b0: index, %b1: index, %b2: index,
                                        %keys: memref<?xi32>, %offset: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %zero = arith.constant 0.0 : f64
  %lowest = arith.constant 0xFFF0000000000000 : f64
  %least = arith.select %signed, %lowest, %zero : f64
  %is_square = arith.cmpi eq, %kind, %c1 : index
  %is_largest = arith.cmpi eq, %kind, %c2 : index
  %end = scf.for %i0 = %c0 to %n0 step %b0 iter_args(%unit0 = %offset) -> (index) {
    %far0 = arith.addi %i0, %b0 : index
    %e0 = arith.minsi %far0, %n0 : index
    %end0 = scf.for %i1 = %c0 to %n1 step %b1 iter_args(%unit1 = %unit0) -> (index) {
      %far1 = arith.addi %i1, %b1 : index
      %e1 = arith.minsi %far1, %n1 : index
      %end1 = scf.for %i2 = %c0 to %n2 step %b2 iter_args(%unit = %unit1) -> (index) {
        %far2 = arith.addi %i2, %b2 : index
        %e2 = arith.minsi %far2, %n2 : index
        %sum, %most = scf.for %j0 = %i0 to %e0 step %c1 iter_args(%s0 = %zero, %m0 = %least) -> (f64, f64) {
          %plane = arith.muli %j0, %n1 : index
          %s1, %m1 = scf.for %j1 = %i1 to %e1 step %c1 iter_args(%s2 = %s0, %m2 = %m0) -> (f64, f64) {
            %row = arith.addi %plane, %j1 : index
            %begin = arith.muli %row, %n2 : index
            %s3, %m3 = scf.for %j2 = %i2 to %e2 step %c1 iter_args(%s = %s2, %m = %m2) -> (f64, f64) {
              %place = arith.addi %begin, %j2 : index
              %score = memref.load %scores[%place] : memref<?xf32>
              %number = arith.extf %score : f32 to f64
              %magnitude = math.absf %number : f64
              %value = arith.select %signed, %number, %magnitude : f64
              %square = arith.mulf %value, %value : f64
              %term = arith.select %is_square, %square, %value : f64
              %s4 = arith.addf %s, %term : f64
              %m4 = arith.maximumf %m, %value : f64
              scf.yield %s4, %m4 : f64, f64
            }
            scf.yield %s3, %m3 : f64, f64
          }
          scf.yield %s1, %m1 : f64, f64
        }
        %d0 = arith.subi %e0, %i0 : index
        %d1 = arith.subi %e1, %i1 : index
        %d2 = arith.subi %e2, %i2 : index
        %area = arith.muli %d0, %d1 : index
        %volume = arith.muli %area, %d2 : index
        %volume64 = arith.index_cast %volume : index to i64
        %count = arith.sitofp %volume64 : i64 to f64
        %mean = arith.divf %sum, %count : f64
        %root = math.sqrt %mean : f64
        %average = arith.select %is_square, %root, %mean : f64
        %worth = arith.select %is_largest, %most, %average : f64
        %rounded = arith.truncf %worth : f64 to f32
        %key = func.call @prune_key(%rounded, %signed) : (f32, i1) -> i32
        memref.store %key, %keys[%unit] : memref<?xi32>
        %next = arith.addi %unit, %c1 : index
        scf.yield %next : index
      }
      scf.yield %end1 : index
    }
    scf.yield %end0 : index
  }
  return
}

// Writes the mask of one weight: each box is kept if its unit lives under the cut.
func.func private @prune_write_mask(%keys: memref<?xi32>, %states: memref<?xi8>, %cut: i64, %last: index, %offset: index,
                                    %n0: index, %n1: index, %n2: index, %b0: index, %b1: index, %b2: index,
                                    %mask: memref<?xi1>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %end = scf.for %i0 = %c0 to %n0 step %b0 iter_args(%unit0 = %offset) -> (index) {
    %far0 = arith.addi %i0, %b0 : index
    %e0 = arith.minsi %far0, %n0 : index
    %end0 = scf.for %i1 = %c0 to %n1 step %b1 iter_args(%unit1 = %unit0) -> (index) {
      %far1 = arith.addi %i1, %b1 : index
      %e1 = arith.minsi %far1, %n1 : index
      %end1 = scf.for %i2 = %c0 to %n2 step %b2 iter_args(%unit = %unit1) -> (index) {
        %far2 = arith.addi %i2, %b2 : index
        %e2 = arith.minsi %far2, %n2 : index
        %key = memref.load %keys[%unit] : memref<?xi32>
        %state = memref.load %states[%unit] : memref<?xi8>
        %lives = func.call @prune_lives(%state, %key, %unit, %cut, %last) : (i8, i32, index, i64, index) -> i1
        scf.for %j0 = %i0 to %e0 step %c1 {
          %plane = arith.muli %j0, %n1 : index
          scf.for %j1 = %i1 to %e1 step %c1 {
            %row = arith.addi %plane, %j1 : index
            %begin = arith.muli %row, %n2 : index
            scf.for %j2 = %i2 to %e2 step %c1 {
              %place = arith.addi %begin, %j2 : index
              memref.store %lives, %mask[%place] : memref<?xi1>
            }
          }
        }
        %next = arith.addi %unit, %c1 : index
        scf.yield %next : index
      }
      scf.yield %end1 : index
    }
    scf.yield %end0 : index
  }
  return
}

// Makes the units that a mask keeps candidates and prunes the others; gives the number of candidates. The first element
// of a box speaks for all.
func.func private @prune_read_mask(%mask: memref<?xi1>, %n0: index, %n1: index, %n2: index,
                                   %b0: index, %b1: index, %b2: index, %states: memref<?xi8>) -> index {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %end, %total = scf.for %i0 = %c0 to %n0 step %b0 iter_args(%unit0 = %c0, %k0 = %c0) -> (index, index) {
    %plane = arith.muli %i0, %n1 : index
    %end0, %t0 = scf.for %i1 = %c0 to %n1 step %b1 iter_args(%unit1 = %unit0, %k1 = %k0) -> (index, index) {
      %row = arith.addi %plane, %i1 : index
      %begin = arith.muli %row, %n2 : index
      %end1, %t1 = scf.for %i2 = %c0 to %n2 step %b2 iter_args(%unit = %unit1, %kept = %k1) -> (index, index) {
        %place = arith.addi %begin, %i2 : index
        %keep = memref.load %mask[%place] : memref<?xi1>
        %state = arith.extui %keep : i1 to i8
        memref.store %state, %states[%unit] : memref<?xi8>
        %more = arith.index_castui %keep : i1 to index
        %next_kept = arith.addi %kept, %more : index
        %next = arith.addi %unit, %c1 : index
        scf.yield %next, %next_kept : index, index
      }
      scf.yield %end1, %t1 : index, index
    }
    scf.yield %end0, %t0 : index, index
  }
  return %total : index
}

// Makes all units candidates.
func.func private @prune_open(%states: memref<?xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %candidate = arith.constant 1 : i8
  %size = memref.dim %states, %c0 : memref<?xi8>
  scf.for %i = %c0 to %size step %c1 {
    memref.store %candidate, %states[%i] : memref<?xi8>
  }
  return
}

// Makes all units candidates that are not kept.
func.func private @prune_reopen(%states: memref<?xi8>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %candidate = arith.constant 1 : i8
  %size = memref.dim %states, %c0 : memref<?xi8>
  scf.for %i = %c0 to %size step %c1 {
    %state = memref.load %states[%i] : memref<?xi8>
    %next = arith.maxui %state, %candidate : i8
    memref.store %next, %states[%i] : memref<?xi8>
  }
  return
}

// Keeps at most `n` of `m` consecutive units of each row: prunes those that lose to n others of their group.
func.func private @prune_constrain(%keys: memref<?xi32>, %states: memref<?xi8>, %offset: index, %rows: index,
                                   %columns: index, %n: index, %m: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %pruned = arith.constant 0 : i8
  scf.for %row = %c0 to %rows step %c1 {
    %skipped = arith.muli %row, %columns : index
    %base = arith.addi %offset, %skipped : index
    scf.for %group = %c0 to %columns step %m {
      %far = arith.addi %group, %m : index
      %stop = arith.minsi %far, %columns : index
      %begin = arith.addi %base, %group : index
      %end = arith.addi %base, %stop : index
      scf.for %i = %begin to %end step %c1 {
        %key = memref.load %keys[%i] : memref<?xi32>
        %better = scf.for %j = %begin to %end step %c1 iter_args(%count = %c0) -> (index) {
          %other = memref.load %keys[%j] : memref<?xi32>
          %larger = arith.cmpi ugt, %other, %key : i32
          %equal = arith.cmpi eq, %other, %key : i32
          %before = arith.cmpi slt, %j, %i : index
          %tie = arith.andi %equal, %before : i1
          %wins = arith.ori %larger, %tie : i1
          %more = arith.index_castui %wins : i1 to index
          %next = arith.addi %count, %more : index
          scf.yield %next : index
        }
        %loses = arith.cmpi sge, %better, %n : index
        scf.if %loses {
          memref.store %pruned, %states[%i] : memref<?xi8>
        }
      }
    }
  }
  return
}

//===--------------------------------------------------------------------------------------------------------------===//
// Ranking
//===--------------------------------------------------------------------------------------------------------------===//

// Of `count` units the share `share`, rounded half to even. The share counts as 0 if it is less or NaN, as 1 if more.
func.func private @prune_count_share(%share: f64, %count: index) -> index {
  %zero = arith.constant 0.0 : f64
  %half = arith.constant 0.5 : f64
  %one = arith.constant 1.0 : f64
  %i1 = arith.constant 1 : i64
  %i0 = arith.constant 0 : i64
  %is_positive = arith.cmpf ogt, %share, %zero : f64
  %is_below = arith.cmpf olt, %share, %one : f64
  %capped = arith.select %is_below, %share, %one : f64
  %clamped = arith.select %is_positive, %capped, %zero : f64
  %count64 = arith.index_cast %count : index to i64
  %total = arith.sitofp %count64 : i64 to f64
  %exact = arith.mulf %clamped, %total : f64
  %below = arith.fptosi %exact : f64 to i64
  %floor = arith.sitofp %below : i64 to f64
  %rest = arith.subf %exact, %floor : f64
  %is_more = arith.cmpf ogt, %rest, %half : f64
  %is_half = arith.cmpf oeq, %rest, %half : f64
  %bit = arith.andi %below, %i1 : i64
  %is_odd = arith.cmpi ne, %bit, %i0 : i64
  %to_even = arith.andi %is_half, %is_odd : i1
  %is_up = arith.ori %is_more, %to_even : i1
  %up = arith.extui %is_up : i1 to i64
  %rounded = arith.addi %below, %up : i64
  %result = arith.index_cast %rounded : i64 to index
  return %result : index
}

// How many units of [begin, end) are not pruned.
func.func private @prune_count_open(%states: memref<?xi8>, %begin: index, %end: index) -> index {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %pruned = arith.constant 0 : i8
  %total = scf.for %i = %begin to %end step %c1 iter_args(%count = %c0) -> (index) {
    %state = memref.load %states[%i] : memref<?xi8>
    %is_open = arith.cmpi ne, %state, %pruned : i8
    %more = arith.index_castui %is_open : i1 to index
    %next = arith.addi %count, %more : index
    scf.yield %next : index
  }
  return %total : index
}

// How many units of [begin, end) live under a cut.
func.func private @prune_count_living(%keys: memref<?xi32>, %states: memref<?xi8>, %begin: index, %end: index,
                                      %cut: i64, %last: index) -> index {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %total = scf.for %i = %begin to %end step %c1 iter_args(%count = %c0) -> (index) {
    %key = memref.load %keys[%i] : memref<?xi32>
    %state = memref.load %states[%i] : memref<?xi8>
    %lives = func.call @prune_lives(%state, %key, %i, %cut, %last) : (i8, i32, index, i64, index) -> i1
    %more = arith.index_castui %lives : i1 to index
    %next = arith.addi %count, %more : index
    scf.yield %next : index
  }
  return %total : index
}

// The cut that keeps the best `keep` candidates of [begin, end), which has as many. The key is found 12, 12 and 8 bits at a
// time from histograms, then the place by counting equal keys.
func.func private @prune_find_cut(%keys: memref<?xi32>, %states: memref<?xi8>, %begin: index, %end: index, %keep: index)
    -> (i64, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %size = arith.constant 4096 : index
  %none = arith.constant -1 : index
  %candidate = arith.constant 1 : i8
  %i0 = arith.constant 0 : i64
  %i1 = arith.constant 1 : i64
  %i8 = arith.constant 8 : i64
  %i12 = arith.constant 12 : i64
  %i20 = arith.constant 20 : i64
  %beyond = arith.constant 0x100000000 : i64
  %keeps_any = arith.cmpi sgt, %keep, %c0 : index
  %cut, %last = scf.if %keeps_any -> (i64, index) {
    %counts = memref.alloca() : memref<4096xindex>
    %key, %ties = scf.for %level = %c0 to %c3 step %c1 iter_args(%prefix = %i0, %rest = %keep) -> (i64, index) {
      %is_first = arith.cmpi eq, %level, %c0 : index
      %is_last = arith.cmpi eq, %level, %c2 : index
      %bits = arith.select %is_last, %i8, %i12 : i64
      %low = arith.select %is_last, %i0, %i8 : i64
      %shift = arith.select %is_first, %i20, %low : i64
      %above = arith.addi %shift, %bits : i64
      %buckets = arith.shli %i1, %bits : i64
      %digits = arith.subi %buckets, %i1 : i64
      scf.for %i = %c0 to %size step %c1 {
        memref.store %c0, %counts[%i] : memref<4096xindex>
      }
      scf.for %i = %begin to %end step %c1 {
        %narrow = memref.load %keys[%i] : memref<?xi32>
        %wide = arith.extui %narrow : i32 to i64
        %head = arith.shrui %wide, %above : i64
        %matches = arith.cmpi eq, %head, %prefix : i64
        %state = memref.load %states[%i] : memref<?xi8>
        %is_candidate = arith.cmpi eq, %state, %candidate : i8
        %counts_here = arith.andi %matches, %is_candidate : i1
        scf.if %counts_here {
          %shifted = arith.shrui %wide, %shift : i64
          %digit = arith.andi %shifted, %digits : i64
          %bucket = arith.index_cast %digit : i64 to index
          %count = memref.load %counts[%bucket] : memref<4096xindex>
          %more = arith.addi %count, %c1 : index
          memref.store %more, %counts[%bucket] : memref<4096xindex>
        }
      }
      // From the largest digit down to the one in which `rest` runs out.
      %top = arith.index_cast %digits : i64 to index
      %found, %left = scf.while (%bucket = %top, %wanted = %rest) : (index, index) -> (index, index) {
        %count = memref.load %counts[%bucket] : memref<4096xindex>
        %is_short = arith.cmpi slt, %count, %wanted : index
        scf.condition(%is_short) %bucket, %wanted : index, index
      } do {
      ^bb0(%bucket: index, %wanted: index):
        %count = memref.load %counts[%bucket] : memref<4096xindex>
        %fewer = arith.subi %wanted, %count : index
        %next = arith.subi %bucket, %c1 : index
        scf.yield %next, %fewer : index, index
      }
      %moved = arith.shli %prefix, %bits : i64
      %digit = arith.index_cast %found : index to i64
      %longer = arith.ori %moved, %digit : i64
      scf.yield %longer, %left : i64, index
    }
    %before = arith.subi %begin, %c1 : index
    %place, %missing = scf.while (%i = %before, %wanted = %ties) : (index, index) -> (index, index) {
      %goes_on = arith.cmpi sgt, %wanted, %c0 : index
      scf.condition(%goes_on) %i, %wanted : index, index
    } do {
    ^bb0(%i: index, %wanted: index):
      %next = arith.addi %i, %c1 : index
      %narrow = memref.load %keys[%next] : memref<?xi32>
      %wide = arith.extui %narrow : i32 to i64
      %equal = arith.cmpi eq, %wide, %key : i64
      %state = memref.load %states[%next] : memref<?xi8>
      %is_candidate = arith.cmpi eq, %state, %candidate : i8
      %counts_here = arith.andi %equal, %is_candidate : i1
      %one = arith.index_castui %counts_here : i1 to index
      %fewer = arith.subi %wanted, %one : index
      scf.yield %next, %fewer : index, index
    }
    scf.yield %key, %place : i64, index
  } else {
    scf.yield %beyond, %none : i64, index
  }
  return %cut, %last : i64, index
}

// Keeps the units of [begin, end) that live under a cut whatever comes.
func.func private @prune_settle(%keys: memref<?xi32>, %states: memref<?xi8>, %begin: index, %end: index, %cut: i64,
                                %last: index) {
  %c1 = arith.constant 1 : index
  %candidate = arith.constant 1 : i8
  %kept = arith.constant 2 : i8
  scf.for %i = %begin to %end step %c1 {
    %key = memref.load %keys[%i] : memref<?xi32>
    %state = memref.load %states[%i] : memref<?xi8>
    %lives = func.call @prune_lives(%state, %key, %i, %cut, %last) : (i8, i32, index, i64, index) -> i1
    %next = arith.select %lives, %kept, %state : i8
    memref.store %next, %states[%i] : memref<?xi8>
  }
  return
}

// The number of candidates that are kept at a sparsity: what it leaves of all units, at most all candidates.
func.func private @prune_budget(%states: memref<?xi8>, %sparsity: f64) -> index {
  %c0 = arith.constant 0 : index
  %size = memref.dim %states, %c0 : memref<?xi8>
  %pruned = func.call @prune_count_share(%sparsity, %size) : (f64, index) -> index
  %left = arith.subi %size, %pruned : index
  %candidates = func.call @prune_count_open(%states, %c0, %size) : (memref<?xi8>, index, index) -> index
  %keep = arith.minsi %left, %candidates : index
  return %keep : index
}

// Ranks the units of all weights together: `keep` live, and of each weight at least its least, which counts against the
// budget of the others. Each round raises one weight or more to its least, until all have it.
func.func private @prune_rank_together(%keys: memref<?xi32>, %states: memref<?xi8>, %bounds: memref<?xindex>,
                                       %least: memref<?xindex>, %keep: index) -> (i64, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %false = arith.constant false
  %true = arith.constant true
  %none = arith.constant 0 : i64
  %weights = memref.dim %least, %c0 : memref<?xindex>
  %size = memref.dim %keys, %c0 : memref<?xi32>
  %again, %left, %cut, %last = scf.while (%more = %true, %budget = %keep, %key = %none, %place = %c0)
      : (i1, index, i64, index) -> (i1, index, i64, index) {
    scf.condition(%more) %more, %budget, %key, %place : i1, index, i64, index
  } do {
  ^bb0(%more: i1, %budget: index, %key: i64, %place: index):
    %open = arith.maxsi %budget, %c0 : index
    %round:2 = func.call @prune_find_cut(%keys, %states, %c0, %size, %open)
        : (memref<?xi32>, memref<?xi8>, index, index, index) -> (i64, index)
    %raised, %rest = scf.for %w = %c0 to %weights step %c1 iter_args(%any = %false, %budget0 = %budget) -> (i1, index) {
      %next = arith.addi %w, %c1 : index
      %begin = memref.load %bounds[%w] : memref<?xindex>
      %end = memref.load %bounds[%next] : memref<?xindex>
      %wanted = memref.load %least[%w] : memref<?xindex>
      %possible = func.call @prune_count_open(%states, %begin, %end) : (memref<?xi8>, index, index) -> index
      %needed = arith.minsi %wanted, %possible : index
      %living = func.call @prune_count_living(%keys, %states, %begin, %end, %round#0, %round#1)
          : (memref<?xi32>, memref<?xi8>, index, index, i64, index) -> index
      %is_short = arith.cmpi slt, %living, %needed : index
      %left0 = scf.if %is_short -> (index) {
        %own:2 = func.call @prune_find_cut(%keys, %states, %begin, %end, %needed)
            : (memref<?xi32>, memref<?xi8>, index, index, index) -> (i64, index)
        func.call @prune_settle(%keys, %states, %begin, %end, %own#0, %own#1)
            : (memref<?xi32>, memref<?xi8>, index, index, i64, index) -> ()
        %fewer = arith.subi %budget0, %needed : index
        scf.yield %fewer : index
      } else {
        scf.yield %budget0 : index
      }
      %any0 = arith.ori %any, %is_short : i1
      scf.yield %any0, %left0 : i1, index
    }
    scf.yield %raised, %rest, %round#0, %round#1 : i1, index, i64, index
  }
  return %cut, %last : i64, index
}

// The cut at a key, raised where it leaves fewer than `least` of [begin, end) (or all of its candidates).
func.func private @prune_cut_at(%keys: memref<?xi32>, %states: memref<?xi8>, %begin: index, %end: index, %key: i64,
                                %least: index) -> (i64, index) {
  %none = arith.constant -1 : index
  %possible = func.call @prune_count_open(%states, %begin, %end) : (memref<?xi8>, index, index) -> index
  %needed = arith.minsi %least, %possible : index
  %living = func.call @prune_count_living(%keys, %states, %begin, %end, %key, %none)
      : (memref<?xi32>, memref<?xi8>, index, index, i64, index) -> index
  %is_short = arith.cmpi slt, %living, %needed : index
  %cut, %last = scf.if %is_short -> (i64, index) {
    %own:2 = func.call @prune_find_cut(%keys, %states, %begin, %end, %needed)
        : (memref<?xi32>, memref<?xi8>, index, index, index) -> (i64, index)
    scf.yield %own#0, %own#1 : i64, index
  } else {
    scf.yield %key, %none : i64, index
  }
  return %cut, %last : i64, index
}

//===--------------------------------------------------------------------------------------------------------------===//
// Ranking by normalised scores
//===--------------------------------------------------------------------------------------------------------------===//

// Sorts the first `size` of `first`, largest first, into `second`: 11 bits at a time from the lowest; stable.
func.func private @prune_sort(%first: memref<?xi32>, %second: memref<?xi32>, %size: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %top = arith.constant 2047 : index
  %buckets = arith.constant 2048 : index
  %digits = arith.constant 2047 : i32
  %bits = arith.constant 11 : i32
  %counts = memref.alloca() : memref<2048xindex>
  %ends:2 = scf.for %pass = %c0 to %c3 step %c1 iter_args(%from = %first, %to = %second)
      -> (memref<?xi32>, memref<?xi32>) {
    %pass32 = arith.index_cast %pass : index to i32
    %shift = arith.muli %pass32, %bits : i32
    scf.for %i = %c0 to %buckets step %c1 {
      memref.store %c0, %counts[%i] : memref<2048xindex>
    }
    scf.for %i = %c0 to %size step %c1 {
      %key = memref.load %from[%i] : memref<?xi32>
      %shifted = arith.shrui %key, %shift : i32
      %digit = arith.andi %shifted, %digits : i32
      %bucket = arith.index_castui %digit : i32 to index
      %count = memref.load %counts[%bucket] : memref<2048xindex>
      %more = arith.addi %count, %c1 : index
      memref.store %more, %counts[%bucket] : memref<2048xindex>
    }
    %all = scf.for %i = %c0 to %buckets step %c1 iter_args(%begin = %c0) -> (index) {
      %bucket = arith.subi %top, %i : index
      %count = memref.load %counts[%bucket] : memref<2048xindex>
      memref.store %begin, %counts[%bucket] : memref<2048xindex>
      %next = arith.addi %begin, %count : index
      scf.yield %next : index
    }
    scf.for %i = %c0 to %size step %c1 {
      %key = memref.load %from[%i] : memref<?xi32>
      %shifted = arith.shrui %key, %shift : i32
      %digit = arith.andi %shifted, %digits : i32
      %bucket = arith.index_castui %digit : i32 to index
      %place = memref.load %counts[%bucket] : memref<2048xindex>
      %next = arith.addi %place, %c1 : index
      memref.store %next, %counts[%bucket] : memref<2048xindex>
      memref.store %key, %to[%place] : memref<?xi32>
    }
    scf.yield %to, %from : memref<?xi32>, memref<?xi32>
  }
  return
}

// The score that sorts as `worth` does, infinities as the largest float.
func.func private @prune_worth(%worth: i32) -> f64 attributes {passthrough = ["alwaysinline"]} {
  %largest = arith.constant 0x7F7FFFFF : i32
  %bits = arith.minui %worth, %largest : i32
  %score = arith.bitcast %bits : i32 to f32
  %wide = arith.extf %score : f32 to f64
  return %wide : f64
}

// Writes what the candidates of [begin, end) are worth compared with those of other weights, largest first, to `worths`
// from `offset` on, and gives their number. `lamp`: u^2 divided by the sum of all squares down to this one, equal ones
// included; else u divided by the norm. `first` and `second` are scratch.
func.func private @prune_normalize(%keys: memref<?xi32>, %signed: i1, %states: memref<?xi8>, %begin: index, %end: index,
                                   %lamp: i1, %first: memref<?xi32>, %second: memref<?xi32>, %worths: memref<?xf64>,
                                   %offset: index) -> index {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f64
  %candidate = arith.constant 1 : i8
  %none = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %sign = arith.constant 0x80000000 : i32
  %size = arith.subi %end, %begin : index
  // Scores that are not negative as their bits; below them a bit that says whether this is a candidate.
  scf.for %i = %c0 to %size step %c1 {
    %place = arith.addi %begin, %i : index
    %key = memref.load %keys[%place] : memref<?xi32>
    %magnitude = arith.shrui %key, %one : i32
    %positive = arith.xori %key, %sign : i32
    %is_negative = arith.cmpi ult, %key, %sign : i32
    %number = arith.select %is_negative, %none, %positive : i32
    %worth = arith.select %signed, %number, %magnitude : i32
    %moved = arith.shli %worth, %one : i32
    %state = memref.load %states[%place] : memref<?xi8>
    %is_candidate = arith.cmpi eq, %state, %candidate : i8
    %flag = arith.extui %is_candidate : i1 to i32
    %packed = arith.ori %moved, %flag : i32
    memref.store %packed, %first[%i] : memref<?xi32>
  }
  func.call @prune_sort(%first, %second, %size) : (memref<?xi32>, memref<?xi32>, index) -> ()
  // Runs of equal scores.
  %done, %total, %count = scf.while (%run = %c0, %sum = %zero, %written = %c0)
      : (index, f64, index) -> (index, f64, index) {
    %goes_on = arith.cmpi slt, %run, %size : index
    scf.condition(%goes_on) %run, %sum, %written : index, f64, index
  } do {
  ^bb0(%run: index, %sum: f64, %written: index):
    %packed = memref.load %second[%run] : memref<?xi32>
    %worth = arith.shrui %packed, %one : i32
    %score = func.call @prune_worth(%worth) : (i32) -> f64
    %square = arith.mulf %score, %score : f64
    %stop, %sum_here, %count_here = scf.while (%i = %run, %s = %sum, %c = %written)
        : (index, f64, index) -> (index, f64, index) {
      %inside = arith.cmpi slt, %i, %size : index
      %same = scf.if %inside -> (i1) {
        %other = memref.load %second[%i] : memref<?xi32>
        %other_worth = arith.shrui %other, %one : i32
        %equal = arith.cmpi eq, %other_worth, %worth : i32
        scf.yield %equal : i1
      } else {
        scf.yield %inside : i1
      }
      scf.condition(%same) %i, %s, %c : index, f64, index
    } do {
    ^bb0(%i: index, %s: f64, %c: index):
      %other = memref.load %second[%i] : memref<?xi32>
      %flag = arith.andi %other, %one : i32
      %more = arith.index_castui %flag : i32 to index
      %next = arith.addi %i, %c1 : index
      %longer = arith.addf %s, %square : f64
      %counted = arith.addi %c, %more : index
      scf.yield %next, %longer, %counted : index, f64, index
    }
    %ratio = arith.divf %square, %sum_here : f64
    %has_sum = arith.cmpf ogt, %sum_here, %zero : f64
    %share = arith.select %has_sum, %ratio, %zero : f64
    %value = arith.select %lamp, %share, %score : f64
    scf.for %c = %written to %count_here step %c1 {
      %place = arith.addi %offset, %c : index
      memref.store %value, %worths[%place] : memref<?xf64>
    }
    scf.yield %stop, %sum_here, %count_here : index, f64, index
  }
  %norm = math.sqrt %total : f64
  %has_norm = arith.cmpf ogt, %norm, %zero : f64
  scf.if %lamp {
  } else {
    scf.for %c = %c0 to %count step %c1 {
      %place = arith.addi %offset, %c : index
      %score = memref.load %worths[%place] : memref<?xf64>
      %ratio = arith.divf %score, %norm : f64
      %value = arith.select %has_norm, %ratio, %zero : f64
      memref.store %value, %worths[%place] : memref<?xf64>
    }
  }
  return %count : index
}

// How many of a weight's sorted worths have bits of at least `bound`: at least `least` (or all).
func.func private @prune_count_worths(%worths: memref<?xf64>, %begin: index, %end: index, %bound: i64, %least: index)
    -> index {
  %c1 = arith.constant 1 : index
  %size = arith.subi %end, %begin : index
  %low, %high = scf.while (%l = %begin, %h = %end) : (index, index) -> (index, index) {
    %goes_on = arith.cmpi slt, %l, %h : index
    scf.condition(%goes_on) %l, %h : index, index
  } do {
  ^bb0(%l: index, %h: index):
    %both = arith.addi %l, %h : index
    %middle = arith.shrui %both, %c1 : index
    %worth = memref.load %worths[%middle] : memref<?xf64>
    %bits = arith.bitcast %worth : f64 to i64
    %reaches = arith.cmpi sge, %bits, %bound : i64
    %after = arith.addi %middle, %c1 : index
    %next_l = arith.select %reaches, %after, %l : index
    %next_h = arith.select %reaches, %h, %middle : index
    scf.yield %next_l, %next_h : index, index
  }
  %best = arith.subi %low, %begin : index
  %needed = arith.minsi %least, %size : index
  %count = arith.maxsi %best, %needed : index
  return %count : index
}

// The same for all weights together.
func.func private @prune_count_all_worths(%worths: memref<?xf64>, %places: memref<?xindex>, %least: memref<?xindex>,
                                          %bound: i64) -> index {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %weights = memref.dim %least, %c0 : memref<?xindex>
  %total = scf.for %w = %c0 to %weights step %c1 iter_args(%sum = %c0) -> (index) {
    %next = arith.addi %w, %c1 : index
    %begin = memref.load %places[%w] : memref<?xindex>
    %end = memref.load %places[%next] : memref<?xindex>
    %needed = memref.load %least[%w] : memref<?xindex>
    %count = func.call @prune_count_worths(%worths, %begin, %end, %bound, %needed)
        : (memref<?xf64>, index, index, i64, index) -> index
    %more = arith.addi %sum, %count : index
    scf.yield %more : index
  }
  return %total : index
}

// How many units each weight keeps if all keep `keep`: the best by worth, of equal ones those of earlier weights. The
// worths of weight w lie in [places[w], places[w + 1]). The bound is found by halving the range of f64's bits.
func.func private @prune_split_by_rank(%worths: memref<?xf64>, %places: memref<?xindex>, %least: memref<?xindex>,
                                       %keep: index, %kept: memref<?xindex>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %i0 = arith.constant 0 : i64
  %i1 = arith.constant 1 : i64
  %infinity = arith.constant 0x7FF0000000000000 : i64
  %weights = memref.dim %least, %c0 : memref<?xindex>
  %bound, %high = scf.while (%l = %i0, %h = %infinity) : (i64, i64) -> (i64, i64) {
    %range = arith.subi %h, %l : i64
    %goes_on = arith.cmpi sgt, %range, %i1 : i64
    scf.condition(%goes_on) %l, %h : i64, i64
  } do {
  ^bb0(%l: i64, %h: i64):
    %range = arith.subi %h, %l : i64
    %half = arith.shrui %range, %i1 : i64
    %middle = arith.addi %l, %half : i64
    %count = func.call @prune_count_all_worths(%worths, %places, %least, %middle)
        : (memref<?xf64>, memref<?xindex>, memref<?xindex>, i64) -> index
    %enough = arith.cmpi sge, %count, %keep : index
    %next_l = arith.select %enough, %middle, %l : i64
    %next_h = arith.select %enough, %h, %middle : i64
    scf.yield %next_l, %next_h : i64, i64
  }
  %above = arith.addi %bound, %i1 : i64
  %sure = func.call @prune_count_all_worths(%worths, %places, %least, %above)
      : (memref<?xf64>, memref<?xindex>, memref<?xindex>, i64) -> index
  %rest = arith.subi %keep, %sure : index
  %spent = scf.for %w = %c0 to %weights step %c1 iter_args(%left = %rest) -> (index) {
    %next = arith.addi %w, %c1 : index
    %begin = memref.load %places[%w] : memref<?xindex>
    %end = memref.load %places[%next] : memref<?xindex>
    %needed = memref.load %least[%w] : memref<?xindex>
    %own = func.call @prune_count_worths(%worths, %begin, %end, %above, %needed)
        : (memref<?xf64>, index, index, i64, index) -> index
    %reach = func.call @prune_count_worths(%worths, %begin, %end, %bound, %needed)
        : (memref<?xf64>, index, index, i64, index) -> index
    %possible = arith.subi %reach, %own : index
    %open = arith.maxsi %left, %c0 : index
    %ties = arith.minsi %open, %possible : index
    %number = arith.addi %own, %ties : index
    memref.store %number, %kept[%w] : memref<?xindex>
    %fewer = arith.subi %left, %ties : index
    scf.yield %fewer : index
  }
  return
}
