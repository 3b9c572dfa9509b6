// Linear layers of the block formats by integer dot products (dot.cl), for many tokens: work-groups as in
// linear_tile.cl.

#define LANES (TILE / 4)
#define PARTS 4
#define TOKENS (8 * PARTS)
// Words are so far apart in local memory: not a multiple of its banks.
#define STEP (TOKENS + 4)

#ifdef PERTURB_LINEAR_DOT_TILE
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

#define USE(q, j)                                                                                                  \
    {                                                                                                              \
        const uint8 v = vload8(0, quants + (j) * STEP + 8 * part);                                                 \
        dot0 += dots(q, v.s0);                                                                                     \
        dot1 += dots(q, v.s1);                                                                                     \
        dot2 += dots(q, v.s2);                                                                                     \
        dot3 += dots(q, v.s3);                                                                                     \
        dot4 += dots(q, v.s4);                                                                                     \
        dot5 += dots(q, v.s5);                                                                                     \
        dot6 += dots(q, v.s6);                                                                                     \
        dot7 += dots(q, v.s7);                                                                                     \
    }

#define SUM(FORMAT, i)                                                                                             \
    {                                                                                                              \
        const float2 s = scales[8 * part + i];                                                                     \
        sum##i += SCALED_##FORMAT(dot##i, s);                                                                      \
    }

#define PUT(i)                                                                                                     \
    if (begin + i < tokens) {                                                                                      \
        put(out + (ulong)(begin + i) * out_cols, bias, has_bias, first, rows, tile * TILE + 4 * lane,              \
            PERTURBED sum##i);                                                                                     \
    }

#define TILED(FORMAT, HEADS)                                                                                       \
    __kernel                                                                                                       \
    __attribute__((reqd_work_group_size(LANES, PARTS, 1))) void linear_dot_tile_##FORMAT(WEIGHT,                   \
                                                                                         QUANTIZED_OPERANDS)       \
    {                                                                                                              \
        __local uint quants[8 * STEP];                                                                             \
        __local float2 scales[TOKENS];                                                                             \
        const uint lane = get_local_id(0);                                                                         \
        const uint part = get_local_id(1);                                                                         \
        const uint tile = get_group_id(0);                                                                         \
        const uint begin = get_group_id(1) * TOKENS + 8 * part;                                                    \
        const uint item = part * LANES + lane;                                                                     \
        const uint loaded = item / 2;                                                                              \
        const uint side = item % 2 * 4;                                                                            \
        const uint token = get_group_id(1) * TOKENS + loaded;                                                      \
        BEGIN_quants(HEADS);                                                                                       \
        float4 sum0 = 0.0f, sum1 = 0.0f, sum2 = 0.0f, sum3 = 0.0f;                                                 \
        float4 sum4 = 0.0f, sum5 = 0.0f, sum6 = 0.0f, sum7 = 0.0f;                                                 \
        for (uint b = 0; b < blocks; b++) {                                                                        \
            const ulong block = (ulong)token * blocks + b;                                                         \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
            for (uint i = 0; i < 4; i++) {                                                                         \
                quants[(side + i) * STEP + loaded] = token < tokens ? x[block * 8 + side + i] : 0u;                \
            }                                                                                                      \
            if (side == 0) {                                                                                       \
                scales[loaded] = token < tokens ? xs[block] : (float2)(0.0f, 0.0f);                                \
            }                                                                                                      \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
            HEADS_##FORMAT;                                                                                        \
            int4 dot0 = 0, dot1 = 0, dot2 = 0, dot3 = 0, dot4 = 0, dot5 = 0, dot6 = 0, dot7 = 0;                   \
            QUANTS_##FORMAT(USE)                                                                                   \
            SUM(FORMAT, 0)                                                                                         \
            SUM(FORMAT, 1)                                                                                         \
            SUM(FORMAT, 2)                                                                                         \
            SUM(FORMAT, 3)                                                                                         \
            SUM(FORMAT, 4)                                                                                         \
            SUM(FORMAT, 5)                                                                                         \
            SUM(FORMAT, 6)                                                                                         \
            SUM(FORMAT, 7)                                                                                         \
        }                                                                                                          \
        PUT(0)                                                                                                     \
        PUT(1)                                                                                                     \
        PUT(2)                                                                                                     \
        PUT(3)                                                                                                     \
        PUT(4)                                                                                                     \
        PUT(5)                                                                                                     \
        PUT(6)                                                                                                     \
        PUT(7)                                                                                                     \
    }

TILED(q8_0, 1)
TILED(q4_0, 1)
TILED(q4_1, 2)
