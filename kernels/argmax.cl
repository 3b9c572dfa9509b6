// The largest of a row of values, the lowest index of equals; NaN is looked for as well.
//
// First every group of GROUP takes a share of the row and leaves [value, its index, index of the first NaN], then one
// group does the same with what they left. NONE stands for no index: no value above -inf, no NaN. `found` begins with
// the answer, [index, index of the first NaN], and goes on with what the groups leave.

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
        __global uint *share = found + 2 + get_group_id(0) * 3;
        share[0] = as_uint(best[0]);
        share[1] = index[0];
        share[2] = nan[0];
    }
}

// `groups` is at most GROUP.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
argmax_last(__global uint *restrict found, const uint groups)
{
    __local float best[GROUP];
    __local uint index[GROUP];
    __local uint nan[GROUP];
    const uint lane = get_local_id(0);
    __global const uint *share = found + 2 + lane * 3;
    best[lane] = lane < groups ? as_float(share[0]) : -INFINITY;
    index[lane] = lane < groups ? share[1] : NONE;
    nan[lane] = lane < groups ? share[2] : NONE;
    reduce(best, index, nan, lane);
    if (lane == 0) {
        found[0] = index[0];
        found[1] = nan[0];
    }
}
