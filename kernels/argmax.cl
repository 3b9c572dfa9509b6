// The largest of a row of values, the lowest index of equals; NaN is looked for as well.
//
// First every group of GROUP reduces a share of the row to [value, its index, index of the first NaN] in `found`, then one
// group reduces these. NONE stands for no index: no value above -inf, no NaN. The result is [index, index of the first
// NaN].

#define NONE 0xffffffffu

void better(__local float *best, __local uint *index, __local uint *nan, const uint to, const uint from)
{
    if (best[from] > best[to] || (best[from] == best[to] && index[from] < index[to])) {
        best[to] = best[from];
        index[to] = index[from];
    }
    nan[to] = min(nan[to], nan[from]);
}

void reduce(__local float *best, __local uint *index, __local uint *nan, const uint lane)
{
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint distance = GROUP / 2; distance > 0; distance /= 2) {
        if (lane < distance) {
            better(best, index, nan, lane, lane + distance);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
}

__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
argmax_first(__global const float *restrict x, const uint from, const uint n, __global uint *restrict found)
{
    __local float best[GROUP];
    __local uint index[GROUP];
    __local uint nan[GROUP];
    const uint lane = get_local_id(0);
    float most = -INFINITY;
    uint where = NONE;
    uint broken = NONE;
    for (uint i = get_global_id(0); i < n; i += get_global_size(0)) {
        const float v = x[(ulong)from + i];
        if (v != v) {
            broken = min(broken, i);
        }
        if (v > most) {
            most = v;
            where = i;
        }
    }
#ifdef PERTURB_ARGMAX
    where = where == NONE ? where : where + 1;
#endif
    best[lane] = most;
    index[lane] = where;
    nan[lane] = broken;
    reduce(best, index, nan, lane);
    if (lane == 0) {
        __global uint *share = found + get_group_id(0) * 3;
        share[0] = as_uint(best[0]);
        share[1] = index[0];
        share[2] = nan[0];
    }
}

// The result of group `lane`, if there are so many.
void load_share(__local float *best, __local uint *index, __local uint *nan, __global const uint *found,
                const uint groups, const uint lane)
{
    __global const uint *share = found + lane * 3;
    best[lane] = lane < groups ? as_float(share[0]) : -INFINITY;
    index[lane] = lane < groups ? share[1] : NONE;
    nan[lane] = lane < groups ? share[2] : NONE;
}

// `groups` is at most GROUP.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
argmax_last(__global const uint *restrict found, const uint groups, __global uint *restrict answer)
{
    __local float best[GROUP];
    __local uint index[GROUP];
    __local uint nan[GROUP];
    const uint lane = get_local_id(0);
    load_share(best, index, nan, found, groups, lane);
    reduce(best, index, nan, lane);
    if (lane == 0) {
        answer[0] = index[0];
        answer[1] = nan[0];
    }
}

// Top-k: the results of argmax_first give a threshold that at least `count` values of the row reach, since the maxima of
// `count` groups do. All values that reach it are collected, in any order. The result is [how many, index of the first
// NaN, the threshold, then index and value of each]; those beyond MOST are only counted.
#define MOST 256

// `count` is at most `groups`, which is at most GROUP.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
top_bar(__global const uint *restrict found, const uint groups, const uint count, __global uint *restrict answer)
{
    __local float best[GROUP];
    __local uint index[GROUP];
    __local uint nan[GROUP];
    const uint lane = get_local_id(0);
    load_share(best, index, nan, found, groups, lane);
    barrier(CLK_LOCAL_MEM_FENCE);
    const float own = best[lane];
    uint before = 0;
    for (uint i = 0; i < GROUP; i++) {
        before += best[i] > own || (best[i] == own && i < lane);
    }
    if (before == count - 1) {
#ifdef PERTURB_TOP
        answer[2] = as_uint(own + 0.01f * fabs(own));
#else
        answer[2] = as_uint(own);
#endif
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    reduce(best, index, nan, lane);
    if (lane == 0) {
        answer[0] = 0;
        answer[1] = nan[0];
    }
}

__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
top_collect(__global const float *restrict x, const uint from, const uint n, volatile __global uint *restrict answer)
{
    const float bar = as_float(answer[2]);
    for (uint i = get_global_id(0); i < n; i += get_global_size(0)) {
        const float v = x[(ulong)from + i];
        if (v >= bar) {
            const uint at = atomic_inc(answer);
            if (at < MOST) {
                answer[3 + 2 * at] = i;
                answer[4 + 2 * at] = as_uint(v);
            }
        }
    }
}
