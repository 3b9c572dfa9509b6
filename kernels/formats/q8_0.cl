// q8_0: eight words of codes, one factor.

#define NAME(stem) stem##q8_0
#define HEADS blocks
#define BYTES
#define PLACES SHORT(8)
#define SCALES(h) const FLOATS scale = HEAD(b);
#define EACH_RUN(RUN)                                                                                              \
    for (uint g = 0; g < 8; g++) {                                                                                 \
        RUN(READ(at + g), g)                                                                                       \
    }
#define GROUPS(BEGIN, RUN, END) ONE_GROUP(BEGIN, EACH_RUN(RUN), END)
