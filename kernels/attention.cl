// Causal grouped-query attention: row r of q sees slots 0 .. at + r, and head h reads the cache's head h / group.
// Keys are [kv_heads][head_dim][slots], values [kv_heads][slots][head_dim] (kv.cl).

#define LOAD_f32(p, i) (p)[i]
#define LOAD_f16(p, i) vload_half((i), (p))

// One work-item an output element, with a softmax of its own over all slots: works for every shape.
#define PLAIN(FORMAT, TYPE)                                                                                        \
    __kernel void attention_plain_##FORMAT(__global const float *restrict q, __global const TYPE *restrict keys,   \
                                           __global const TYPE *restrict values, __global float *restrict out,     \
                                           const uint cols, const uint head_dim, const uint group,                 \
                                           const uint slots, const uint at, const float scale)                     \
    {                                                                                                              \
        const uint col = get_global_id(0);                                                                         \
        const uint row = get_global_id(1);                                                                         \
        if (col >= cols) {                                                                                         \
            return;                                                                                                \
        }                                                                                                          \
        const uint head = col / head_dim;                                                                          \
        const uint d = col % head_dim;                                                                             \
        __global const float *query = q + (ulong)row * cols + head * head_dim;                                     \
        const ulong base = (ulong)(head / group) * slots * head_dim;                                               \
        float most = -INFINITY;                                                                                    \
        float total = 0.0f;                                                                                        \
        float sum = 0.0f;                                                                                          \
        for (uint slot = 0; slot <= at + row; slot++) {                                                            \
            float score = 0.0f;                                                                                    \
            for (uint i = 0; i < head_dim; i++) {                                                                  \
                score += query[i] * LOAD_##FORMAT(keys, base + (ulong)i * slots + slot);                           \
            }                                                                                                      \
            score *= PERTURBED_SCALE;                                                                              \
            const float now = fmax(most, score);                                                                   \
            const float keep = exp(most - now);                                                                    \
            const float weight = exp(score - now);                                                                 \
            total = total * keep + weight;                                                                         \
            sum = sum * keep + weight * LOAD_##FORMAT(values, base + (ulong)slot * head_dim + d);                  \
            most = now;                                                                                            \
        }                                                                                                          \
        out[(ulong)row * cols + col] = sum / total;                                                                \
    }

#ifdef PERTURB_ATTENTION_PLAIN
#define PERTURBED_SCALE (1.05f * scale)
#else
#define PERTURBED_SCALE scale
#endif

PLAIN(f32, float)
PLAIN(f16, half)

// The other forms take heads of up to MOST_DIM elements, in groups of 64 work-items.
#define MOST_DIM 256
#define LANES 64

// For a token, or a few: a work-group takes SPAN slots of one head and one row, and what they found is merged
// afterwards. Work-items are slots while scores are taken, elements of the head while values are added up.
#define SPAN 128

#ifdef PERTURB_ATTENTION_SPLIT
#define SPLIT_SCALE (1.05f * scale)
#else
#define SPLIT_SCALE scale
#endif

