/* Calls the model of test/Tools/prune-run/Inputs/model.mlir and compares with plain loops. */
#include "model.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  char error[256] = "";
  model_model *model = model_create(argc > 1 ? argv[1] : NULL, error, sizeof error);
  if (!model) {
    printf("%s\n", error);
    return 1;
  }
  float x[4][8], w[8][32], y[4][8], want[4][8];
  int64_t ids[2] = {21, -4}, ids2[2] = {0, 0};
  uint8_t flag = 1, flag2 = 7;
  for (int i = 0; i < 256; ++i)
    w[i / 32][i % 32] = (i % 7 - 3) / 8.0f;
  for (int i = 0; i < 32; ++i)
    x[i / 8][i % 8] = (i % 5 - 2) / 4.0f;
  memcpy(want, x, sizeof want);
  for (int i = 0; i < 4; ++i)
    for (int k = 0; k < 32; ++k) {
      float h = 0;
      for (int j = 0; j < 8; ++j)
        h += x[i][j] * w[j][k];
      for (int j = 0; j < 8 && h > 0; ++j)
        want[i][j] += h * w[j][k];
    }
  int threads = model_set_threads(model, 100);
  for (int run = 0; run < 3; ++run) {
    model_call(model, &x[0][0], ids, &flag, &y[0][0], ids2, &flag2);
    for (int i = 0; i < 32; ++i)
      if (fabsf(y[i / 8][i % 8] - want[i / 8][i % 8]) > 1e-5f)
        return printf("y[%d] is %g, not %g\n", i, y[i / 8][i % 8], want[i / 8][i % 8]), 2;
  }
  printf("y right, ids2 %d %d, flag2 %d, threads %d, input 1 is %s of rank %d and %d\n", (int)ids2[0], (int)ids2[1], flag2,
         threads, model_input(1)->name, model_input(1)->rank, (int)model_input(1)->shape[0]);
  printf("beyond: %p %p\n", (void *)model_input(3), (void *)model_output(-1));
  model_destroy(model);
  return 0;
}
