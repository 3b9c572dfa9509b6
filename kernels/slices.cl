// The sums of work-items that share the columns of four rows; put in front of the files that use them.

// Adds up the sums of SLICES work-items that are alike but for their slice, in a fixed order; slice 0 gets the total. A
// slice has `wide` work-items. All of a group have to come here.
float4 over_slices(__local float4 *sums, const uint wide, const uint item, const uint slice, const float4 sum)
{
    sums[slice * wide + item] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint distance = SLICES / 2; distance > 0; distance /= 2) {
        if (slice < distance) {
            sums[slice * wide + item] += sums[(slice + distance) * wide + item];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    return sums[item];
}
