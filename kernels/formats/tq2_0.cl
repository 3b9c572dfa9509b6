// tq2_0: two words of codes for each 32 columns; one factor.

#define NAME(stem) stem##tq2_0
#define HEADS (blocks / 8)
#define OFFSET 1
#define PLACES LONG(16, 0, 2)
#define SCALES(h) const FLOATS scale = HEAD(k);
#define GROUPS(BEGIN, RUN, END) ONE_GROUP(BEGIN, RUNS_OF_2(RUN, 0, 2, NO_HIGH), END)
