// Linear layers: out = x . weight^T + bias. Weights are read as f32 values, and sums are f32.
//
// This form works for every shape and needs nothing of a device; linear_row.cl and linear_tile.cl are faster.

#define BIAS(row) (has_bias ? bias[first + (row)] : 0.0f)

// One work-item an output, tokens in dimension 1.
#define PLAIN(FORMAT)                                                                                              \
    __kernel void linear_plain_##FORMAT(WEIGHT, OPERANDS)                                                          \
    {                                                                                                              \
        const uint row = get_global_id(0);                                                                         \
        const uint token = get_global_id(1);                                                                       \
        if (row >= rows || token >= tokens) {                                                                      \
            return;                                                                                                \
        }                                                                                                          \
        float sum = 0.0f;                                                                                          \
        for (uint col = 0; col < cols; col++) {                                                                    \
            sum += x[(ulong)token * cols + col] * value_##FORMAT(w, heads, units, blocks, wide, row, col);         \
        }                                                                                                          \
        out[(ulong)token * out_cols + first + row] = PERTURB_SUM(sum) + BIAS(row);                                 \
    }

#ifdef PERTURB_LINEAR_PLAIN
#define PERTURB_SUM(v) (1.01f * (v))
#else
#define PERTURB_SUM(v) (v)
#endif

PLAIN(f32)
PLAIN(f16)
PLAIN(bf16)
PLAIN(q8_0)
PLAIN(q4_0)
PLAIN(q4_1)
