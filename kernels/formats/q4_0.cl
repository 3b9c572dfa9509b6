// q4_0: four words of codes, one factor.

#define NAME(stem) stem##q4_0
#define HEADS blocks
#define OFFSET 8
#define PLACES SHORT(4)
#define SCALES(h) const FLOATS scale = HEAD(b);
#define GROUPS(BEGIN, RUN, END) ONE_GROUP(BEGIN, RUNS_OF_PAIRS(RUN), END)
