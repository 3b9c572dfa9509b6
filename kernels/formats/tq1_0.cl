// tq1_0: thirteen words of five runs each, whose bytes are digits to the base 3, the first run's the most significant; one
// factor.

#define NAME(stem) stem##tq1_0
#define HEADS (blocks / 8)
#define OFFSET 1
#define PLACES LONG(13, 0, 0)
#define SCALES(h) const FLOATS scale = HEAD(k);
__constant uint powers[5] = {1, 3, 9, 27, 81};
// Digits of two bytes each: a byte is a fraction of 256, whose first digit is what three times that has beyond 255.
#define DIGITS(bytes, power) ((((((bytes) & 0x00ff00ffu) * (power)) & 0x00ff00ffu) * 3u >> 8) & 0x00ff00ffu)
#define EACH_RUN(RUN)                                                                                              \
    for (uint g = 0; g < 8; g++) {                                                                                 \
        const uint n = 8 * s + g;                                                                                  \
        const WORDS five = READ(at + n / 5);                                                                       \
        const uint power = powers[n % 5];                                                                          \
        RUN((DIGITS(five, power) | (DIGITS(five >> 8, power) << 8)), g)                                            \
    }
#define GROUPS(BEGIN, RUN, END) ONE_GROUP(BEGIN, EACH_RUN(RUN), END)
