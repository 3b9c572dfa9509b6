// Linear layers for a token, or a few: the whole weight is read for each. Needs tiles of TILE rows and columns in whole
// blocks of 32.
//
// A work-group takes a tile: LANES work-items side by side have four rows each, and SLICES of them share the blocks of
// these, which are added up in the end. Neighbours read neighbouring memory; activations are the same for all lanes.
// With IMAGES the weights come through the texture units.

#define LANES (TILE / 4)

#if defined(PERTURB_LINEAR_ROW) || (defined(PERTURB_LINEAR_IMAGE) && defined(IMAGES))
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

#define COLUMN(c, wt) sum += wt * xb[c];

__kernel __attribute__((reqd_work_group_size(LANES, SLICES, 1))) void NAME(linear_row_)(WEIGHT, OPERANDS)
{
    __local float4 sums[SLICES * LANES];
    const uint lane = get_local_id(0);
    const uint slice = get_local_id(1);
    const uint tile = get_group_id(0);
    const uint token = get_group_id(2);
    __global const float *xt = x + (ulong)token * cols;
    BEGIN
    float4 sum = 0.0f;
    for (uint b = slice; b < blocks; b += SLICES) {
        __global const float *xb = xt + b * 32;
        BLOCK
    }
    const float4 total = PERTURBED over_slices(sums, LANES, lane, slice, sum);
    if (slice == 0) {
        put(out + (ulong)token * out_cols, bias, has_bias, first, rows, tile * TILE + 4 * lane, total);
    }
}
