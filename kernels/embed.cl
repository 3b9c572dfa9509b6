// Rows of the embedding matrix.

#ifdef PERTURB_EMBED
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

#define COLUMN(c, wt)                                                                                              \
    if (b * 32 + (c) < cols) {                                                                                     \
        to[c] = PERTURBED wt;                                                                                      \
    }

// out[t] = row ids[t], for the ids among this part's rows. One work-item a block of 32 columns, tokens in dimension 1.
__kernel void NAME(embed_)(WEIGHT, __global const uint *restrict ids, __global float *restrict out)
{
    const uint b = get_global_id(0);
    const uint token = get_global_id(1);
    const uint row = ids[token] - first;
    if (b < blocks && row < rows) {
        __global float *to = out + (ulong)token * cols + b * 32;
        BLOCK
    }
}
