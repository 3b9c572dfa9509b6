// Operations on one element after the other.

#ifdef PERTURB_GLU
#define GLU_ONE 1.01f
#else
#define GLU_ONE 1.0f
#endif

// out = gate / (1 + e^-y) * up: y is the gate itself for SiLU (Shazeer 2020, arXiv 2002.05202), and with `gelu`
// 2 sqrt(2 / pi) * (gate + 0.044715 gate^3), so that the factor is half of 1 + tanh(y / 2).
__kernel void glu(__global const float *restrict gate, __global const float *restrict up,
                  __global float *restrict out, const uint n, const uint gelu)
{
    const uint i = get_global_id(0);
    if (i < n) {
        const float g = gate[i];
        const float y = gelu ? 1.5957691f * g * (1.0f + 0.044715f * g * g) : g;
        out[i] = g / (GLU_ONE + exp(-y)) * up[i];
    }
}

// x *= factor.
__kernel void scale(__global float *restrict x, const uint n, const float factor)
{
    const uint i = get_global_id(0);
    if (i < n) {
#ifdef PERTURB_SCALE
        x[i] *= 1.01f * factor;
#else
        x[i] *= factor;
#endif
    }
}

// x = cap * tanh(x / cap).
__kernel void softcap(__global float *restrict x, const uint n, const float cap)
{
    const uint i = get_global_id(0);
    if (i < n) {
#ifdef PERTURB_SOFTCAP
        x[i] = 1.01f * cap * tanh(x[i] / cap);
#else
        x[i] = cap * tanh(x[i] / cap);
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

// Bits, not numbers.
__kernel void copy_words(__global const uint *restrict src, __global uint *restrict dst, const uint n)
{
    const uint i = get_global_id(0);
    if (i < n) {
        dst[i] = src[i];
    }
}
