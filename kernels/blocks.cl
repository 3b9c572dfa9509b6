// Reading four rows of a tile at once, block by block (codes.cl, floats.cl); put in front of the files that do. BEGIN says
// where the four rows of a work-item begin.

#define FLOATS float4
#define WORDS uint4
#define INTS int4
#define TO_FLOATS(v) convert_float4(v)
#define AS_FLOATS(v) as_float4(v)
#define AS_INTS(v) as_int4(v)
#define HEAD(n) vload_half4(0, heads + th + (n) * TILE)
#define HEAD_SHORT(n) convert_uint4(vload4(0, (__global const ushort *)heads + th + (n) * TILE))
#define HEAD_BYTE(n) convert_uint4(vload4(0, (__global const uchar *)heads + th + (n) * TILE))
#define LOOK_UP(table, n) four_of(table, n)

#ifdef IMAGES
#define BEGIN                                                                                                      \
    const int tw = (int)((tile * units) * (TILE / 4) + lane);                                                      \
    const ulong th = (ulong)tile * (HEADS) * TILE + 4 * lane;
#define TEXEL(unit) (tw + (int)((unit) * (TILE / 4)))
#define READ(unit) read_imageui(w, TEXEL(unit))
#define READ_f32(unit) as_float4(read_imageui(w, TEXEL(unit)))
#define READ_f16(unit) read_imagef(w, TEXEL(unit))
#define READ_bf16(unit) as_float4(read_imageui(w, TEXEL(unit)) << 16)
#else
#define BEGIN                                                                                                      \
    __global const STORED *tw = (__global const STORED *)w + (ulong)tile * units * TILE + 4 * lane;                \
    const ulong th = (ulong)tile * (HEADS) * TILE + 4 * lane;
#define READ(unit) vload4(0, tw + (unit) * TILE)
#define READ_f32(unit) vload4(0, tw + (unit) * TILE)
#define READ_f16(unit) vload_half4(0, tw + (unit) * TILE)
#define READ_bf16(unit) as_float4(convert_uint4(vload4(0, tw + (unit) * TILE)) << 16)
#endif
// Columns are whole blocks of 32.
#define IS_STORED(col) 1

int4 four_of(__constant const char *table, const uint4 n)
{
    return (int4)(table[n.s0], table[n.s1], table[n.s2], table[n.s3]);
}

// Writes the outputs of rows row .. row + 3 of a part for one token.
void put(__global float *out, __global const float *bias, const uint has_bias, const uint first, const uint rows,
         const uint row, const float4 sum)
{
    float each[4];
    vstore4(sum, 0, each);
    for (uint i = 0; i < 4 && row + i < rows; i++) {
        out[first + row + i] = each[i] + (has_bias ? bias[first + row + i] : 0.0f);
    }
}
