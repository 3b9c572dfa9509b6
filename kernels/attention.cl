// Causal grouped-query attention of one sequence: row first_row + r of q stands in slot at + r and sees the last `window`
// slots up to there, and head h reads the cache's head h / group, in the pages of the cache (kv_types.cl). Scores are capped
// unless `cap` is 0.

// The first slot that a query in slot `slot` sees.
#define FIRST(slot) ((slot) + 1 - min((slot) + 1, window))

// A score, or a vector of them, after the scale.
#define CAPPED(score) (cap > 0.0f ? cap * tanh((score) / cap) : (score))

typedef OF_KEYS(STORED_) key_stored;
typedef OF_VALUES(STORED_) value_stored;

// Adds the products of a key with QUERY(0), QUERY(1), ... to `sum`, of type T. `keys` points to the head of the page that
// the key is in, and `place` is its slot's number within that.
#define DOTS(T, sum, QUERY, place) OF_KEYS(DOTS_)(T, sum, QUERY, place)
#define DOTS_f32(T, sum, QUERY, place)                                                                             \
    for (uint d = 0; d < head_dim; d++) {                                                                          \
        sum += QUERY(d) * keys[d * PAGE + (place)];                                                                \
    }
#define DOTS_f16(T, sum, QUERY, place)                                                                             \
    for (uint d = 0; d < head_dim; d++) {                                                                          \
        sum += QUERY(d) * vload_half(d * PAGE + (place), keys);                                                    \
    }
#define KEY_SCALES ((__global const half *)(keys + KEY_UNITS(head_dim) * PAGE))
#define DOTS_q8_0(T, sum, QUERY, place)                                                                            \
    for (uint first = 0; first < head_dim; first += 32) {                                                          \
        const uint end = min(first + 32, head_dim);                                                                \
        T part = 0.0f;                                                                                             \
        for (uint d = first; d < end; d++) {                                                                       \
            part += QUERY(d) * (float)as_char(keys[d * PAGE + (place)]);                                           \
        }                                                                                                          \
        sum += part * vload_half(first / 32 * PAGE + (place), KEY_SCALES);                                         \
    }
#define DOTS_q4_0(T, sum, QUERY, place)                                                                            \
    for (uint first = 0; first < head_dim; first += 32) {                                                          \
        const uint count = min(32u, head_dim - first);                                                             \
        const uint bytes = (count + 1) / 2;                                                                        \
        T part = 0.0f;                                                                                             \
        for (uint i = 0; i < bytes; i++) {                                                                         \
            const uchar two = keys[(first / 2 + i) * PAGE + (place)];                                              \
            part += QUERY(first + i) * (float)((int)(two & 15) - 8);                                               \
            if (i + bytes < count) {                                                                               \
                part += QUERY(first + i + bytes) * (float)((int)(two >> 4) - 8);                                   \
            }                                                                                                      \
        }                                                                                                          \
        sum += part * vload_half(first / 32 * PAGE + (place), KEY_SCALES);                                         \
    }

// Element `d` of a value. `values` points to the head of its page, and `place` is its slot's number within that.
#define VALUE(place, d) OF_VALUES(VALUE_)(place, d)
#define VALUE_f32(place, d) values[(place) * head_dim + (d)]
#define VALUE_f16(place, d) vload_half((place) * head_dim + (d), values)
#define VALUE_q8_0(place, d) value_q8_0(values, head_dim, (place), (d))
#define VALUE_q4_0(place, d) value_q4_0(values, head_dim, (place), (d))

float value_scale(__global const uchar *values, const uint units, const uint head_dim, const uint place, const uint d)
{
    return vload_half(place * BLOCKS(head_dim) + d / 32, (__global const half *)(values + units * PAGE));
}

float value_q8_0(__global const uchar *values, const uint head_dim, const uint place, const uint d)
{
    return (float)as_char(values[place * head_dim + d]) * value_scale(values, head_dim, head_dim, place, d);
}

float value_q4_0(__global const uchar *values, const uint head_dim, const uint place, const uint d)
{
    const uint units = (head_dim + 1) / 2;
    const uint bytes = (min(32u, head_dim - d / 32 * 32) + 1) / 2;
    const uint i = d % 32;
    const uint high = i >= bytes;
    const uint two = values[place * units + d / 32 * 16 + (high ? i - bytes : i)];
    return (float)((int)(two >> (4 * high) & 15) - 8) * value_scale(values, units, head_dim, place, d);
}

