// Into the pages of a layer's keys and values, within them, and out of them (kv_types.cl).

typedef OF_KEYS(UNIT_) key_unit;
typedef OF_VALUES(UNIT_) value_unit;
typedef OF_KEYS(STORED_) key_stored;
typedef OF_VALUES(STORED_) value_stored;

#ifdef PERTURB_KV_APPEND
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

// So that the device rounds as the host does.
#pragma OPENCL FP_CONTRACT OFF

// Rounded once, where `/` may be off in the last bits.
float divide(const float a, const float b)
{
    const float guess = 1.0f / b;
    if (isinf(guess)) {
        return a / b;
    }
    const float inverse = fma(fma(-b, guess, 1.0f), guess, guess);
    const float result = a * inverse;
    return fma(fma(-b, result, a), inverse, result);
}

// NaN counts as 0, infinities as the largest finite value.
float finite(const float x)
{
    return isnan(x) ? 0.0f : clamp(x, -FLT_MAX, FLT_MAX);
}

// Stores a block of `count` elements, rounded as the host does it (`quant`); its bytes follow each other in steps of
// `step`.
void store_q8_0(const float *x, const uint count, __global uchar *units, const ulong step, __global half *scale)
{
    float most = 0.0f;
    for (uint i = 0; i < count; i++) {
        most = fmax(most, fabs(x[i]));
    }
    const float d = fmin(divide(most, 127.0f), 65504.0f);
    const float inverse = d == 0.0f ? 0.0f : fmin(divide(1.0f, d), FLT_MAX);
    vstore_half_rte(d, 0, scale);
    for (uint i = 0; i < count; i++) {
        units[i * step] = as_uchar(convert_char_sat(round(clamp(x[i] * inverse, -127.0f, 127.0f))));
    }
}

uint nibble(const float x, const float inverse)
{
    return (uint)clamp(x * inverse + 8.5f, 0.0f, 15.0f);
}

void store_q4_0(const float *x, const uint count, __global uchar *units, const ulong step, __global half *scale)
{
    float most = 0.0f;
    for (uint i = 0; i < count; i++) {
        most = fabs(x[i]) > fabs(most) ? x[i] : most;
    }
    const float d = clamp(most * -0.125f, -65504.0f, 65504.0f);
    const float inverse = d == 0.0f ? 0.0f : clamp(divide(1.0f, d), -FLT_MAX, FLT_MAX);
    vstore_half_rte(d, 0, scale);
    const uint bytes = (count + 1) / 2;
    for (uint i = 0; i < bytes; i++) {
        const uint high = i + bytes < count ? nibble(x[i + bytes], inverse) : 8;
        units[i * step] = (uchar)(nibble(x[i], inverse) | high << 4);
    }
}

// Stores one element, or a block; units follow each other in steps of `step`.
#define PUT_f32(x, count, units, step, scale) (units)[0] = (x)[0]
#define PUT_f16(x, count, units, step, scale) vstore_half_rte((x)[0], 0, (units))
#define PUT_q8_0(x, count, units, step, scale) store_q8_0(x, count, units, step, scale)
#define PUT_q4_0(x, count, units, step, scale) store_q4_0(x, count, units, step, scale)

