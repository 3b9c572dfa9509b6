// q3_k: three words of scales, twelve bits for each two groups of 16 columns, then for each 32 columns two words of lower
// bits and one of upper ones; one factor.

#define NAME(stem) stem##q3_k
#define HEADS (blocks / 8)
#define OFFSET 4
#define TWO_GROUPS
#define PLACES                                                                                                     \
    LONG(27, 3, 3)                                                                                                 \
    TWELVE_BITS                                                                                                    \
    const FLOATS d = HEAD(k);                                                                                      \
    const WORDS high = READ(at + 2);
#define SCALES(h) const FLOATS scale = d * (TO_FLOATS(h == 0 ? one : other) - 32.0f);
#define GROUPS(BEGIN, RUN, END) BOTH_GROUPS(BEGIN, RUNS_OF_2(RUN, h, 1, THIRD), END)
