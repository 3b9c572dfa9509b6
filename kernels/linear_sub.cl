// Linear layers for a token, or a few, with sub-groups: as linear_row.cl, but the activations of a block are read once
// by a sub-group, whose items then broadcast them to each other.
//
// A work-group takes TILES tiles: 64 work-items side by side, so that a sub-group of 8 to 64 items is within a slice and
// all of its items are at the same block. Every eighth item holds the same four columns. Sub-groups of another size
// compute nonsense, which the self-test sees.

#define LANES (TILE / 4)
#define WIDE 64
#define TILES (WIDE / LANES)

#ifdef PERTURB_LINEAR_SUB
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

#define OF_FOUR(v, i) ((i) < 2 ? ((i) == 0 ? (v).s0 : (v).s1) : ((i) == 2 ? (v).s2 : (v).s3))
#define COLUMN(c, wt) sum += wt * sub_group_broadcast(OF_FOUR(held, (c) % 4), (c) / 4);

__kernel __attribute__((reqd_work_group_size(WIDE, SLICES, 1))) void NAME(linear_sub_)(WEIGHT, OPERANDS)
{
    __local float4 sums[SLICES * WIDE];
    const uint item = get_local_id(0);
    const uint lane = item % LANES;
    const uint slice = get_local_id(1);
    const uint wanted = get_group_id(0) * TILES + item / LANES;
    // Items beyond the last tile read along: a sub-group has to stay together.
    const uint last = (rows - 1) / TILE;
    const uint tile = min(wanted, last);
    const uint token = get_group_id(2);
    const uint eighth = get_sub_group_local_id() % 8;
    __global const float *xt = x + (ulong)token * cols;
    BEGIN
    float4 sum = 0.0f;
    for (uint b = slice; b < blocks; b += SLICES) {
        const float4 held = vload4(eighth, xt + b * 32);
        BLOCK
    }
    const float4 total = PERTURBED over_slices(sums, WIDE, item, slice, sum);
    if (slice == 0 && wanted <= last) {
        put(out + (ulong)token * out_cols, bias, has_bias, first, rows, tile * TILE + 4 * lane, total);
    }
}
