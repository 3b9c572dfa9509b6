// q2_k: four words of scales, a byte for each 16 columns with its minimum in the upper half, then two of codes for each 32
// columns; the heads are the factors of scales and of minima.

#define NAME(stem) stem##q2_k
#define HEADS (blocks / 8 * 2)
#define CENTRE 2
#define TWO_GROUPS
#define PLACES                                                                                                     \
    LONG(20, 4, 2)                                                                                                 \
    const WORDS both = READ(unit + s / 2) >> (s % 2 * 16);                                                         \
    const FLOATS d = HEAD(2 * k);                                                                                  \
    const FLOATS m = HEAD(2 * k + 1);
#define SCALES(h)                                                                                                  \
    const FLOATS scale = d * TO_FLOATS((both >> (8 * h)) & 15u);                                                   \
    const FLOATS least = -m * TO_FLOATS((both >> (8 * h + 4)) & 15u);
#define GROUPS(BEGIN, RUN, END) BOTH_GROUPS(BEGIN, RUNS_OF_2(RUN, h, 1, NO_HIGH), END)
