// Linear layers for many tokens. Needs tiles of TILE rows and columns in whole blocks of 32.
//
// A work-group takes a tile of rows and TOKENS tokens; a work-item four rows and eight tokens. A block of the
// activations is brought into local memory, a column's tokens side by side, and each weight that is read serves eight
// tokens.

#define LANES (TILE / 4)
#define PARTS 4
#define TOKENS (8 * PARTS)
// Columns are so far apart in local memory: not a multiple of its banks.
#define STEP (TOKENS + 4)

#ifdef PERTURB_LINEAR_TILE
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

#define ADD(c, wt)                                                                                                 \
    {                                                                                                              \
        const float8 v = vload8(0, xs + (c) * STEP + 8 * part);                                                    \
        sum0 += wt * v.s0;                                                                                         \
        sum1 += wt * v.s1;                                                                                         \
        sum2 += wt * v.s2;                                                                                         \
        sum3 += wt * v.s3;                                                                                         \
        sum4 += wt * v.s4;                                                                                         \
        sum5 += wt * v.s5;                                                                                         \
        sum6 += wt * v.s6;                                                                                         \
        sum7 += wt * v.s7;                                                                                         \
    }

#define PUT(i, sum)                                                                                                \
    if (begin + i < tokens) {                                                                                      \
        put(out + (ulong)(begin + i) * out_cols, bias, has_bias, first, rows, tile * TILE + 4 * lane,              \
            PERTURBED sum);                                                                                        \
    }

#define TILED(FORMAT)                                                                                              \
    __kernel __attribute__((reqd_work_group_size(LANES, PARTS, 1))) void linear_tile_##FORMAT(WEIGHT, OPERANDS)    \
    {                                                                                                              \
        __local float xs[32 * STEP];                                                                               \
        const uint lane = get_local_id(0);                                                                         \
        const uint part = get_local_id(1);                                                                         \
        const uint tile = get_group_id(0);                                                                         \
        const uint begin = get_group_id(1) * TOKENS + 8 * part;                                                    \
        const uint item = part * LANES + lane;                                                                     \
        const uint loaded = item / 2;                                                                              \
        const uint side = item % 2 * 16;                                                                           \
        const uint token = get_group_id(1) * TOKENS + loaded;                                                      \
        BEGIN_##FORMAT;                                                                                            \
        float4 sum0 = 0.0f, sum1 = 0.0f, sum2 = 0.0f, sum3 = 0.0f;                                                 \
        float4 sum4 = 0.0f, sum5 = 0.0f, sum6 = 0.0f, sum7 = 0.0f;                                                 \
        for (uint b = 0; b < blocks; b++) {                                                                        \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
            for (uint i = 0; i < 16; i++) {                                                                        \
                xs[(side + i) * STEP + loaded] =                                                                   \
                    token < tokens ? x[(ulong)token * cols + b * 32 + side + i] : 0.0f;                            \
            }                                                                                                      \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
            BLOCK_##FORMAT(ADD)                                                                                    \
        }                                                                                                          \
        PUT(0, sum0)                                                                                               \
        PUT(1, sum1)                                                                                               \
        PUT(2, sum2)                                                                                               \
        PUT(3, sum3)                                                                                               \
        PUT(4, sum4)                                                                                               \
        PUT(5, sum5)                                                                                               \
        PUT(6, sum6)                                                                                               \
        PUT(7, sum7)                                                                                               \
    }

TILED(f32)
TILED(f16)
TILED(bf16)
TILED(q8_0)
TILED(q4_0)
TILED(q4_1)
