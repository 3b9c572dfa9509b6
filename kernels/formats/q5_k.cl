// q5_k: scales and heads as of q4_k; for each 32 columns four words of lower bits and one of upper ones.

#define NAME(stem) stem##q5_k
#define HEADS (blocks / 8 * 2)
#define CENTRE 16
#define PLACES                                                                                                     \
    LONG(43, 3, 5)                                                                                                 \
    const WORDS high = READ(at + 4);
#define SCALES(h)                                                                                                  \
    TWELVE_BITS                                                                                                    \
    const FLOATS scale = HEAD(2 * k) * TO_FLOATS(one);                                                             \
    const FLOATS least = -HEAD(2 * k + 1) * TO_FLOATS(other);
#define GROUPS(BEGIN, RUN, END) ONE_GROUP(BEGIN, RUNS_OF_4(RUN, 0, 4, FIFTH), END)
