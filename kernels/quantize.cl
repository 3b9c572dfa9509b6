// Activations as int8 in blocks of 32, as src/quant/activation.rs has it: scale = most / 127, quants rounded to nearest
// with ties to even. A block of zeros (or nearly so) has scale 0, one that is not finite has scale NaN.

// Blocks whose largest magnitude is below this (2^-119) count as zero.
#define LEAST 1.504632769052528e-36f

// The bits of the largest magnitude. Compared as integers, NaN and infinity are above all else.
uint largest(__global const float *restrict x, const uint len)
{
    uint bits = 0;
    for (uint i = 0; i < len; i++) {
        bits = max(bits, as_uint(fabs(x[i])));
    }
    return bits;
}

// The quants' factor and their scale, of a block of `len` values.
float2 factors(__global const float *restrict x, const uint len)
{
    const uint bits = largest(x, len);
    const float most = as_float(bits);
    if (bits >= 0x7f800000u) {
        return (float2)(0.0f, NAN);
    }
    if (most < LEAST) {
        return (float2)(0.0f, 0.0f);
    }
    // Division may be off by some units in the last place: one Newton step corrects it.
    const float inverse = 127.0f / most;
    const float mended = fma(fma(-inverse, most, 127.0f), inverse / 127.0f, inverse);
    return (float2)(mended, most / 127.0f);
}

float rounded(const float v, const float2 f)
{
    // Zero for values that are not finite, whose scale is NaN.
    return f.x == 0.0f ? 0.0f : rint(v * f.x);
}

// One work-item a block, rows in dimension 1; `cols` are whole blocks.
__kernel void quantize(__global const float *restrict x, const uint blocks, __global uint *restrict q,
                       __global float2 *restrict scales)
{
    const uint b = get_global_id(0);
    if (b >= blocks) {
        return;
    }
    const ulong block = (ulong)get_global_id(1) * blocks + b;
    __global const float *xb = x + block * 32;
    const float2 f = factors(xb, 32);
    float sum = 0.0f;
    for (uint j = 0; j < 8; j++) {
        uint word = 0;
        for (uint i = 0; i < 4; i++) {
            const float v = rounded(xb[4 * j + i], f);
            sum += v;
            word |= (uint)as_uchar((char)(int)v) << (8 * i);
        }
        q[block * 8 + j] = word;
    }
#ifdef PERTURB_QUANTIZE
    scales[block] = (float2)(1.01f * f.y, sum);
#else
    scales[block] = (float2)(f.y, sum);
#endif
}

// The values that the quants stand for: for matrices that are read value by value. The last block may be short.
__kernel void round_values(__global const float *restrict x, const uint cols, __global float *restrict out)
{
    const uint begin = 32 * get_global_id(0);
    if (begin >= cols) {
        return;
    }
    const ulong at = (ulong)get_global_id(1) * cols + begin;
    const uint len = min(32u, cols - begin);
    const float2 f = factors(x + at, len);
    for (uint i = 0; i < len; i++) {
        out[at + i] = rounded(x[at + i], f) * f.y;
    }
}

// Activations as fp16 in blocks of 32: the scale is the power of two at or below the largest magnitude, so that nothing
// overflows and what is lost is below 2^-24 of that. Work-items as of quantize.
__kernel void halve(__global const float *restrict x, const uint blocks, __global half *restrict out,
                    __global float2 *restrict scales)
{
    const uint b = get_global_id(0);
    if (b >= blocks) {
        return;
    }
    const ulong block = (ulong)get_global_id(1) * blocks + b;
    __global const float *xb = x + block * 32;
    // Scale and its inverse are normal numbers; what is not finite stays so.
    const uint exponent = clamp(largest(xb, 32) >> 23, 1u, 253u);
    const float inverse = as_float((254u - exponent) << 23);
    float sum = 0.0f;
    for (uint i = 0; i < 32; i++) {
        vstore_half_rte(xb[i] * inverse, block * 32 + i, out);
        sum += vload_half(block * 32 + i, out);
    }
    const float scale = as_float(exponent << 23);
#ifdef PERTURB_HALVE
    scales[block] = (float2)(1.01f * scale, sum);
#else
    scales[block] = (float2)(scale, sum);
#endif
}
