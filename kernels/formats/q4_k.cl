// q4_k: three words of scales, twelve bits for each 32 columns with its minimum, then four of codes for each 32 columns; the
// heads are the factors of scales and of minima.

#define NAME(stem) stem##q4_k
#define HEADS (blocks / 8 * 2)
#define CENTRE 8
#define PLACES LONG(35, 3, 4)
#define SCALES(h)                                                                                                  \
    TWELVE_BITS                                                                                                    \
    const FLOATS scale = HEAD(2 * k) * TO_FLOATS(one);                                                             \
    const FLOATS least = -HEAD(2 * k + 1) * TO_FLOATS(other);
#define GROUPS(BEGIN, RUN, END) ONE_GROUP(BEGIN, RUNS_OF_4(RUN, 0, 4, NO_HIGH), END)
