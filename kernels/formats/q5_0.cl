// q5_0: four words of lower bits, one of upper ones; one factor.

#define NAME(stem) stem##q5_0
#define HEADS blocks
#define OFFSET 16
#define PLACES                                                                                                     \
    SHORT(5)                                                                                                       \
    const WORDS high = READ(at + 4);
#define SCALES(h) const FLOATS scale = HEAD(b);
#define GROUPS(BEGIN, RUN, END) ONE_GROUP(BEGIN, RUNS_OF_4(RUN, 0, 4, FIFTH), END)
