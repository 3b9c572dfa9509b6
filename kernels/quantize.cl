// Activations as int8 in blocks of 32 or 256, as src/quant/activation.rs has it: scale = most / 127, quants rounded to
// nearest with ties to even. A block of zeros (or nearly so) has scale 0, one that is not finite has scale NaN.
//
// Both are stored in blocks of 32, with what kernels need of each: its scale, the sum of what is scaled, and those of its
// first 16 and of its last 16. `sharing` blocks, 1 or 8, have the same scale.

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
__kernel void quantize(__global const float *restrict x, const uint blocks, const uint sharing,
                       __global uint *restrict q, __global float4 *restrict inputs)
{
    const uint b = get_global_id(0);
    if (b >= blocks) {
        return;
    }
    const ulong row = (ulong)get_global_id(1) * blocks;
    const ulong block = row + b;
    __global const float *xb = x + block * 32;
    float2 f = factors(x + (row + b / sharing * sharing) * 32, 32 * sharing);
    float sums[2];
    for (uint half_of = 0; half_of < 2; half_of++) {
        float sum = 0.0f;
        for (uint j = 4 * half_of; j < 4 * half_of + 4; j++) {
            uint word = 0;
            for (uint i = 0; i < 4; i++) {
                const float v = rounded(xb[4 * j + i], f);
                sum += v;
                word |= (uint)as_uchar((char)(int)v) << (8 * i);
            }
            q[block * 8 + j] = word;
        }
        sums[half_of] = sum;
    }
#ifdef PERTURB_QUANTIZE
    f.y *= 1.01f;
#endif
    inputs[block] = (float4)(f.y, sums[0] + sums[1], sums[0], sums[1]);
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
// overflows and what is lost is below 2^-24 of that. Arguments and work-items as of quantize.
__kernel void halve(__global const float *restrict x, const uint blocks, const uint sharing,
                    __global half *restrict out, __global float4 *restrict inputs)
{
    const uint b = get_global_id(0);
    if (b >= blocks) {
        return;
    }
    const ulong row = (ulong)get_global_id(1) * blocks;
    const ulong block = row + b;
    __global const float *xb = x + block * 32;
    // Scale and its inverse are normal numbers; what is not finite stays so.
    const uint bits = largest(x + (row + b / sharing * sharing) * 32, 32 * sharing);
    const uint exponent = clamp(bits >> 23, 1u, 253u);
    const float inverse = as_float((254u - exponent) << 23);
    float sums[2];
    for (uint half_of = 0; half_of < 2; half_of++) {
        float sum = 0.0f;
        for (uint i = 16 * half_of; i < 16 * half_of + 16; i++) {
            vstore_half_rte(xb[i] * inverse, block * 32 + i, out);
            sum += vload_half(block * 32 + i, out);
        }
        sums[half_of] = sum;
    }
    float scale = as_float(exponent << 23);
#ifdef PERTURB_HALVE
    scale *= 1.01f;
#endif
    inputs[block] = (float4)(scale, sums[0] + sums[1], sums[0], sums[1]);
}
