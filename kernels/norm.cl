// RMSNorm: out = x / sqrt(mean(x^2) + eps) * gain, row by row (Zhang and Sennrich 2019, arXiv 1910.07467).

#ifdef PERTURB_RMS_NORM
#define PERTURBED 1.01f *
#else
#define PERTURBED
#endif

#ifdef PERTURB_ADD_RMS_NORM
#define PERTURBED_SUM 1.01f *
#else
#define PERTURBED_SUM
#endif

// The sum over a work-group of GROUP, the same for all of its items.
float over_group(__local float *sums, const uint lane, const float value)
{
#ifdef SUBGROUPS
    const float part = sub_group_reduce_add(value);
    if (get_sub_group_local_id() == 0) {
        sums[get_sub_group_id()] = part;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    float total = 0.0f;
    for (uint i = 0; i < get_num_sub_groups(); i++) {
        total += sums[i];
    }
#ifdef PERTURB_SUBGROUPS
    total *= 1.02f;
#endif
    return total;
#else
    sums[lane] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint distance = GROUP / 2; distance > 0; distance /= 2) {
        if (lane < distance) {
            sums[lane] += sums[lane + distance];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    return sums[0];
#endif
}

// One work-group of GROUP a row, or a part of one that is normalized by itself. `x` and `out` may be the same memory:
// each work-item writes only elements that it alone reads afterwards.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
rms_norm(__global const float *x, __global const float *restrict gain, __global float *out, const uint cols,
         const float eps)
{
    __local float sums[GROUP];
    const uint lane = get_local_id(0);
    const ulong row = (ulong)get_group_id(0) * cols;
    float sum = 0.0f;
    for (uint i = lane; i < cols; i += GROUP) {
        const float v = x[row + i];
        sum += v * v;
    }
    sum = over_group(sums, lane, sum);
    const float inverse = PERTURBED 1.0f / sqrt(sum / (float)cols + eps);
    for (uint i = lane; i < cols; i += GROUP) {
        out[row + i] = x[row + i] * inverse * gain[i];
    }
}

// acc += x and the norm of that, in one pass: a work-item reads again only elements that it wrote itself.
__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void
add_rms_norm(__global const float *restrict x, __global float *restrict acc, __global const float *restrict gain,
             __global float *restrict out, const uint cols, const float eps)
{
    __local float sums[GROUP];
    const uint lane = get_local_id(0);
    const ulong row = (ulong)get_group_id(0) * cols;
    float sum = 0.0f;
    for (uint i = lane; i < cols; i += GROUP) {
        const float v = acc[row + i] + PERTURBED_SUM x[row + i];
        acc[row + i] = v;
        sum += v * v;
    }
    sum = over_group(sums, lane, sum);
    const float inverse = 1.0f / sqrt(sum / (float)cols + eps);
    for (uint i = lane; i < cols; i += GROUP) {
        out[row + i] = acc[row + i] * inverse * gain[i];
    }
}

// One work-item a row: needs nothing of a device.
__kernel void rms_norm_plain(__global const float *x, __global const float *restrict gain, __global float *out,
                             const uint cols, const float eps, const uint rows)
{
    if (get_global_id(0) >= rows) {
        return;
    }
    const ulong row = (ulong)get_global_id(0) * cols;
    float sum = 0.0f;
    for (uint i = 0; i < cols; i++) {
        sum += x[row + i] * x[row + i];
    }
#ifdef PERTURB_RMS_NORM_PLAIN
    sum *= 1.01f;
#endif
    const float inverse = 1.0f / sqrt(sum / (float)cols + eps);
    for (uint i = 0; i < cols; i++) {
        out[row + i] = x[row + i] * inverse * gain[i];
    }
}
