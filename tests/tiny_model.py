"""A hand-written model, a dense layer and a ReLU, as sources the engine could have made."""

from dataclasses import replace

import numpy as np

from autotiny.engine.sources import Port, Sources
from autotiny.graph import Array

INPUTS, OUTPUTS = 24, 10
WEIGHTS = np.random.default_rng(0).integers(-128, 128, (OUTPUTS, INPUTS), dtype=np.int8)

HEADER = """
#include <stdint.h>
#define MODEL_ARENA_BYTES 64
extern uint8_t model_arena[MODEL_ARENA_BYTES];
int model_run(void);
"""

PROGRAM = """
#include "model.h"
extern const int8_t model_w[];
uint8_t model_arena[MODEL_ARENA_BYTES] __attribute__((aligned(16)));

__attribute__((noinline)) static void dense(const int8_t *x, int8_t *y, const int8_t *w) {
  for (int k = 0; k < 10; k++) {
    int32_t sum = 0;
    for (int c = 0; c < 24; c++) sum += x[c] * w[k * 24 + c];
    sum >>= 8;
    y[k] = (int8_t)(sum < -128 ? -128 : sum > 127 ? 127 : sum);
  }
}

__attribute__((noinline)) static void relu(int8_t *x) {
  for (int k = 0; k < 10; k++) {
    if (x[k] < 0) x[k] = 0;
  }
}

int model_run(void) {
  dense((int8_t *)model_arena, (int8_t *)model_arena + 32, model_w);
  relu((int8_t *)model_arena + 32);
  return 0;
}
"""


def tiny_sources(program: str = PROGRAM, arena_bytes: int = 64) -> Sources:
    numbers = ", ".join(str(value) for value in WEIGHTS.reshape(-1).tolist())
    return Sources(
        name="model",
        files={
            "model.h": HEADER.replace("64", str(arena_bytes)),
            "model.c": program,
            "weights.c": f'#include "model.h"\nconst int8_t model_w[240] = {{{numbers}}};\n',
        },
        inputs=(Port("x", 0, (1, INPUTS), "int8"),),
        outputs=(Port("y", 32, (1, OUTPUTS), "int8"),),
        arena_bytes=arena_bytes,
        weights_bytes=240,
        steps=("dense", "relu"),
        step_weights_bytes=(240, 0),
    )


def expected(inputs: Array) -> Array:
    sums = inputs.astype(np.int32) @ WEIGHTS.T.astype(np.int32) >> 8
    outputs: Array = np.clip(sums, 0, 127).astype(np.int8)
    return outputs


SUM = """
#include "model.h"
uint8_t model_arena[64] __attribute__((aligned(16)));
void model_reset(void) { model_arena[63] = 0; }
int model_run(void) {
  model_arena[63] = (uint8_t)(model_arena[63] + model_arena[0]);
  model_arena[32] = model_arena[63];
  return 0;
}
"""


def stateful_sources() -> Sources:
    """A model that adds its input's first element to a sum that outlives the inference."""
    sources = tiny_sources()
    header = sources.files["model.h"] + "void model_reset(void);\n"
    return replace(sources, files={**sources.files, "model.c": SUM, "model.h": header})
