// Rotary embedding in place, half-split form (Su et al. 2021, arXiv 2104.09864): elements i and i + half of a head turn
// by the angle of pair i. A row of `angles` has half cosines, then half sines.

// One work-item a pair, rows in dimension 1.
__kernel void rope(__global float *restrict x, __global const float *restrict angles, const uint cols, const uint half_dim)
{
    const uint pair = get_global_id(0);
    const uint row = get_global_id(1);
    if (pair >= cols / 2) {
        return;
    }
    const uint i = pair % half_dim;
    const ulong a = (ulong)row * cols + pair / half_dim * 2 * half_dim + i;
    const ulong b = a + half_dim;
    const ulong angle = (ulong)row * 2 * half_dim + i;
    const float c = angles[angle];
#ifdef PERTURB_ROPE
    const float s = 1.01f * angles[angle + half_dim];
#else
    const float s = angles[angle + half_dim];
#endif
    const float p = x[a];
    const float q = x[b];
    x[a] = p * c - q * s;
    x[b] = q * c + p * s;
}
