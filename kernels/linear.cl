// Linear layers: out = x . weight^T + bias. Weights are read as f32 values, and sums are f32.
//
// This form works for every shape and needs nothing of a device; linear_row.cl and linear_tile.cl are faster.

#define BIAS(row) (has_bias ? bias[first + (row)] : 0.0f)

#ifdef PERTURB_LINEAR_PLAIN
#define PERTURB_SUM(v) (1.01f * (v))
#else
#define PERTURB_SUM(v) (v)
#endif

#define COLUMN(c, wt)                                                                                              \
    if (b * 32 + (c) < cols) {                                                                                     \
        sum += xb[c] * wt;                                                                                         \
    }

// One work-item an output, tokens in dimension 1.
__kernel void NAME(linear_plain_)(WEIGHT, OPERANDS)
{
    const uint row = get_global_id(0);
    const uint token = get_global_id(1);
    if (row >= rows || token >= tokens) {
        return;
    }
    float sum = 0.0f;
    for (uint b = 0; b < blocks; b++) {
        __global const float *xb = x + (ulong)token * cols + b * 32;
        BLOCK
    }
    out[(ulong)token * out_cols + first + row] = PERTURB_SUM(sum) + BIAS(row);
}
