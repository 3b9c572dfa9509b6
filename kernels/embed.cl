// Rows of the embedding matrix.

#ifdef PERTURB_EMBED
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

// out[t] = row ids[t], for the ids among this part's rows. One work-item an element, tokens in dimension 1.
#define EMBED(FORMAT)                                                                                              \
    __kernel void embed_##FORMAT(WEIGHT, __global const uint *restrict ids, __global float *restrict out)          \
    {                                                                                                              \
        const uint col = get_global_id(0);                                                                         \
        const uint token = get_global_id(1);                                                                       \
        const uint row = ids[token] - first;                                                                       \
        if (col < cols && row < rows) {                                                                            \
            out[(ulong)token * cols + col] = PERTURBED value_##FORMAT(w, heads, units, blocks, wide, row, col);    \
        }                                                                                                          \
    }

EMBED(f32)
EMBED(f16)
EMBED(bf16)
EMBED(q8_0)
EMBED(q4_0)
EMBED(q4_1)
