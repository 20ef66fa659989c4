//===- MemoryPlanTest.cpp - Offsets of temporaries ----------------------------===//

#include "prune/Conversion/MemoryPlan.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir::prune;

namespace {

std::vector<PlannedBuffer> makeRandomBuffers(unsigned seed, unsigned count) {
  std::mt19937 random(seed);
  std::vector<PlannedBuffer> buffers(count);
  for (PlannedBuffer &buffer : buffers) {
    buffer.size = 1 + random() % 5000;
    buffer.first = random() % 200;
    buffer.last = buffer.first + random() % 20;
  }
  return buffers;
}

// Whatever the lifetimes: no two that live together share a byte, everything is aligned and inside.
TEST(MemoryPlanTest, NeverOverlapsLiveBuffers) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::vector<PlannedBuffer> buffers = makeRandomBuffers(seed, 60);
    int64_t live = getLiveBytes(buffers, 64);
    int64_t total = assignOffsets(buffers, 64), sum = 0;
    for (size_t i = 0; i < buffers.size(); ++i) {
      EXPECT_EQ(buffers[i].offset % 64, 0);
      EXPECT_EQ(buffers[i].size % 64, 0);
      EXPECT_LE(buffers[i].offset + buffers[i].size, total);
      sum += buffers[i].size;
      for (size_t j = 0; j < i; ++j)
        EXPECT_TRUE(!buffers[i].overlaps(buffers[j]) || buffers[i].offset + buffers[i].size <= buffers[j].offset ||
                    buffers[j].offset + buffers[j].size <= buffers[i].offset)
            << "seed " << seed;
    }
    EXPECT_GE(total, live);
    EXPECT_LE(total, sum);
    // Not a promise of the method, but what it does on these: close to the bound.
    EXPECT_LE(total, live + live / 2) << "seed " << seed;
  }
}

TEST(MemoryPlanTest, SharesBytesOfChains) {
  // A chain of layers: each lives with its neighbour only.
  std::vector<PlannedBuffer> buffers(10);
  for (int i = 0; i < 10; ++i)
    buffers[i] = {nullptr, 1024, 2 * i, 2 * i + 2};
  EXPECT_EQ(assignOffsets(buffers, 64), 2048);
  EXPECT_EQ(getLiveBytes(buffers, 64), 2048);
}

TEST(MemoryPlanTest, CountsBothEndsAsAlive) {
  std::vector<PlannedBuffer> buffers(2);
  buffers[0] = {nullptr, 64, 0, 5};
  buffers[1] = {nullptr, 64, 5, 9};
  EXPECT_EQ(assignOffsets(buffers, 64), 128);
  buffers[1].first = 6;
  EXPECT_EQ(assignOffsets(buffers, 64), 64);
}

TEST(MemoryPlanTest, IsDeterministic) {
  std::vector<PlannedBuffer> a = makeRandomBuffers(7, 100), b = a;
  assignOffsets(a, 64);
  assignOffsets(b, 64);
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_EQ(a[i].offset, b[i].offset);
}

} // namespace
