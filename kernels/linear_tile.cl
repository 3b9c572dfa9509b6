// Linear layers for many tokens (tile.cl). Needs tiles of TILE rows and columns in whole blocks of 32.

#ifdef PERTURB_LINEAR_TILE
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

#define ADD_TO(i) sum##i += four * v.s##i;
#define COLUMN(c, wt)                                                                                              \
    {                                                                                                              \
        const float4 four = wt;                                                                                    \
        const float8 v = vload8(0, xs + (c) * STEP + 8 * part);                                                    \
        EIGHT(ADD_TO)                                                                                              \
    }

__kernel __attribute__((reqd_work_group_size(LANES, PARTS, 1))) void NAME(linear_tile_)(WEIGHT, OPERANDS)
{
    __local float xs[32 * STEP];
    PLACE_IN_TILE
    BEGIN
    SUMS
    for (uint b = 0; b < blocks; b++) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint i = 16 * side; i < 16 * side + 16; i++) {
            xs[i * STEP + loaded] = token < tokens ? x[(ulong)token * cols + b * 32 + i] : 0.0f;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        BLOCK
    }
    EIGHT(PUT)
}
