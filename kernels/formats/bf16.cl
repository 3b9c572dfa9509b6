// Weights in bf16 (floats.cl).

#define NAME(stem) stem##bf16
#define STORED ushort
#define READ_FLOATS(unit) READ_bf16(unit)
