// Products of quants and activations, which are in blocks of 32: four int8 at once, or with HALVES one number of fp16;
// put in front of the files that use them.

#ifdef HALVES

// Quants around zero are whole numbers that fp16 holds, activations are below 2 (quantize.cl): products stay in range.
// They are rounded to 11 bits, and their sums are f32.
#define WORD half
#define WORDS 32
#define PARTIAL float4
#ifdef FP16
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define PRODUCTS(quants, x) convert_float4(convert_half4(quants) * *(x))
#else
// Without rounding, where there is no fp16: for tests.
#define PRODUCTS(quants, x) (convert_float4(quants) * vload_half(0, x))
#endif
#define ADD_WORD(q, j)                                                                                             \
    for (uint i = 0; i < 4; i++) {                                                                                 \
        dot += PRODUCTS((as_int4(q << (24 - 8 * i)) >> 24) - offset, xb + 4 * j + i);                              \
    }
#define OFFSET_q8_0 const int offset = 0;
#define OFFSET_q4_0 const int offset = 8;
#define OFFSET_q4_1 const int offset = 8;
#define SCALED_q8_0(dot, s) (d * (s.x * dot))
#define SCALED_q4_0(dot, s) (d * (s.x * dot))
#define SCALED_q4_1(dot, s) (d * (s.x * dot) + (m + 8.0f * d) * (s.x * s.y))

#else

#define WORD uint
#define WORDS 8
#define PARTIAL int4
#define ADD_WORD(q, j) dot += dots(q, xb[j]);
// SCALED_<format> corrects for the offset of 8 of 4-bit quants: once per block.
#define OFFSET_q8_0
#define OFFSET_q4_0
#define OFFSET_q4_1
#define SCALED_q8_0(dot, s) (d * (s.x * convert_float4(dot)))
#define SCALED_q4_0(dot, s) (d * (s.x * (convert_float4(dot) - 8.0f * s.y)))
#define SCALED_q4_1(dot, s) (d * (s.x * convert_float4(dot)) + m * (s.x * s.y))

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

#endif

// What changes from launch to launch: activations are WORDS a block, with [scale, sum of what is scaled] of each block
// (quantize.cl).
#define QUANTIZED_OPERANDS                                                                                         \
    __global const WORD *restrict x, __global const float *restrict bias, const uint has_bias,                     \
        __global float *restrict out, const uint out_cols, const uint tokens, __global const float2 *restrict xs

// For each format: QUANTS_<format>(USE) calls USE(q, j) with words of four rows' quants and the number of the word of the
// activations that they meet; SCALED_<format>(dot, s) is what a block adds, of the sum of these products.
// tw and th begin at the tile's four rows (blocks.cl).

#define QUANTS_q8_0(USE)                                                                                           \
    for (uint j = 0; j < 8; j++) {                                                                                 \
        const uint4 q = vload4(0, tw + (b * 8 + j) * TILE);                                                        \
        USE(q, j)                                                                                                  \
    }
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
#define HEADS_q4_0 const float4 d = vload_half4(0, th + b * TILE);

#define QUANTS_q4_1(USE) QUANTS_4_BITS(USE)
#define HEADS_q4_1                                                                                                 \
    const float4 d = vload_half4(0, th + 2 * b * TILE);                                                            \
    const float4 m = vload_half4(0, th + (2 * b + 1) * TILE);
