// q4_1: four words of codes; the heads are a factor and a minimum.

#define NAME(stem) stem##q4_1
#define HEADS (blocks * 2)
#define CENTRE 8
#define PLACES SHORT(4)
#define SCALES(h)                                                                                                  \
    const FLOATS scale = HEAD(2 * b);                                                                              \
    const FLOATS least = HEAD(2 * b + 1);
#define GROUPS(BEGIN, RUN, END) ONE_GROUP(BEGIN, RUNS_OF_PAIRS(RUN), END)
