// The layout of keys and values in a layer's cache; put in front of the files that use them. KEYS and VALUES are the names
// of their types: f32, f16, q8_0, q4_0.
//
// A head's elements are stored in units: elements of f32 and f16, bytes of the block formats. In q8_0 a byte is an element;
// in q4_0 byte i of a block holds its element i in the low nibble, and the element half a block later in the high one.
// Slots are in pages of PAGE, in whatever order: entry s / PAGE of a table of pages says where slot s of a sequence is. Of a
// page, keys are [kv_heads][units][PAGE], so that neighbours in a work-group compute the scores of neighbouring slots;
// values are [kv_heads][PAGE][units]. After the units of each head come its scales (f16) if it has blocks, [blocks][PAGE]
// of keys and [PAGE][blocks] of values. A block has 32 elements of a head; the last one may have fewer.
//
// Outside of the device a slot's keys, or values, are [kv_heads] contiguous blocks: scale, then bytes.

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
// The form of a macro or function for keys, and for values.
#define OF_KEYS(name) JOIN(name, KEYS)
#define OF_VALUES(name) JOIN(name, VALUES)

// A unit that is moved, and an element that is computed with.
#define UNIT_f32 uint
#define UNIT_f16 ushort
#define UNIT_q8_0 uchar
#define UNIT_q4_0 uchar
#define STORED_f32 float
#define STORED_f16 half
#define STORED_q8_0 uchar
#define STORED_q4_0 uchar

// Units of a full block; scales of a block.
#define FULL_f32 32
#define FULL_f16 32
#define FULL_q8_0 32
#define FULL_q4_0 16
#define SCALED_f32 0
#define SCALED_f16 0
#define SCALED_q8_0 1
#define SCALED_q4_0 1

#define KEY_FULL OF_KEYS(FULL_)
#define VALUE_FULL OF_VALUES(FULL_)
#define KEY_SCALED OF_KEYS(SCALED_)
#define VALUE_SCALED OF_VALUES(SCALED_)

// Units and blocks of a head's slot; the compiler knows which side of a condition is taken.
#define KEY_UNITS(head_dim) (KEY_FULL == 32 ? (head_dim) : ((head_dim) + 1) / 2)
#define VALUE_UNITS(head_dim) (VALUE_FULL == 32 ? (head_dim) : ((head_dim) + 1) / 2)
#define BLOCKS(head_dim) (((head_dim) + 31) / 32)

// Slots of a page.
#define PAGE 64

// Units from a head of a page to the next, its scales included, for so many slots.
#define KEY_SPAN(head_dim, slots) ((ulong)(slots) * (KEY_UNITS(head_dim) + KEY_SCALED * 2 * BLOCKS(head_dim)))
#define VALUE_SPAN(head_dim, slots) ((ulong)(slots) * (VALUE_UNITS(head_dim) + VALUE_SCALED * 2 * BLOCKS(head_dim)))

// Where a head of the page of `slot` begins.
#define KEY_HEAD(table, slot, heads, head, head_dim)                                                               \
    (((ulong)(table)[(slot) / PAGE] * (heads) + (head)) * KEY_SPAN(head_dim, PAGE))
#define VALUE_HEAD(table, slot, heads, head, head_dim)                                                             \
    (((ulong)(table)[(slot) / PAGE] * (heads) + (head)) * VALUE_SPAN(head_dim, PAGE))

// Within a head of a page: the place of a unit, and of a block's scale after all units.
#define KEY_PLACE(head_dim, unit, slot) ((ulong)(unit) * PAGE + (slot) % PAGE)
#define VALUE_PLACE(head_dim, unit, slot) ((ulong)((slot) % PAGE) * VALUE_UNITS(head_dim) + (unit))
#define KEY_SCALE_PLACE(head_dim, block, slot) ((ulong)(block) * PAGE + (slot) % PAGE)
#define VALUE_SCALE_PLACE(head_dim, block, slot) ((ulong)((slot) % PAGE) * BLOCKS(head_dim) + (block))