#ifdef PERTURB_ATTENTION_PLAIN
#define PERTURBED_SCALE (1.05f * scale)
#else
#define PERTURBED_SCALE scale
#endif

#define QUERY(d) query[d]

// What all forms take.
#define OPERANDS                                                                                                   \
    __global const float *restrict q, __global const key_stored *restrict all_keys,                                \
        __global const value_stored *restrict all_values, __global float *restrict out,                            \
        __global const uint *restrict pages, const uint cols, const uint head_dim, const uint group,               \
        const uint first_row, const uint at, const float scale, const uint window, const float cap

// The keys, and the values, of the page of a slot for query head `head`.
#define KEY_HEADS (cols / head_dim / group)
#define KEYS_OF(slot) (all_keys + KEY_HEAD(pages, slot, KEY_HEADS, head / group, head_dim))
#define VALUES_OF(slot) (all_values + VALUE_HEAD(pages, slot, KEY_HEADS, head / group, head_dim))

// One work-item an output element, with a softmax of its own over all slots: works for every shape.
__kernel void attention_plain(OPERANDS)
{
    const uint col = get_global_id(0);
    const uint row = get_global_id(1);
    if (col >= cols) {
        return;
    }
    const uint head = col / head_dim;
    const uint d = col % head_dim;
    const ulong place = (ulong)(first_row + row) * cols;
    __global const float *query = q + place + head * head_dim;
    float most = -INFINITY;
    float total = 0.0f;
    float sum = 0.0f;
    for (uint slot = FIRST(at + row); slot <= at + row; slot++) {
        __global const key_stored *keys = KEYS_OF(slot);
        __global const value_stored *values = VALUES_OF(slot);
        float score = 0.0f;
        DOTS(float, score, QUERY, slot % PAGE)
        score = CAPPED(score * PERTURBED_SCALE);
        const float now = fmax(most, score);
        const float keep = exp(most - now);
        const float weight = exp(score - now);
        total = total * keep + weight;
        sum = sum * keep + weight * VALUE(slot % PAGE, d);
        most = now;
    }
    out[place + col] = sum / total;
}

// The other forms take heads of up to MOST_DIM elements, in groups of as many work-items as a page has slots.
#define MOST_DIM 256
#define LANES PAGE

// For a token, or a few: a work-group takes SPAN slots of one head and one row, and the results are merged
// afterwards. Work-items are slots while scores are taken, elements of the head while values are added up.
#define SPAN 128

#ifdef PERTURB_ATTENTION_SPLIT
#define SPLIT_SCALE (1.05f * scale)
#else
#define SPLIT_SCALE scale
#endif

// The maximum of all lanes' values, or their sum; the same for all lanes. Local memory written before can be read by all
// lanes afterwards.
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

// With several spans, `partial` gets [rows][heads][spans][head_dim sums, largest score, sum of weights]; with one,
// `out` gets the result.
__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void
attention_split(OPERANDS, __global float *restrict partial, const uint spans, const uint first_span)
{
    __local float query[MOST_DIM];
    __local float weights[SPAN];
    __local float found[LANES];
    const uint lane = get_local_id(0);
    const uint span = get_group_id(0);
    const uint head = get_group_id(1);
    const uint row = get_group_id(2);
    const uint begin = max((first_span + span) * SPAN, FIRST(at + row));
    const uint end = min((first_span + span + 1) * SPAN, at + row + 1);
    const uint count = end - min(begin, end);
    const ulong place = (ulong)(first_row + row) * cols + head * head_dim;
    for (uint d = lane; d < head_dim; d += LANES) {
        query[d] = q[place + d] * SPLIT_SCALE;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    // The same in every page, since LANES is PAGE.
    const uint key_place = (begin + lane) % PAGE;
    float most = -INFINITY;
    for (uint s = lane; s < count; s += LANES) {
        __global const key_stored *keys = KEYS_OF(begin + s);
        float score = 0.0f;
        DOTS(float, score, QUERY, key_place)
        score = CAPPED(score);
        weights[s] = score;
        most = fmax(most, score);
    }
    most = over_lanes(found, lane, most, 1);
    float total = 0.0f;
    for (uint s = lane; s < count; s += LANES) {
        const float weight = exp(weights[s] - most);
        weights[s] = weight;
        total += weight;
    }
    total = over_lanes(found, lane, total, 0);
    const ulong entry = (((ulong)row * (cols / head_dim) + head) * spans + span) * (head_dim + 2);
    for (uint d = lane; d < head_dim; d += LANES) {
        float sum = 0.0f;
        // Page by page.
        for (uint s = 0; s < count;) {
            __global const value_stored *values = VALUES_OF(begin + s);
            const uint stop = min(count, s + PAGE - (begin + s) % PAGE);
            for (; s < stop; s++) {
                sum += weights[s] * VALUE((begin + s) % PAGE, d);
            }
        }
        if (spans == 1) {
            out[place + d] = sum / total;
        } else {
            partial[entry + d] = sum;
        }
    }
    if (lane == 0 && spans > 1) {
        partial[entry + head_dim] = most;
        partial[entry + head_dim + 1] = total;
    }
}

// Puts the spans of attention_split together. A work-group a head, rows in dimension 2.
__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void
attention_merge(__global const float *restrict partial, __global float *restrict out, const uint cols,
                const uint head_dim, const uint spans, const uint first_row)
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
        out[(ulong)(first_row + row) * cols + head * head_dim + d] = sum / total;
    }
}