// With several spans, `partial` gets [rows][heads][spans][head_dim sums, largest score, sum of weights]; with one,
// `out` gets the result.
#define SPLIT(FORMAT, TYPE)                                                                                        \
    __kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void attention_split_##FORMAT(                     \
        __global const float *restrict q, __global const TYPE *restrict keys,                                      \
        __global const TYPE *restrict values, __global float *restrict out, const uint cols,                       \
        const uint head_dim, const uint group, const uint slots, const uint at, const float scale,                 \
        __global float *restrict partial, const uint spans)                                                        \
    {                                                                                                              \
        __local float query[MOST_DIM];                                                                             \
        __local float weights[SPAN];                                                                               \
        __local float found[LANES];                                                                                \
        const uint lane = get_local_id(0);                                                                         \
        const uint span = get_group_id(0);                                                                         \
        const uint head = get_group_id(1);                                                                         \
        const uint row = get_group_id(2);                                                                          \
        const uint begin = span * SPAN;                                                                            \
        const uint seen = at + row + 1;                                                                            \
        const uint count = seen > begin ? min((uint)SPAN, seen - begin) : 0;                                       \
        const ulong base = (ulong)(head / group) * slots * head_dim;                                               \
        const ulong place = (ulong)row * cols + head * head_dim;                                                   \
        for (uint d = lane; d < head_dim; d += LANES) {                                                            \
            query[d] = q[place + d] * SPLIT_SCALE;                                                                 \
        }                                                                                                          \
        barrier(CLK_LOCAL_MEM_FENCE);                                                                              \
        float most = -INFINITY;                                                                                    \
        for (uint s = lane; s < count; s += LANES) {                                                               \
            float score = 0.0f;                                                                                    \
            for (uint d = 0; d < head_dim; d++) {                                                                  \
                score += query[d] * LOAD_##FORMAT(keys, base + (ulong)d * slots + begin + s);                      \
            }                                                                                                      \
            weights[s] = score;                                                                                    \
            most = fmax(most, score);                                                                              \
        }                                                                                                          \
        most = over_lanes(found, lane, most, 1);                                                                   \
        float total = 0.0f;                                                                                        \
        for (uint s = lane; s < count; s += LANES) {                                                               \
            const float weight = exp(weights[s] - most);                                                           \
            weights[s] = weight;                                                                                   \
            total += weight;                                                                                       \
        }                                                                                                          \
        total = over_lanes(found, lane, total, 0);                                                                 \
        const ulong entry = (((ulong)row * (cols / head_dim) + head) * spans + span) * (head_dim + 2);             \
        for (uint d = lane; d < head_dim; d += LANES) {                                                            \
            float sum = 0.0f;                                                                                      \
            for (uint s = 0; s < count; s++) {                                                                     \
                sum += weights[s] * LOAD_##FORMAT(values, base + (ulong)(begin + s) * head_dim + d);               \
            }                                                                                                      \
            if (spans == 1) {                                                                                      \
                out[place + d] = sum / total;                                                                      \
            } else {                                                                                               \
                partial[entry + d] = sum;                                                                          \
            }                                                                                                      \
        }                                                                                                          \
        if (lane == 0 && spans > 1) {                                                                              \
            partial[entry + head_dim] = most;                                                                      \
            partial[entry + head_dim + 1] = total;                                                                 \
        }                                                                                                          \
    }

