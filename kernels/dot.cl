// Products of four int8 each, and activations in blocks of 32 of them; put in front of the files that use them.

#if defined(DOT_KHR)
#define DOT(a, b) dot_4x8packed_ss_int((a), (b))
#elif defined(DOT_ARM)
#pragma OPENCL EXTENSION cl_arm_integer_dot_product_int8 : enable
#define DOT(a, b) arm_dot(as_char4(a), as_char4(b))
#else
// The same without an instruction for it: for tests.
int DOT(const uint a, const uint b)
{
    const int4 p = convert_int4(as_char4(a)) * convert_int4(as_char4(b));
    return p.x + p.y + p.z + p.w;
}
#endif

// Four rows' quants with the same four activations.
int4 dots(const uint4 q, const uint x)
{
    return (int4)(DOT(q.s0, x), DOT(q.s1, x), DOT(q.s2, x), DOT(q.s3, x));
}

// What changes from launch to launch: activations are quants, 8 words a block, with [scale, sum of the quants] of each
// block (quantize.cl).
#define QUANTIZED_OPERANDS                                                                                         \
    __global const uint *restrict x, __global const float *restrict bias, const uint has_bias,                    \
        __global float *restrict out, const uint out_cols, const uint tokens, __global const float2 *restrict xs

// For each format: QUANTS_<format>(USE) calls USE(q, j) with words of four rows' quants and the number of the word of the
// activations that they meet; SCALED_<format>(dot, s) is what a block adds, of the sum of these products.
// tw and th begin at the tile's four rows (blocks.cl).

#define QUANTS_q8_0(USE)                                                                                           \
    for (uint j = 0; j < 8; j++) {                                                                                 \
        const uint4 q = vload4(0, tw + (b * 8 + j) * TILE);                                                        \
        USE(q, j)                                                                                                  \
    }
#define SCALED_q8_0(dot, s) (d * (s.x * convert_float4(dot)))
#define HEADS_q8_0 const float4 d = vload_half4(0, th + b * TILE);

// The byte for column c holds column c + 16 in its high nibble.
#define QUANTS_4_BITS(USE)                                                                                         \
    for (uint j = 0; j < 4; j++) {                                                                                 \
        const uint4 q = vload4(0, tw + (b * 4 + j) * TILE);                                                        \
        const uint4 low = q & 0x0f0f0f0fu;                                                                         \
        const uint4 high = (q >> 4) & 0x0f0f0f0fu;                                                                 \
        USE(low, j)                                                                                                \
        USE(high, (j + 4))                                                                                         \
    }
#define QUANTS_q4_0(USE) QUANTS_4_BITS(USE)
#define SCALED_q4_0(dot, s) (d * (s.x * (convert_float4(dot) - 8.0f * s.y)))
#define HEADS_q4_0 const float4 d = vload_half4(0, th + b * TILE);

#define QUANTS_q4_1(USE) QUANTS_4_BITS(USE)
#define SCALED_q4_1(dot, s) (d * (s.x * convert_float4(dot)) + m * (s.x * s.y))
#define HEADS_q4_1                                                                                                 \
    const float4 d = vload_half4(0, th + 2 * b * TILE);                                                            \
    const float4 m = vload_half4(0, th + (2 * b + 1) * TILE);
