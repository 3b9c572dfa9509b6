// The key/value cache of a layer. A head's keys lie with its slots side by side, [kv_heads][head_dim][slots], so that
// neighbours in a work-group take the scores of neighbouring slots; its values as [kv_heads][slots][head_dim].

#define STORE_F32(value, at, to) (to)[at] = (value)
#define STORE_F16(value, at, to) vstore_half_rte((value), (at), (to))

#ifdef PERTURB_KV_APPEND
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

// Rows of k and v ([rows][kv_heads * head_dim]) go to slots at, at + 1, ... One work-item an element, rows in
// dimension 1.
#define APPEND(FORMAT, TYPE, STORE)                                                                                \
    __kernel void kv_append_##FORMAT(__global const float *restrict k, __global const float *restrict v,           \
                                     __global TYPE *restrict keys, __global TYPE *restrict values,                 \
                                     const uint cols, const uint head_dim, const uint slots, const uint at)        \
    {                                                                                                              \
        const uint col = get_global_id(0);                                                                         \
        const uint row = get_global_id(1);                                                                         \
        if (col >= cols) {                                                                                         \
            return;                                                                                                \
        }                                                                                                          \
        const uint head = col / head_dim;                                                                          \
        const uint d = col % head_dim;                                                                             \
        const ulong from = (ulong)row * cols + col;                                                                \
        STORE(PERTURBED k[from], ((ulong)head * head_dim + d) * slots + at + row, keys);                           \
        STORE(v[from], ((ulong)head * slots + at + row) * head_dim + d, values);                                   \
    }

APPEND(f32, float, STORE_F32)
APPEND(f16, half, STORE_F16)

// Slots from, from + 1, ... (`count` of them) of one cache go to slots to, to + 1, ... of another with other numbers of
// slots. One work-item a slot, elements of a head in dimension 1, heads in dimension 2. Bits are moved, not numbers.
#define REPACK(FORMAT, TYPE)                                                                                       \
    __kernel void kv_repack_##FORMAT(__global const TYPE *restrict keys, __global const TYPE *restrict values,     \
                                     __global TYPE *restrict new_keys, __global TYPE *restrict new_values,         \
                                     const uint head_dim, const uint slots, const uint new_slots,                  \
                                     const uint from, const uint to, const uint count)                             \
    {                                                                                                              \
        const uint slot = get_global_id(0);                                                                        \
        const uint d = get_global_id(1);                                                                           \
        const uint head = get_global_id(2);                                                                        \
        if (slot >= count) {                                                                                       \
            return;                                                                                                \
        }                                                                                                          \
        const ulong line = (ulong)head * head_dim + d;                                                             \
        new_keys[line * new_slots + to + slot] = keys[line * slots + from + slot];                                 \
        new_values[((ulong)head * new_slots + to + slot) * head_dim + d] =                                         \
            values[((ulong)head * slots + from + slot) * head_dim + d];                                            \
    }

REPACK(f32, uint)
REPACK(f16, ushort)

// Slots from, from + 1, ... come out as [slots][kv_heads * head_dim]. One work-item an element of a slot, slots in
// dimension 1. Bits are moved, not numbers.
#define EXPORT(FORMAT, TYPE)                                                                                       \
    __kernel void kv_export_##FORMAT(__global const TYPE *restrict keys, __global const TYPE *restrict values,     \
                                     __global TYPE *restrict k, __global TYPE *restrict v, const uint cols,        \
                                     const uint head_dim, const uint slots, const uint from)                       \
    {                                                                                                              \
        const uint col = get_global_id(0);                                                                         \
        const uint slot = get_global_id(1);                                                                        \
        if (col >= cols) {                                                                                         \
            return;                                                                                                \
        }                                                                                                          \
        const uint head = col / head_dim;                                                                          \
        const uint d = col % head_dim;                                                                             \
        const ulong to = (ulong)slot * cols + col;                                                                 \
        k[to] = keys[((ulong)head * head_dim + d) * slots + from + slot];                                          \
        v[to] = values[((ulong)head * slots + from + slot) * head_dim + d];                                        \
    }

EXPORT(f32, uint)
EXPORT(f16, ushort)

// The opposite: they go to slots at, at + 1, ...
#define IMPORT(FORMAT, TYPE)                                                                                       \
    __kernel void kv_import_##FORMAT(__global const TYPE *restrict k, __global const TYPE *restrict v,             \
                                     __global TYPE *restrict keys, __global TYPE *restrict values,                 \
                                     const uint cols, const uint head_dim, const uint slots, const uint at)        \
    {                                                                                                              \
        const uint col = get_global_id(0);                                                                         \
        const uint slot = get_global_id(1);                                                                        \
        if (col >= cols) {                                                                                         \
            return;                                                                                                \
        }                                                                                                          \
        const uint head = col / head_dim;                                                                          \
        const uint d = col % head_dim;                                                                             \
        const ulong from = (ulong)slot * cols + col;                                                               \
        keys[((ulong)head * head_dim + d) * slots + at + slot] = k[from];                                          \
        values[((ulong)head * slots + at + slot) * head_dim + d] = v[from];                                        \
    }

IMPORT(f32, uint)
IMPORT(f16, ushort)
