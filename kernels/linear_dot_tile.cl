// Linear layers of the block formats by integer dot products (dot.cl), for many tokens (tile.cl).

#ifdef PERTURB_LINEAR_DOT_TILE
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

#define ADD_DOTS(i) dot##i += dots(four, v.s##i);
#define USE(q, j)                                                                                                  \
    {                                                                                                              \
        const uint4 four = q;                                                                                      \
        const uint8 v = vload8(0, quants + (j) * STEP + 8 * part);                                                 \
        EIGHT(ADD_DOTS)                                                                                            \
    }

#define ADD_BLOCK(FORMAT, i) sum##i += SCALED_##FORMAT(dot##i, scales[8 * part + i]);
#define ADD_BLOCK_q8_0(i) ADD_BLOCK(q8_0, i)
#define ADD_BLOCK_q4_0(i) ADD_BLOCK(q4_0, i)
#define ADD_BLOCK_q4_1(i) ADD_BLOCK(q4_1, i)

#define TILED(FORMAT, HEADS)                                                                                       \
    __kernel                                                                                                       \
    __attribute__((reqd_work_group_size(LANES, PARTS, 1))) void linear_dot_tile_##FORMAT(WEIGHT,                   \
                                                                                         QUANTIZED_OPERANDS)       \
    {                                                                                                              \
        __local uint quants[8 * STEP];                                                                             \
        __local float2 scales[TOKENS];                                                                             \
        PLACE_IN_TILE                                                                                              \
        BEGIN_quants(HEADS);                                                                                       \
        SUMS                                                                                                       \
        for (uint b = 0; b < blocks; b++) {                                                                        \
            const ulong block = (ulong)token * blocks + b;                                                         \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
            for (uint i = 4 * side; i < 4 * side + 4; i++) {                                                       \
                quants[i * STEP + loaded] = token < tokens ? x[block * 8 + i] : 0u;                                \
            }                                                                                                      \
            if (side == 0) {                                                                                       \
                scales[loaded] = token < tokens ? xs[block] : (float2)(0.0f, 0.0f);                                \
            }                                                                                                      \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
            HEADS_##FORMAT;                                                                                        \
            int4 dot0 = 0, dot1 = 0, dot2 = 0, dot3 = 0, dot4 = 0, dot5 = 0, dot6 = 0, dot7 = 0;                   \
            QUANTS_##FORMAT(USE)                                                                                   \
            EIGHT(ADD_BLOCK_##FORMAT)                                                                              \
        }                                                                                                          \
        EIGHT(PUT)                                                                                                 \
    }

TILED(q8_0, 1)
TILED(q4_0, 1)
TILED(q4_1, 2)
