// mxfp4: four words of codes; the head is a byte, the exponent of a power of two.

#define NAME(stem) stem##mxfp4
#define HEADS blocks
// Twice what the floats of four bits stand for, so the power is half of that which the byte stands for.
__constant char mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
#define TABLE mxfp4_values
#define PLACES SHORT(4)
#define SCALES(h)                                                                                                  \
    const WORDS e = HEAD_BYTE(b);                                                                                  \
    const FLOATS scale = AS_FLOATS(e < 2u ? (WORDS)(0x00200000u) << e : (e - 1u) << 23);
#define GROUPS(BEGIN, RUN, END) ONE_GROUP(BEGIN, RUNS_OF_4(RUN, 0, 4, NO_HIGH), END)
