// Linear layers of the block formats by integer dot products (dot.cl), for many tokens (tile.cl).

#ifdef PERTURB_LINEAR_DOT_TILE
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

#define ADD_DOTS(i) dot##i += dots(four, v.s##i);
#define BEGIN_GROUP(h)                                                                                             \
    SCALES(h)                                                                                                      \
    int4 dot0 = 0, dot1 = 0, dot2 = 0, dot3 = 0, dot4 = 0, dot5 = 0, dot6 = 0, dot7 = 0;
#define RUN(q, g)                                                                                                  \
    {                                                                                                              \
        const uint4 codes = q;                                                                                     \
        const uint4 four = SIGNED(codes);                                                                          \
        const uint8 v = vload8(0, quants + (g) * STEP + 8 * part);                                                 \
        EIGHT(ADD_DOTS)                                                                                            \
    }
#define ADD_GROUP(i, h) sum##i += SCALED(dot##i, factors[8 * part + i], h);
#define END_GROUP(h)                                                                                               \
    ADD_GROUP(0, h)                                                                                                \
    ADD_GROUP(1, h)                                                                                                \
    ADD_GROUP(2, h)                                                                                                \
    ADD_GROUP(3, h)                                                                                                \
    ADD_GROUP(4, h)                                                                                                \
    ADD_GROUP(5, h)                                                                                                \
    ADD_GROUP(6, h)                                                                                                \
    ADD_GROUP(7, h)

__kernel __attribute__((reqd_work_group_size(LANES, PARTS, 1))) void NAME(linear_dot_tile_)(WEIGHT, ROUNDED_OPERANDS)
{
    __local uint quants[8 * STEP];
    __local float4 factors[TOKENS];
    PLACE_IN_TILE
    BEGIN
    SUMS
    for (uint b = 0; b < blocks; b++) {
        const ulong block = (ulong)token * blocks + b;
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint i = 4 * side; i < 4 * side + 4; i++) {
            quants[i * STEP + loaded] = token < tokens ? x[block * 8 + i] : 0u;
        }
        if (side == 0) {
            factors[loaded] = token < tokens ? inputs[block] : (float4)(0.0f);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        PLACES
        GROUPS(BEGIN_GROUP, RUN, END_GROUP)
    }
    EIGHT(PUT)
}
