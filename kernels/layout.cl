// The layout of weights on the device; put in front of the files that read them.
//
// A matrix is in tiles of `wide` rows, the last one filled up with zeros. Within a tile, unit `u` of all its rows is
// contiguous, then unit `u + 1` of all rows: neighbours in a work-group read neighbouring memory. A unit is
//   f32, f16, bf16: one element;
//   q8_0: 4 quants of a block, in the order of their columns;
//   q4_0, q4_1: 4 bytes of a block; the byte for column c holds column c + 16 in its high nibble (as in ggml).
// Scales ("heads", f16) are in a buffer of their own, a unit per block; q4_1 has two units a block, scale and minimum.
//
// A matrix of one row, and every vector, has wide = 1: plain f32 values in order.

ulong place(const uint row, const uint unit, const uint units, const uint wide)
{
    return ((ulong)(row / wide) * units + unit) * wide + row % wide;
}

float value_f32(__global const uint *w, __global const half *heads, const uint units, const uint blocks,
                       const uint wide, const uint row, const uint col)
{
    return as_float(w[place(row, col, units, wide)]);
}

float value_f16(__global const uint *w, __global const half *heads, const uint units, const uint blocks,
                       const uint wide, const uint row, const uint col)
{
    return vload_half(place(row, col, units, wide), (__global const half *)w);
}

float value_bf16(__global const uint *w, __global const half *heads, const uint units, const uint blocks,
                        const uint wide, const uint row, const uint col)
{
    return as_float((uint)((__global const ushort *)w)[place(row, col, units, wide)] << 16);
}

float value_q8_0(__global const uint *w, __global const half *heads, const uint units, const uint blocks,
                        const uint wide, const uint row, const uint col)
{
    const uint word = w[place(row, col / 4, units, wide)];
    const char quant = as_char((uchar)(word >> (col % 4 * 8)));
    return vload_half(place(row, col / 32, blocks, wide), heads) * (float)quant;
}

uint nibble(__global const uint *w, const uint units, const uint wide, const uint row, const uint col)
{
    const uint byte = col % 16;
    const uint word = w[place(row, col / 32 * 4 + byte / 4, units, wide)];
    return (word >> (byte % 4 * 8 + (col % 32 < 16 ? 0 : 4))) & 15u;
}

float value_q4_0(__global const uint *w, __global const half *heads, const uint units, const uint blocks,
                        const uint wide, const uint row, const uint col)
{
    const float quant = (float)nibble(w, units, wide, row, col) - 8.0f;
    return vload_half(place(row, col / 32, blocks, wide), heads) * quant;
}

float value_q4_1(__global const uint *w, __global const half *heads, const uint units, const uint blocks,
                        const uint wide, const uint row, const uint col)
{
    const float quant = (float)nibble(w, units, wide, row, col);
    const float scale = vload_half(place(row, col / 32 * 2, blocks * 2, wide), heads);
    const float least = vload_half(place(row, col / 32 * 2 + 1, blocks * 2, wide), heads);
    return scale * quant + least;
}

// What is the same for every launch of a weight's kernels: its memory, its shape, and where its rows begin in the
// whole matrix, of which it may be a part.
#ifdef IMAGES
// The same memory in texels of four elements.
#define UNITS __read_only image1d_buffer_t w
#else
#define UNITS __global const uint *restrict w
#endif
#define WEIGHT                                                                                                     \
    UNITS, __global const half *restrict heads, const uint units, const uint blocks,                               \
        const uint wide, const uint first, const uint rows, const uint cols

// What changes from launch to launch. `out` has `out_cols` columns; without a bias `bias` is any buffer.
#define OPERANDS                                                                                                   \
    __global const float *restrict x, __global const float *restrict bias, const uint has_bias,                   \
        __global float *restrict out, const uint out_cols, const uint tokens
