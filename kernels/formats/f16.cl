// Weights in f16 (floats.cl).

#define NAME(stem) stem##f16
#define STORED half
#define READ_FLOATS(unit) READ_f16(unit)