// The largest of all lanes' values, or their sum; the same for all lanes. What was in local memory before can be read
// by all lanes afterwards.
float over_lanes(__local float *found, const uint lane, const float value, const uint largest)
{
    barrier(CLK_LOCAL_MEM_FENCE);
#ifdef SUBGROUPS
    const float part = largest ? sub_group_reduce_max(value) : sub_group_reduce_add(value);
    if (get_sub_group_local_id() == 0) {
        found[get_sub_group_id()] = part;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    float all = found[0];
    for (uint i = 1; i < get_num_sub_groups(); i++) {
        all = largest ? fmax(all, found[i]) : all + found[i];
    }
    return all;
#else
    found[lane] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint distance = LANES / 2; distance > 0; distance /= 2) {
        if (lane < distance) {
            const float other = found[lane + distance];
            found[lane] = largest ? fmax(found[lane], other) : found[lane] + other;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    return found[0];
#endif
}

SPLIT(f32, float)
SPLIT(f16, half)

// Puts the spans of attention_split together. A work-group a head, rows in dimension 2.
__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void
attention_merge(__global const float *restrict partial, __global float *restrict out, const uint cols,
                const uint head_dim, const uint spans)
{
    const uint head = get_group_id(1);
    const uint row = get_group_id(2);
    const uint step = head_dim + 2;
    const ulong entry = ((ulong)row * (cols / head_dim) + head) * spans * step;
    float most = -INFINITY;
    for (uint s = 0; s < spans; s++) {
        most = fmax(most, partial[entry + s * step + head_dim]);
    }
    float total = 0.0f;
    for (uint s = 0; s < spans; s++) {
        total += exp(partial[entry + s * step + head_dim] - most) * partial[entry + s * step + head_dim + 1];
    }
    for (uint d = get_local_id(0); d < head_dim; d += LANES) {
        float sum = 0.0f;
        for (uint s = 0; s < spans; s++) {
            sum += exp(partial[entry + s * step + head_dim] - most) * partial[entry + s * step + d];
        }
        out[(ulong)row * cols + head * head_dim + d] = sum / total;
    }
}

// For many rows: a work-group takes eight rows of one head, and goes over the slots in tiles of LANES with an online
// softmax. Every key and value that is read serves eight rows.
#ifdef PERTURB_ATTENTION_TILE
#define TILE_SCALE (1.05f * scale)
#else
#define TILE_SCALE scale
#endif

#define TILED(FORMAT, TYPE)                                                                                        \
    __kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void attention_tile_##FORMAT(                      \
        __global const float *restrict q, __global const TYPE *restrict keys,                                      \
        __global const TYPE *restrict values, __global float *restrict out, const uint cols,                       \
        const uint head_dim, const uint group, const uint slots, const uint at, const float scale,                 \
        const uint rows)                                                                                           \
    {                                                                                                              \
        __local float query[MOST_DIM * 8];                                                                         \
        __local float weights[LANES * 8];                                                                          \
        __local float found[LANES * 8];                                                                            \
        const uint lane = get_local_id(0);                                                                         \
        const uint from = get_group_id(0) * 8;                                                                     \
        const uint head = get_group_id(1);                                                                         \
        const ulong base = (ulong)(head / group) * slots * head_dim;                                               \
        for (uint i = lane; i < head_dim * 8; i += LANES) {                                                        \
            const uint row = min(from + i % 8, rows - 1);                                                          \
            query[i] = q[(ulong)row * cols + head * head_dim + i / 8] * TILE_SCALE;                                \
        }                                                                                                          \
        float8 sum[MOST_DIM / LANES];                                                                              \
        for (uint j = 0; j < MOST_DIM / LANES; j++) {                                                              \
            sum[j] = 0.0f;                                                                                         \
        }                                                                                                          \
        float8 most = -INFINITY;                                                                                   \
        float8 total = 0.0f;                                                                                       \
        const uint end = at + min(from + 8, rows);                                                                 \
        for (uint begin = 0; begin < end; begin += LANES) {                                                        \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
            const uint slot = begin + lane;                                                                        \
            float8 score = -INFINITY;                                                                              \
            if (slot < end) {                                                                                      \
                float8 dots = 0.0f;                                                                                \
                for (uint d = 0; d < head_dim; d++) {                                                              \
                    dots += vload8(d, query) * LOAD_##FORMAT(keys, base + (ulong)d * slots + slot);                \
                }                                                                                                  \
                const int8 sees = (int8)(0, 1, 2, 3, 4, 5, 6, 7) + (int)(at + from) >= (int)slot;                  \
                score = select(score, dots, sees);                                                                 \
            }                                                                                                      \
            vstore8(score, lane, found);                                                                           \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
            for (uint distance = LANES / 2; distance > 0; distance /= 2) {                                         \
                if (lane < distance) {                                                                             \
                    vstore8(fmax(vload8(lane, found), vload8(lane + distance, found)), lane, found);               \
                }                                                                                                  \
                barrier(CLK_LOCAL_MEM_FENCE);                                                                      \
            }                                                                                                      \
            const float8 now = fmax(most, vload8(0, found));                                                       \
            const float8 keep = exp(most - now);                                                                   \
            const float8 weight = exp(score - now);                                                                \
            total = total * keep + weight;                                                                         \
            most = now;                                                                                            \
            vstore8(weight, lane, weights);                                                                        \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
            const uint count = min((uint)LANES, end - begin);                                                      \
            for (uint j = 0; j < MOST_DIM / LANES; j++) {                                                          \
                const uint d = j * LANES + lane;                                                                   \
                if (d < head_dim) {                                                                                \
                    float8 more = 0.0f;                                                                            \
                    for (uint i = 0; i < count; i++) {                                                             \
                        more += vload8(i, weights) *                                                               \
                                LOAD_##FORMAT(values, base + (ulong)(begin + i) * head_dim + d);                   \
                    }                                                                                              \
                    sum[j] = sum[j] * keep + more;                                                                 \
                }                                                                                                  \
            }                                                                                                      \
        }                                                                                                          \
        barrier(CLK_LOCAL_MEM_FENCE);                                                                              \
        vstore8(total, lane, found);                                                                               \
        barrier(CLK_LOCAL_MEM_FENCE);                                                                              \
        for (uint distance = LANES / 2; distance > 0; distance /= 2) {                                             \
            if (lane < distance) {                                                                                 \
                vstore8(vload8(lane, found) + vload8(lane + distance, found), lane, found);                        \
            }                                                                                                      \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                          \
        }                                                                                                          \
        const float8 all = vload8(0, found);                                                                       \
        for (uint j = 0; j < MOST_DIM / LANES; j++) {                                                              \
            const uint d = j * LANES + lane;                                                                       \
            if (d < head_dim) {                                                                                    \
                float each[8];                                                                                     \
                vstore8(sum[j] / all, 0, each);                                                                    \
                for (uint t = 0; t < 8 && from + t < rows; t++) {                                                  \
                    out[(ulong)(from + t) * cols + head * head_dim + d] = each[t];                                 \
                }                                                                                                  \
            }                                                                                                      \
        }                                                                                                          \
    }

TILED(f32, float)
TILED(f16, half)
