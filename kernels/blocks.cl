// Reading a tile of a matrix block by block, four rows at once; put in front of the files that do.
//
// BEGIN_<format> declares where a work-item's four rows of a tile begin, BLOCK_<format>(COLUMN) reads block `b` of them:
// COLUMN(c, wt) is called with each column c of 0..31 and the weights of the four rows as a float4.

// FOUR_<kind>(unit) reads a unit of the four rows, at tw: a pointer, or the index of a texel.
#ifdef IMAGES
#define BEGIN_UNITS(TYPE) const int tw = (int)((tile * units) * (TILE / 4) + lane);
#define TEXEL(unit) (tw + (int)((unit) * (TILE / 4)))
#define FOUR_f32(unit) as_float4(read_imageui(w, TEXEL(unit)))
#define FOUR_f16(unit) read_imagef(w, TEXEL(unit))
#define FOUR_bf16(unit) read_imageui(w, TEXEL(unit))
#define FOUR_quants(unit) read_imageui(w, TEXEL(unit))
#else
#define BEGIN_UNITS(TYPE)                                                                                          \
    __global const TYPE *tw = (__global const TYPE *)w + (ulong)tile * units * TILE + 4 * lane;
#define FOUR_f32(unit) vload4(0, tw + (unit) * TILE)
#define FOUR_f16(unit) vload_half4(0, tw + (unit) * TILE)
#define FOUR_bf16(unit) convert_uint4(vload4(0, tw + (unit) * TILE))
#define FOUR_quants(unit) vload4(0, tw + (unit) * TILE)
#endif

#define BEGIN_f32 BEGIN_UNITS(float)
#define BLOCK_f32(COLUMN)                                                                                          \
    for (uint c = 0; c < 32; c++) {                                                                                \
        const float4 wt = FOUR_f32(b * 32 + c);                                                                    \
        COLUMN(c, wt)                                                                                              \
    }

#define BEGIN_f16 BEGIN_UNITS(half)
#define BLOCK_f16(COLUMN)                                                                                          \
    for (uint c = 0; c < 32; c++) {                                                                                \
        const float4 wt = FOUR_f16(b * 32 + c);                                                                    \
        COLUMN(c, wt)                                                                                              \
    }

#define BEGIN_bf16 BEGIN_UNITS(ushort)
#define BLOCK_bf16(COLUMN)                                                                                         \
    for (uint c = 0; c < 32; c++) {                                                                                \
        const float4 wt = as_float4(FOUR_bf16(b * 32 + c) << 16);                                                  \
        COLUMN(c, wt)                                                                                              \
    }

#define BEGIN_quants(HEADS)                                                                                        \
    BEGIN_UNITS(uint)                                                                                              \
    __global const half *th = heads + (ulong)tile * blocks * HEADS * TILE + 4 * lane;

#define QUANT_8(COLUMN, j, i)                                                                                      \
    {                                                                                                              \
        const float4 wt = d * convert_float4(as_int4(q << (24 - 8 * i)) >> 24);                                    \
        COLUMN(4 * j + i, wt)                                                                                      \
    }
#define BEGIN_q8_0 BEGIN_quants(1)
#define BLOCK_q8_0(COLUMN)                                                                                         \
    const float4 d = vload_half4(0, th + b * TILE);                                                                \
    for (uint j = 0; j < 8; j++) {                                                                                 \
        const uint4 q = FOUR_quants(b * 8 + j);                                                                    \
        QUANT_8(COLUMN, j, 0)                                                                                      \
        QUANT_8(COLUMN, j, 1)                                                                                      \
        QUANT_8(COLUMN, j, 2)                                                                                      \
        QUANT_8(COLUMN, j, 3)                                                                                      \
    }

// The byte for column c holds column c + 16 in its high nibble.
#define QUANT_4(COLUMN, j, i, FORM)                                                                                \
    {                                                                                                              \
        const float4 low = convert_float4((q >> (8 * i)) & 15u);                                                   \
        const float4 high = convert_float4((q >> (8 * i + 4)) & 15u);                                              \
        {                                                                                                          \
            const float4 wt = FORM(low);                                                                           \
            COLUMN(4 * j + i, wt)                                                                                  \
        }                                                                                                          \
        {                                                                                                          \
            const float4 wt = FORM(high);                                                                          \
            COLUMN(16 + 4 * j + i, wt)                                                                             \
        }                                                                                                          \
    }
#define QUANTS_4(COLUMN, FORM)                                                                                     \
    for (uint j = 0; j < 4; j++) {                                                                                 \
        const uint4 q = FOUR_quants(b * 4 + j);                                                                    \
        QUANT_4(COLUMN, j, 0, FORM)                                                                                \
        QUANT_4(COLUMN, j, 1, FORM)                                                                                \
        QUANT_4(COLUMN, j, 2, FORM)                                                                                \
        QUANT_4(COLUMN, j, 3, FORM)                                                                                \
    }

#define FORM_q4_0(quants) (d * (quants - 8.0f))
#define BEGIN_q4_0 BEGIN_quants(1)
#define BLOCK_q4_0(COLUMN)                                                                                         \
    const float4 d = vload_half4(0, th + b * TILE);                                                                \
    QUANTS_4(COLUMN, FORM_q4_0)

#define FORM_q4_1(quants) (d * quants + m)
#define BEGIN_q4_1 BEGIN_quants(2)
#define BLOCK_q4_1(COLUMN)                                                                                         \
    const float4 d = vload_half4(0, th + 2 * b * TILE);                                                            \
    const float4 m = vload_half4(0, th + (2 * b + 1) * TILE);                                                      \
    QUANTS_4(COLUMN, FORM_q4_1)

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
