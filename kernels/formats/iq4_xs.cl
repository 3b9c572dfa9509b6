// iq4_xs: a word of the lower four bits of scales, then four of codes for each 32 columns; the heads are a factor and the
// upper two bits of the scales.

#define NAME(stem) stem##iq4_xs
#define HEADS (blocks / 8 * 2)
// ggml's kvalues_iq4nl.
__constant char iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
#define TABLE iq4_values
#define PLACES LONG(33, 1, 4)
#define SCALES(h)                                                                                                  \
    const WORDS lower = (READ(unit) >> (s * 4)) & 15u;                                                             \
    const WORDS upper = (HEAD_SHORT(2 * k + 1) >> (s * 2)) & 3u;                                                   \
    const FLOATS scale = HEAD(2 * k) * (TO_FLOATS(lower | (upper << 4)) - 32.0f);
#define GROUPS(BEGIN, RUN, END) ONE_GROUP(BEGIN, RUNS_OF_4(RUN, 0, 4, NO_HIGH), END)
