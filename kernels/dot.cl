// Products of codes and activations, which are in blocks of 32: four int8 at once, or with HALVES one number of fp16; put
// in front of the files that use them.
//
// ADD_CODES(dot, codes, x, g) adds the products of a run's codes to a group's sum; SCALED(dot, in, h) is what group `h` adds
// to the result, of that sum and of what is known of the activations (quantize.cl).

// The sum of a group's activations.
#ifdef TWO_GROUPS
#define SUM_OF(in, h) ((h) == 0 ? (in).z : (in).w)
#else
#define SUM_OF(in, h) ((in).y)
#endif

#ifdef HALVES

// Codes around zero are whole numbers that fp16 holds, activations are below 2 (quantize.cl): products stay in range.
// They are rounded to 11 bits, and their sums are f32.
#define ROUNDED half
#define ROUNDED_LEN 32
#define PARTIAL float4
#ifdef FP16
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define PRODUCTS(numbers, x) convert_float4(convert_half4(numbers) * *(x))
#else
// Without rounding, where there is no fp16: for tests.
#define PRODUCTS(numbers, x) (convert_float4(numbers) * vload_half(0, x))
#endif
#define ADD_CODES(dot, codes, x, g)                                                                                \
    dot += PRODUCTS(INTEGER(codes, 0), x + 4 * (g));                                                               \
    dot += PRODUCTS(INTEGER(codes, 1), x + 4 * (g) + 1);                                                           \
    dot += PRODUCTS(INTEGER(codes, 2), x + 4 * (g) + 2);                                                           \
    dot += PRODUCTS(INTEGER(codes, 3), x + 4 * (g) + 3);
#ifdef CENTRE
#define SCALED(dot, in, h) (scale * ((in).x * dot) + (least + CENTRE * scale) * ((in).x * SUM_OF(in, h)))
#else
#define SCALED(dot, in, h) (scale * ((in).x * dot))
#endif

#else

#define ROUNDED uint
#define ROUNDED_LEN 8
#define PARTIAL int4
#define ADD_CODES(dot, codes, x, g) dot += dots(SIGNED(codes), x[g]);
// What OFFSET takes off is the same for all rows: once a group.
#if defined(OFFSET)
#define SCALED(dot, in, h) (scale * ((in).x * (convert_float4(dot) - OFFSET * SUM_OF(in, h))))
#elif defined(CENTRE)
#define SCALED(dot, in, h) (scale * ((in).x * convert_float4(dot)) + least * ((in).x * SUM_OF(in, h)))
#else
#define SCALED(dot, in, h) (scale * ((in).x * convert_float4(dot)))
#endif

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

// What changes from launch to launch: activations are ROUNDED_LEN words or numbers a block, with what is known of each block:
// its scale, the sum of what is scaled, and those of its two halves (quantize.cl).
#define ROUNDED_OPERANDS                                                                                           \
    __global const ROUNDED *restrict x, __global const float *restrict bias, const uint has_bias,                  \
        __global float *restrict out, const uint out_cols, const uint tokens, __global const float4 *restrict inputs
