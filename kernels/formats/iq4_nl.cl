// iq4_nl: four words of codes, one factor.

#define NAME(stem) stem##iq4_nl
#define HEADS blocks
// ggml's kvalues_iq4nl.
__constant char iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
#define TABLE iq4_values
#define PLACES SHORT(4)
#define SCALES(h) const FLOATS scale = HEAD(b);
#define GROUPS(BEGIN, RUN, END) ONE_GROUP(BEGIN, RUNS_OF_4(RUN, 0, 4, NO_HIGH), END)
