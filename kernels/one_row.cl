// Reading one row of a matrix, `row`, block by block (codes.cl, floats.cl); put in front of the files that do.

#define FLOATS float
#define WORDS uint
#define INTS int
#define TO_FLOATS(v) convert_float(v)
#define AS_FLOATS(v) as_float(v)
#define AS_INTS(v) as_int(v)
#define READ(unit) w[place(row, unit, units, wide)]
#define HEAD(n) vload_half(place(row, n, HEADS, wide), heads)
#define HEAD_SHORT(n) ((uint)((__global const ushort *)heads)[place(row, n, HEADS, wide)])
#define HEAD_BYTE(n) ((uint)((__global const uchar *)heads)[place(row, n, HEADS, wide)])
#define LOOK_UP(table, n) ((int)(table)[n])

#define READ_f32(unit) as_float(READ(unit))
#define READ_f16(unit) vload_half(place(row, unit, units, wide), (__global const half *)w)
#define READ_bf16(unit) as_float((uint)((__global const ushort *)w)[place(row, unit, units, wide)] << 16)
// Rows of floats end with their last column.
#define IS_STORED(col) ((col) < cols)
