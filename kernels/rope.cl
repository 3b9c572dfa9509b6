// Rotary embedding in place, half-split form (Su et al. 2021, arXiv 2104.09864): elements i and i + pairs of a head turn
// by the angle of pair i; those after them, if any, stay. A row of `angles` has `pairs` cosines, then as many sines.

// One work-item a pair, rows in dimension 1.
__kernel void rope(__global float *restrict x, __global const float *restrict angles, const uint cols,
                   const uint head_dim, const uint pairs)
{
    const uint pair = get_global_id(0);
    const uint row = get_global_id(1);
    if (pair >= cols / head_dim * pairs) {
        return;
    }
    const uint i = pair % pairs;
    const ulong a = (ulong)row * cols + pair / pairs * head_dim + i;
    const ulong b = a + pairs;
    const ulong angle = (ulong)row * 2 * pairs + i;
    const float c = angles[angle];
#ifdef PERTURB_ROPE
    const float s = 1.01f * angles[angle + pairs];
#else
    const float s = angles[angle + pairs];
#endif
    const float p = x[a];
    const float q = x[b];
    x[a] = p * c - q * s;
    x[b] = q * c + p * s;
}
