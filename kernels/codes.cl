// Blocks of codes: what the files of formats/ have in common; put between one of these and one_row.cl or blocks.cl.
//
// A file of formats/ defines, for 32 columns of a row or of four rows, `b` counting these:
//   NAME(stem)  the name of the format's kernel
//   HEADS       heads of a row
//   PLACES      declares `at`, the first unit of the codes of these columns, by SHORT or LONG
//   SCALES(h)   declares the factors of a group: `scale`, and with minima `least`, which is added
//   GROUPS(BEGIN, RUN, END)
//               for each group h, 0 or with TWO_GROUPS 0 and 1: BEGIN(h), then RUN(q, g) with each of its runs g and the
//               words q of their codes, then END(h)
// and what a code stands for, one of
//   OFFSET      the code less this
//   CENTRE      the code itself, in formats with minima; this is in the middle of them
//   TABLE       what this table has for it
//   BYTES       the code as a signed byte

#define STORED uint

// Short blocks, of `words` words.
#define SHORT(words) const uint at = b * words;
// Long blocks, of `words` words: first those of scales, then `each` for every 32 columns. `k` counts them, and `unit` is the
// first of a block.
#define LONG(words, scales, each)                                                                                  \
    const uint k = b / 8, s = b % 8, unit = k * words;                                                             \
    const uint at = unit + scales + s * each;

// Twelve bits for each 32 columns, of three words: the lower eight, two times four, then the upper four. As two numbers.
#define TWELVE_BITS                                                                                                \
    const WORDS byte = (READ(unit + s / 4) >> (s % 4 * 8)) & 255u;                                                 \
    const WORDS nibble = (READ(unit + 2) >> (s * 4)) & 15u;                                                        \
    const WORDS one = byte & 63u;                                                                                  \
    const WORDS other = (byte >> 6) | (nibble << 2);

#define ONE_GROUP(BEGIN, RUNS, END)                                                                                \
    {                                                                                                              \
        BEGIN(0)                                                                                                   \
        RUNS                                                                                                       \
        END(0)                                                                                                     \
    }
#define BOTH_GROUPS(BEGIN, RUNS, END)                                                                              \
    for (uint h = 0; h < 2; h++) {                                                                                 \
        BEGIN(h)                                                                                                   \
        RUNS                                                                                                       \
        END(h)                                                                                                     \
    }

// Runs whose codes have four lower bits in words first .. first + count - 1, or two; HIGH(g) are the upper ones.
#define RUNS_OF_4(RUN, first, count, HIGH)                                                                         \
    for (uint j = first; j < first + count; j++) {                                                                 \
        const WORDS low = READ(at + j);                                                                            \
        RUN(((low & 0x0f0f0f0fu) | HIGH(2 * j)), (2 * j))                                                          \
        RUN((((low >> 4) & 0x0f0f0f0fu) | HIGH(2 * j + 1)), (2 * j + 1))                                           \
    }
#define RUNS_OF_2(RUN, first, count, HIGH)                                                                         \
    for (uint j = first; j < first + count; j++) {                                                                 \
        const WORDS low = READ(at + j);                                                                            \
        RUN(((low & 0x03030303u) | HIGH(4 * j)), (4 * j))                                                          \
        RUN((((low >> 2) & 0x03030303u) | HIGH(4 * j + 1)), (4 * j + 1))                                           \
        RUN((((low >> 4) & 0x03030303u) | HIGH(4 * j + 2)), (4 * j + 2))                                           \
        RUN((((low >> 6) & 0x03030303u) | HIGH(4 * j + 3)), (4 * j + 3))                                           \
    }
#define NO_HIGH(g) 0u
// One upper bit, of the word `high`, after four or two lower ones.
#define FIFTH(g) (((high >> (g)) & 0x01010101u) << 4)
#define THIRD(g) (((high >> (g)) & 0x01010101u) << 2)
// The same of ggml's pairing of 4 bits, which q4_0 and q4_1 keep: the byte for column c holds column c + 16 in its high half.
#define RUNS_OF_PAIRS(RUN)                                                                                         \
    for (uint j = 0; j < 4; j++) {                                                                                 \
        const WORDS pairs = READ(at + j);                                                                          \
        RUN((pairs & 0x0f0f0f0fu), j)                                                                              \
        RUN(((pairs >> 4) & 0x0f0f0f0fu), (j + 4))                                                                 \
    }

// What a code stands for: NUMBER as floats; INTEGER less CENTRE as integers; SIGNED(q), with what OFFSET or CENTRE is left
// out of it, as signed bytes.
#define CODE(q, i) (((q) >> (8 * (i))) & 255u)
#if defined(OFFSET)
#define NUMBER(q, i) (TO_FLOATS(CODE(q, i)) - (float)OFFSET)
#define INTEGER(q, i) (AS_INTS(CODE(q, i)) - OFFSET)
#define SIGNED(q) (q)
#elif defined(CENTRE)
#define NUMBER(q, i) TO_FLOATS(CODE(q, i))
#define INTEGER(q, i) (AS_INTS(CODE(q, i)) - CENTRE)
#define SIGNED(q) (q)
#elif defined(TABLE)
#define NUMBER(q, i) TO_FLOATS(INTEGER(q, i))
#define INTEGER(q, i) LOOK_UP(TABLE, CODE(q, i))
#define BYTE_OF(q, i) ((as_uint4(INTEGER(q, i)) & 255u) << (8 * (i)))
#define SIGNED(q) (BYTE_OF(q, 0) | BYTE_OF(q, 1) | BYTE_OF(q, 2) | BYTE_OF(q, 3))
#elif defined(BYTES)
#define NUMBER(q, i) TO_FLOATS(INTEGER(q, i))
#define INTEGER(q, i) (AS_INTS((q) << (24 - 8 * (i))) >> 24)
#define SIGNED(q) (q)
#endif

#ifdef CENTRE
#define WEIGHT_OF(number) (scale * (number) + least)
#else
#define WEIGHT_OF(number) (scale * (number))
#endif

// BLOCK reads block `b` of what one_row.cl or blocks.cl has: COLUMN(c, wt) of the file after it is used with each column c
// of 0..31 and its weights.
#define BLOCK_COLUMN(q, g, i)                                                                                      \
    {                                                                                                              \
        const FLOATS wt = WEIGHT_OF(NUMBER(q, i));                                                                 \
        COLUMN((4 * (g) + i), wt)                                                                                  \
    }
#define BLOCK_RUN(q, g)                                                                                            \
    {                                                                                                              \
        const WORDS codes = q;                                                                                     \
        BLOCK_COLUMN(codes, g, 0)                                                                                  \
        BLOCK_COLUMN(codes, g, 1)                                                                                  \
        BLOCK_COLUMN(codes, g, 2)                                                                                  \
        BLOCK_COLUMN(codes, g, 3)                                                                                  \
    }
#define BLOCK_END(h)
#define BLOCK                                                                                                      \
    {                                                                                                              \
        PLACES                                                                                                     \
        GROUPS(SCALES, BLOCK_RUN, BLOCK_END)                                                                       \
    }
