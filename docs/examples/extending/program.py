"""The program that a search of the target `bowl` begins with; the comments say what may change, and how."""

WIDTH = 64  # knob: 16..4096 pow2
DEPTH = 2  # knob: 1..24 unit
RATE = 0.3  # knob: 1e-4..1 log
DROPOUT = 0.1  # knob: 0..0.5 linear
HEADS = 4  # knob: 1..64 int
MOMENTUM = 0.9  # knob: 0..0.999 average
WARMUP = 0.1  # knob: 0..1 share
BATCH = 32  # knob: 16 | 32 | 64 | 128
ACTIVATION = "relu"  # knob: relu | gelu | silu
CLASSES = 10  # knob: fixed

print(WIDTH, DEPTH, RATE, DROPOUT, MOMENTUM, WARMUP, HEADS, BATCH, ACTIVATION, CLASSES)