// For many rows: a work-group takes eight rows of one head, and goes over the slots in tiles of LANES with an online
// softmax. Every key and value that is read serves eight rows.
#define QUERIES(d) vload8((d), query)

#ifdef PERTURB_ATTENTION_TILE
#define TILE_SCALE (1.05f * scale)
#else
#define TILE_SCALE scale
#endif

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void attention_tile(OPERANDS, const uint rows)
{
    __local float query[MOST_DIM * 8];
    __local float weights[LANES * 8];
    __local float found[LANES * 8];
    const uint lane = get_local_id(0);
    const uint from = get_group_id(0) * 8;
    const uint head = get_group_id(1);
    for (uint i = lane; i < head_dim * 8; i += LANES) {
        const uint row = first_row + min(from + i % 8, rows - 1);
        query[i] = q[(ulong)row * cols + head * head_dim + i / 8] * TILE_SCALE;
    }
    float8 sum[MOST_DIM / LANES];
    for (uint j = 0; j < MOST_DIM / LANES; j++) {
        sum[j] = 0.0f;
    }
    // Finite, since of a tile a row may see nothing.
    float8 most = -FLT_MAX;
    float8 total = 0.0f;
    const uint end = at + min(from + 8, rows);
    for (uint begin = FIRST(at + from) / LANES * LANES; begin < end; begin += LANES) {
        barrier(CLK_LOCAL_MEM_FENCE);
        // A page.
        __global const key_stored *keys = KEYS_OF(begin);
        __global const value_stored *values = VALUES_OF(begin);
        const uint slot = begin + lane;
        float8 score = -INFINITY;
        if (slot < end) {
            float8 dots = 0.0f;
            DOTS(float8, dots, QUERIES, lane)
            const uint8 places = (uint8)(0, 1, 2, 3, 4, 5, 6, 7) + (at + from);
            const int8 sees = places >= slot && places - slot < window;
            score = select(score, CAPPED(dots), sees);
        }
        vstore8(score, lane, found);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint distance = LANES / 2; distance > 0; distance /= 2) {
            if (lane < distance) {
                vstore8(fmax(vload8(lane, found), vload8(lane + distance, found)), lane, found);
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        const float8 now = fmax(most, vload8(0, found));
        const float8 keep = exp(most - now);
        const float8 weight = exp(score - now);
        total = total * keep + weight;
        most = now;
        vstore8(weight, lane, weights);
        barrier(CLK_LOCAL_MEM_FENCE);
        const uint count = min((uint)LANES, end - begin);
        for (uint j = 0; j < MOST_DIM / LANES; j++) {
            const uint d = j * LANES + lane;
            if (d < head_dim) {
                float8 more = 0.0f;
                for (uint i = 0; i < count; i++) {
                    more += vload8(i, weights) * VALUE(i, d);
                }
                sum[j] = sum[j] * keep + more;
            }
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    vstore8(total, lane, found);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint distance = LANES / 2; distance > 0; distance /= 2) {
        if (lane < distance) {
            vstore8(vload8(lane, found) + vload8(lane + distance, found), lane, found);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    const float8 all = vload8(0, found);
    for (uint j = 0; j < MOST_DIM / LANES; j++) {
        const uint d = j * LANES + lane;
        if (d < head_dim) {
            float each[8];
            vstore8(sum[j] / all, 0, each);
            for (uint t = 0; t < 8 && from + t < rows; t++) {
                out[(ulong)(first_row + from + t) * cols + head * head_dim + d] = each[t];
            }
        }
    }
}

