// Blocks of 32 floats; in the place of codes.cl.
//
// BLOCK reads block `b` of what one_row.cl or blocks.cl has: COLUMN(c, wt) of the file after it is used with each column c
// of 0..31 and its weights.

#define HEADS 0
#define BLOCK                                                                                                      \
    for (uint c = 0; c < 32; c++) {                                                                                \
        if (IS_STORED(b * 32 + c)) {                                                                               \
            const FLOATS wt = READ_FLOATS(b * 32 + c);                                                             \
            COLUMN(c, wt)                                                                                          \
        }                                                                                                          \
    }
