// Linear layers of the block formats by integer dot products (dot.cl), for a token or a few: work-groups as in
// linear_row.cl. With HALVES products are of fp16 numbers instead.

#define LANES (TILE / 4)

#if defined(PERTURB_LINEAR_DOT) || (defined(PERTURB_LINEAR_HALF) && defined(HALVES))
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

#define BEGIN_GROUP(h)                                                                                             \
    SCALES(h)                                                                                                      \
    PARTIAL dot = 0;
#define RUN(q, g)                                                                                                  \
    {                                                                                                              \
        const uint4 codes = q;                                                                                     \
        ADD_CODES(dot, codes, xb, g)                                                                               \
    }
#define END_GROUP(h) sum += SCALED(dot, input, h);

__kernel __attribute__((reqd_work_group_size(LANES, SLICES, 1))) void NAME(linear_dot_)(WEIGHT, ROUNDED_OPERANDS)
{
    __local float4 sums[SLICES * LANES];
    const uint lane = get_local_id(0);
    const uint slice = get_local_id(1);
    const uint tile = get_group_id(0);
    const uint token = get_group_id(2);
    BEGIN
    float4 sum = 0.0f;
    for (uint b = slice; b < blocks; b += SLICES) {
        const ulong block = (ulong)token * blocks + b;
        __global const ROUNDED *xb = x + block * ROUNDED_LEN;
        const float4 input = inputs[block];
        PLACES
        GROUPS(BEGIN_GROUP, RUN, END_GROUP)
    }
    const float4 total = PERTURBED over_slices(sums, LANES, lane, slice, sum);
    if (slice == 0) {
        put(out + (ulong)token * out_cols, bias, has_bias, first, rows, tile * TILE + 4 * lane, total);
    }
}
