// Weights in f32 (floats.cl).

#define NAME(stem) stem##f32
#define STORED float
#define READ_FLOATS(unit) READ_f32(unit)
