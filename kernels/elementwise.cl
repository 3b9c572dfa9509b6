// Operations on one element after the other.

// out = silu(gate) * up (Shazeer 2020, arXiv 2002.05202).
__kernel void swiglu(__global const float *restrict gate, __global const float *restrict up,
                     __global float *restrict out, const uint n)
{
    const uint i = get_global_id(0);
    if (i < n) {
        const float g = gate[i];
#ifdef PERTURB_SWIGLU
        out[i] = g / (1.01f + exp(-g)) * up[i];
#else
        out[i] = g / (1.0f + exp(-g)) * up[i];
#endif
    }
}

// acc += x.
__kernel void add(__global const float *restrict x, __global float *restrict acc, const uint n)
{
    const uint i = get_global_id(0);
    if (i < n) {
#ifdef PERTURB_ADD
        acc[i] += 1.01f * x[i];
#else
        acc[i] += x[i];
#endif
    }
}

// dst = src from element `from` on.
__kernel void copy(__global const float *restrict src, __global float *restrict dst, const uint from, const uint n)
{
    const uint i = get_global_id(0);
    if (i < n) {
#ifdef PERTURB_COPY
        dst[i] = 1.01f * src[from + i];
#else
        dst[i] = src[from + i];
#endif
    }
}
