// q5_1: four words of lower bits, one of upper ones; the heads are a factor and a minimum.

#define NAME(stem) stem##q5_1
#define HEADS (blocks * 2)
#define CENTRE 16
#define PLACES                                                                                                     \
    SHORT(5)                                                                                                       \
    const WORDS high = READ(at + 4);
#define SCALES(h)                                                                                                  \
    const FLOATS scale = HEAD(2 * b);                                                                              \
    const FLOATS least = HEAD(2 * b + 1);
#define GROUPS(BEGIN, RUN, END) ONE_GROUP(BEGIN, RUNS_OF_4(RUN, 0, 4, FIFTH), END)