// The elements of one side from `d` on, as many as are stored together.
#define APPEND(SIDE, TYPE, cache, element)                                                                         \
    if (!SIDE##_SCALED || d % 32 == 0) {                                                                           \
        float x[32];                                                                                               \
        for (uint i = 0; i < (SIDE##_SCALED ? count : 1); i++) {                                                   \
            x[i] = SIDE##_SCALED ? finite(element) : element;                                                      \
        }                                                                                                          \
        cache += SIDE##_HEAD(pages, slot, cols / head_dim, head, head_dim);                                        \
        __global half *scale = (__global half *)(cache + (ulong)SIDE##_UNITS(head_dim) * PAGE) +                   \
                               SIDE##_SCALE_PLACE(head_dim, d / 32, slot);                                         \
        cache += SIDE##_PLACE(head_dim, d / (32 / SIDE##_FULL), slot);                                             \
        JOIN(PUT_, TYPE)(x, count, cache, SIDE##_PLACE(head_dim, 1, 0), scale);                                    \
    }

// Rows first, first + 1, ... of k and v ([rows][kv_heads * head_dim]) go to slots at, at + 1, ... of a sequence. One
// work-item an element, rows in dimension 1; of the block formats the first one of a block does it all.
__kernel void kv_append(__global const float *restrict k, __global const float *restrict v,
                        __global key_stored *keys, __global value_stored *values,
                        __global const uint *restrict pages, const uint cols, const uint head_dim, const uint first,
                        const uint at)
{
    const uint col = get_global_id(0);
    const uint slot = at + get_global_id(1);
    if (col >= cols) {
        return;
    }
    const uint head = col / head_dim;
    const uint d = col % head_dim;
    const uint count = min(32u, head_dim - d);
    const ulong from = (ulong)(first + get_global_id(1)) * cols + col;
    APPEND(KEY, KEYS, keys, PERTURBED k[from + i]);
    APPEND(VALUE, VALUES, values, v[from + i]);
}

// One unit of a slot, and a scale, from a slot to another.
#define COPY(SIDE, cache, TYPE)                                                                                    \
    {                                                                                                              \
        __global const TYPE *old = cache + SIDE##_HEAD(from_pages, from + slot, heads, head, head_dim);            \
        __global TYPE *fresh = cache + SIDE##_HEAD(to_pages, to + slot, heads, head, head_dim);                    \
        if (unit < SIDE##_UNITS(head_dim)) {                                                                       \
            fresh[SIDE##_PLACE(head_dim, unit, to + slot)] = old[SIDE##_PLACE(head_dim, unit, from + slot)];       \
        }                                                                                                          \
        if (SIDE##_SCALED && unit < BLOCKS(head_dim)) {                                                            \
            ((__global ushort *)(fresh + (ulong)SIDE##_UNITS(head_dim) * PAGE))                                    \
                [SIDE##_SCALE_PLACE(head_dim, unit, to + slot)] =                                                  \
                    ((__global const ushort *)(old + (ulong)SIDE##_UNITS(head_dim) * PAGE))                        \
                        [SIDE##_SCALE_PLACE(head_dim, unit, from + slot)];                                         \
        }                                                                                                          \
    }

// Slots from, from + 1, ... (`count` of them) of one table go to slots to, to + 1, ... of another. One work-item a unit of a
// head, heads in dimension 1: it takes the slots in ascending order, so that they may move down into each other's places.
// Bits are moved, not numbers.
__kernel void kv_copy(__global key_unit *keys, __global value_unit *values, __global const uint *from_pages,
                      __global const uint *to_pages, const uint heads, const uint head_dim, const uint from,
                      const uint to, const uint count)
{
    const uint unit = get_global_id(0);
    const uint head = get_global_id(1);
    for (uint slot = 0; slot < count; slot++) {
        COPY(KEY, keys, key_unit)
        COPY(VALUE, values, value_unit)
    }
}

// Where a unit is outside of the device: [slots][kv_heads], of the block formats with a scale in front of each block.
#define OUTSIDE(SIDE)                                                                                              \
    (((ulong)slot * heads + head) * SIDE##_SPAN(head_dim, 1) +                                                     \
     (SIDE##_SCALED ? unit / SIDE##_FULL * (2 + SIDE##_FULL) + 2 + unit % SIDE##_FULL : unit))

// A unit of a slot, and the scale in front of it if it is a block's first, between cache and outside: MOVE(inside, outside)
// copies one way or the other. Scales outside are bytes, the low one first.
#define MOVE_SLOT(SIDE, cache, host, cache_slot, MOVE)                                                             \
    if (unit < SIDE##_UNITS(head_dim)) {                                                                           \
        cache += SIDE##_HEAD(pages, cache_slot, heads, head, head_dim);                                            \
        host += OUTSIDE(SIDE);                                                                                     \
        MOVE(cache[SIDE##_PLACE(head_dim, unit, cache_slot)], host[0]);                                            \
        if (SIDE##_SCALED && unit % SIDE##_FULL == 0) {                                                            \
            const ulong scale = SIDE##_UNITS(head_dim) * (ulong)PAGE +                                             \
                                2 * SIDE##_SCALE_PLACE(head_dim, unit / SIDE##_FULL, cache_slot);                  \
            MOVE(cache[scale], host[-2]);                                                                          \
            MOVE(cache[scale + 1], host[-1]);                                                                      \
        }                                                                                                          \
    }

#define OUT(inside, outside) outside = inside
#define IN(inside, outside) inside = outside

#define MOVE_SLOTS(cache_slot, MOVE)                                                                               \
    const uint unit = get_global_id(0);                                                                            \
    const uint head = get_global_id(1);                                                                            \
    const uint slot = get_global_id(2);                                                                            \
    MOVE_SLOT(KEY, keys, k, (cache_slot + slot), MOVE)                                                             \
    MOVE_SLOT(VALUE, values, v, (cache_slot + slot), MOVE)

// Slots from, from + 1, ... of a sequence come out of the cache. One work-item a unit, heads in dimension 1, slots in
// dimension 2.
__kernel void kv_export(__global const key_unit *keys, __global const value_unit *values, __global key_unit *k,
                        __global value_unit *v, __global const uint *restrict pages, const uint heads,
                        const uint head_dim, const uint from)
{
    MOVE_SLOTS(from, OUT)
}

// The opposite: they go to slots at, at + 1, ...
__kernel void kv_import(__global const key_unit *k, __global const value_unit *v, __global key_unit *keys,
                        __global value_unit *values, __global const uint *restrict pages, const uint heads,
                        const uint head_dim, const uint at)
{
    MOVE_SLOTS(at, IN)
}
