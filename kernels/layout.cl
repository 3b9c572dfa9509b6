// The layout of weights on the device; put in front of the files that read them.
//
// A matrix is in tiles of `wide` rows, the last one filled up with zeros. Within a tile, unit `u` of all its rows is
// contiguous, then unit `u + 1` of all rows: neighbours in a work-group read neighbouring memory. A unit is
//   f32, f16, bf16: one element;
//   block formats: a word of what a block has besides its factors, in the order that its file in formats/ says.
// Factors ("heads": f16, or a byte in mxfp4) are in a buffer of their own, interleaved alike, in the order of the blocks.
//
// Words of codes: byte i of a word belongs to column i of a run of four columns. Codes of less than 8 bits share words: runs
// that follow each other, the first in the lowest bits. A row's columns are read in blocks of 32, whatever its format.
//
// A matrix of one row, and every vector, has wide = 1: plain f32 values in order.

ulong place(const uint row, const uint unit, const uint units, const uint wide)
{
    return ((ulong)(row / wide) * units + unit) * wide + row % wide;
}

// What is the same for every launch of a weight's kernels: its memory, its shape, and where its rows begin in the
// whole matrix, of which it may be a part. `blocks` are of 32 columns.
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
