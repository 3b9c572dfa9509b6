// q6_k: four words of scales, a signed byte for each 16 columns, then for each 32 columns four words of lower bits and two of
// upper ones; one factor.

#define NAME(stem) stem##q6_k
#define HEADS (blocks / 8)
#define OFFSET 32
#define TWO_GROUPS
#define PLACES                                                                                                     \
    LONG(52, 4, 6)                                                                                                 \
    const WORDS both = READ(unit + s / 2) >> (s % 2 * 16);                                                         \
    const FLOATS d = HEAD(k);
#define SCALES(h)                                                                                                  \
    const FLOATS scale = d * TO_FLOATS(AS_INTS(both << (24 - 8 * h)) >> 24);                                       \
    const WORDS high = READ(at + 4 + h);
#define HIGH_2(g) (((high >> ((g) % 4 * 2)) & 0x03030303u) << 4)
#define GROUPS(BEGIN, RUN, END) BOTH_GROUPS(BEGIN, RUNS_OF_4(RUN, 2 * h, 2, HIGH_2), END)
