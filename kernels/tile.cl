// Linear layers for many tokens: which part of the result a work-item computes. Put in front of the files that use it.
//
// A work-group takes a tile of rows and TOKENS tokens; a work-item four rows and eight tokens. A block of the activations
// is brought into local memory, what meets the same weights side by side, and each weight that is read serves eight tokens.

#define LANES (TILE / 4)
#define PARTS 4
#define TOKENS (8 * PARTS)
// What tokens have side by side is so far apart in local memory: not a multiple of its banks.
#define STEP (TOKENS + 4)

#define EIGHT(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)

// `begin` is the first of the item's tokens. Two items bring the activations of the token `loaded` of the group, each one
// `side` of a block.
#define PLACE_IN_TILE                                                                                              \
    const uint lane = get_local_id(0);                                                                             \
    const uint part = get_local_id(1);                                                                             \
    const uint tile = get_group_id(0);                                                                             \
    const uint begin = get_group_id(1) * TOKENS + 8 * part;                                                        \
    const uint loaded = (part * LANES + lane) / 2;                                                                 \
    const uint side = lane % 2;                                                                                    \
    const uint token = get_group_id(1) * TOKENS + loaded;

// The sums of four rows, for each of the item's tokens.
#define SUMS                                                                                                       \
    float4 sum0 = 0.0f, sum1 = 0.0f, sum2 = 0.0f, sum3 = 0.0f;                                                     \
    float4 sum4 = 0.0f, sum5 = 0.0f, sum6 = 0.0f, sum7 = 0.0f;

#define PUT(i)                                                                                                     \
    if (begin + i < tokens) {                                                                                      \
        put(out + (ulong)(begin + i) * out_cols, bias, has_bias, first, rows, tile * TILE + 4 * lane,              \
            PERTURBED sum##i);                                                                                     \
    }
