//! One table of functions per instruction set, chosen once.

use super::super::isa::Isa;
#[cfg(target_arch = "x86_64")]
use super::super::isa::{Amx, Avx2, Avx512, Avx512Bf16, AvxVnni};
#[cfg(target_arch = "aarch64")]
use super::super::isa::{DotProd, I8mm, Neon};
#[cfg(target_arch = "x86_64")]
use super::amx_int;
use super::attention::{self, Attend, Attention, Reader, State, Tile};
#[cfg(target_arch = "x86_64")]
use super::avx512_bf16::{self, PairsBf16, PairsF16};
use super::cached::{Floats, Q4_0, Q8_0};
use super::code_formats::CodeFormat;
#[cfg(target_arch = "aarch64")]
use super::code_rows;
use super::codes::{Multiply, Unpacked};
use super::float::{self, FloatRows, StoredBf16, StoredF16, StoredF32};
use super::packed::{PackedTiles, Pairs, QuantizedRows, TileLayout};
#[cfg(target_arch = "x86_64")]
use super::paired::{PAIRED, PairedRows};
use super::paired::{Paired, PairedTile};
use super::scalar::Scalar;
use super::widen::{Bytes, Nibbles};
use super::{GROUP, Outputs, code_formats, codes, elementwise, quantized, weigh, widen};
use crate::core::{BLOCK_LEN, BlockFormat, DType, FloatFormat, KvTypes};

/// Stored floats, the same as f32.
pub(crate) type Widen = fn(&[u8], &mut [f32]);
/// Values; places from a block to the next; their quants, scales and offsets.
pub(crate) type Quantize = fn(&[f32], usize, &mut [[i8; BLOCK_LEN]], &mut [f32], &mut [i32]);
/// As [`Quantize`], in blocks of 256: with sums of each sixteen quants in place of offsets.
pub(crate) type QuantizeLong = fn(&[f32], usize, &mut [[i8; BLOCK_LEN]], &mut [f32], &mut [Pairs]);
/// The quants of a group of activation rows, and how many rows these are.
pub(crate) type Arrange = fn(&mut [[i8; BLOCK_LEN]], usize);
/// Tile of float weight rows, group of activation rows, results.
pub(crate) type FloatTile = fn(&[u8], &FloatRows<'_>, &mut Outputs);
/// Tiles of packed weight rows, group of activation rows, what takes each tile's number and results.
pub(crate) type QuantizedTiles = fn(&PackedTiles<'_>, &QuantizedRows<'_>, &mut dyn FnMut(usize, &Outputs));

/// Sixteen keys, queries, their products, places from one query's products to the next's.
pub(crate) type Products = fn(&[f32], &[f32], &mut [[f32; 16]], usize);

/// Something for each block format.
#[derive(Clone, Copy)]
pub(crate) struct OfBlocks<T> {
    q8_0: T,
    q4_0: T,
    q4_1: T,
    q5_0: T,
    q5_1: T,
    iq4_nl: T,
    mxfp4: T,
    q2_k: T,
    q3_k: T,
    q4_k: T,
    q5_k: T,
    q6_k: T,
    iq4_xs: T,
    tq1_0: T,
    tq2_0: T,
}

impl<T: Copy> OfBlocks<T> {
    fn of(&self, dtype: DType) -> Option<T> {
        dtype.block_format().map(|format| match format {
            BlockFormat::Q8_0 => self.q8_0,
            BlockFormat::Q4_0 => self.q4_0,
            BlockFormat::Q4_1 => self.q4_1,
            BlockFormat::Q5_0 => self.q5_0,
            BlockFormat::Q5_1 => self.q5_1,
            BlockFormat::Iq4Nl => self.iq4_nl,
            BlockFormat::Mxfp4 => self.mxfp4,
            BlockFormat::Q2K => self.q2_k,
            BlockFormat::Q3K => self.q3_k,
            BlockFormat::Q4K => self.q4_k,
            BlockFormat::Q5K => self.q5_k,
            BlockFormat::Q6K => self.q6_k,
            BlockFormat::Iq4Xs => self.iq4_xs,
            BlockFormat::Tq1_0 => self.tq1_0,
            BlockFormat::Tq2_0 => self.tq2_0,
        })
    }
}

/// Something for each float format.
#[derive(Clone, Copy)]
pub(crate) struct OfFloats<T> {
    f32: T,
    f16: T,
    bf16: T,
}

impl<T: Copy> OfFloats<T> {
    fn of(&self, dtype: DType) -> Option<T> {
        dtype.float_format().map(|format| match format {
            FloatFormat::F32 => self.f32,
            FloatFormat::F16 => self.f16,
            FloatFormat::BF16 => self.bf16,
        })
    }
}

/// The kernels of one instruction set; the modules that define them say what they do.
pub(crate) struct Kernels {
    pub rms_norm: fn(&[f32], &[f32], f32, &mut [f32]),
    pub rms_norm_in_place: fn(&mut [f32], &[f32], f32),
    pub add: fn(&[f32], &mut [f32]),
    pub silu_glu: fn(&[f32], &[f32], &mut [f32]),
    pub gelu_glu: fn(&[f32], &[f32], &mut [f32]),
    pub scale: fn(&mut [f32], f32),
    pub softcap: fn(&mut [f32], f32),
    /// What the others use within, for its own tests.
    #[cfg(test)]
    pub exp: fn(&mut [f32]),
    #[cfg(test)]
    pub tanh: fn(&mut [f32]),
    pub rope: fn(&mut [f32], &[f32], usize),
    pub quantize: Quantize,
    pub quantize_long: QuantizeLong,
    pub arrange: Arrange,
    pub narrow_f16: fn(&[f32], &mut [u16]),
    /// Activation rows of a group for [`Self::quantized_tiles`]: at most, and where rows are long.
    group: (usize, usize),
    /// Where f16 and bf16 weights are multiplied as pairs of bf16.
    pub paired: Option<Paired>,
    float_tiles: OfFloats<FloatTile>,
    widen: OfFloats<Widen>,
    quantized_tiles: OfBlocks<QuantizedTiles>,
    pub merge: fn(usize, &mut [f32], &[f32]),
    pub products: Products,
    pub add_weights: fn(&mut [[f32; 16]], f32, &mut [f32]),
    /// For keys and for values, each of F32, F16, Q8_0 and Q4_0.
    readers: [[Reader; 4]; 2],
}

impl Kernels {
    /// The table of `isa`, if this machine has it.
    pub fn of(isa: Isa) -> Option<&'static Self> {
        match isa {
            Isa::Scalar => Some(&scalar_table::TABLE),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::new().map(|_| &avx2_table::TABLE),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => AvxVnni::new().map(|_| &avxvnni_table::TABLE),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::new().map(|_| &avx512_table::TABLE),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => Avx512Bf16::new().map(|_| &avx512bf16_table::TABLE),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Amx::new().map(|_| &amx_table::TABLE),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::new().map(|_| &neon_table::TABLE),
            #[cfg(target_arch = "aarch64")]
            Isa::DotProd => DotProd::new().map(|_| &dotprod_table::TABLE),
            #[cfg(target_arch = "aarch64")]
            Isa::I8mm => I8mm::new().map(|_| &i8mm_table::TABLE),
            #[cfg_attr(
                not(any(target_arch = "x86_64", target_arch = "aarch64")),
                allow(unreachable_patterns)
            )]
            _ => None,
        }
    }

    /// The table of AMX, before it is known to work.
    #[cfg(target_arch = "x86_64")]
    pub fn of_amx(_: Amx) -> &'static Self {
        &amx_table::TABLE
    }

    /// The matrix kernel of a format that is multiplied as pairs.
    pub fn paired_tile(&self, dtype: DType) -> Option<PairedTile> {
        let at = [DType::F16, DType::BF16].iter().position(|&d| d == dtype)?;
        self.paired.as_ref().map(|paired| paired.tiles[at])
    }

    /// The matrix kernel of a float format.
    pub fn float_tile(&self, dtype: DType) -> Option<FloatTile> {
        self.float_tiles.of(dtype)
    }

    /// The conversion of a float format to f32.
    pub fn widen(&self, dtype: DType) -> Option<Widen> {
        self.widen.of(dtype)
    }

    /// Activation rows of a group for [`Self::quantized_tiles`], of `cols` columns: the more, the less often weights are
    /// unpacked, but so few that the group stays in the second-level cache beside the weights that it meets.
    pub fn group(&self, cols: usize) -> usize {
        const BYTES: usize = 128 << 10;
        let (most, least) = self.group;
        (BYTES / cols.max(1) / least * least).clamp(least, most)
    }

    /// The matrix kernel of a block format.
    pub fn quantized_tiles(&self, dtype: DType) -> Option<QuantizedTiles> {
        self.quantized_tiles.of(dtype)
    }

    /// Attention over a cache of these types.
    pub fn attend(&self, types: KvTypes) -> Option<Attention> {
        let index =
            |dtype| [DType::F32, DType::F16, DType::Q8_0, DType::Q4_0].iter().position(|&d| d == dtype);
        let [keys, values] = &self.readers;
        Some(Attention { keys: keys[index(types.k)?], values: values[index(types.v)?] })
    }
}

/// A plain function that runs a kernel compiled with an instruction set's features.
macro_rules! compiled {
    ($token:ident [$($feature:tt)*] $kernel:path, ($($arg:ident: $type:ty),*)) => {{
        $($feature)*
        #[allow(unused_unsafe, reason = "not every set needs a feature")]
        unsafe fn inner($($arg: $type),*) {
            // SAFETY: the caller promises the instruction set.
            let token = unsafe { $token::assume() };
            $kernel(token, $($arg),*)
        }
        fn outer($($arg: $type),*) {
            // SAFETY: the table that holds this function is given out by `Kernels::of` only where the
            // instruction set is there.
            unsafe { inner($($arg),*) }
        }
        outer
    }};
}

/// What reads keys, or values, of each type that they are stored in.
macro_rules! readers {
    ($token:ident $features:tt $add:ident, $widen:ident) => {{
        let wide = compiled!($token $features attention::$add::<$token, Floats<StoredF32, 64>>,
                    (job: &Attend<'_>, tile: &Tile<'_>, state: &mut State<'_>));
        [
            Reader { stored: wide, wide: None },
            Reader {
                stored: compiled!($token $features attention::$add::<$token, Floats<StoredF16, 32>>,
                    (job: &Attend<'_>, tile: &Tile<'_>, state: &mut State<'_>)),
                wide: Some((compiled!($token $features widen::floats::<$token, StoredF16, 32>,
                    (tiles: &[u8], head_dim: usize, out: &mut [f32])), wide)),
            },
            Reader {
                stored: compiled!($token $features attention::$add::<$token, Q8_0>,
                    (job: &Attend<'_>, tile: &Tile<'_>, state: &mut State<'_>)),
                wide: Some((compiled!($token $features widen::$widen::<$token, Bytes>,
                    (tiles: &[u8], head_dim: usize, out: &mut [f32])), wide)),
            },
            Reader {
                stored: compiled!($token $features attention::$add::<$token, Q4_0>,
                    (job: &Attend<'_>, tile: &Tile<'_>, state: &mut State<'_>)),
                wide: Some((compiled!($token $features widen::$widen::<$token, Nibbles>,
                    (tiles: &[u8], head_dim: usize, out: &mut [f32])), wide)),
            },
        ]
    }};
}

/// What multiplies unpacked codes.
macro_rules! multiply {
    ($token:ident $features:tt $kernel:path) => {
        compiled!($token $features $kernel,
            (w: &Unpacked, x: &QuantizedRows<'_>, b: usize, out: &mut Outputs))
    };
}

/// The matrix kernel of a format with codes.
macro_rules! codes {
    (@multiply $token:ident $features:tt) => {
        /// What multiplies unpacked codes of a class, long blocks' or short ones'.
        const fn multiply(long: bool, class: (usize, usize)) -> Multiply {
            match (long, class) {
                (true, (16, 2)) => multiply!($token $features codes::multiply_long::<$token, 16, 2>),
                (true, (16, _)) => multiply!($token $features codes::multiply_long::<$token, 16, 4>),
                (true, (_, 0)) => multiply!($token $features codes::multiply_long::<$token, 32, 0>),
                (true, (_, 2 | 4)) => multiply!($token $features codes::multiply_long::<$token, 32, 4>),
                (true, _) => multiply!($token $features codes::multiply_long::<$token, 32, 8>),
                (false, (_, 0)) => multiply!($token $features codes::multiply_short::<$token, 0>),
                (false, _) => multiply!($token $features codes::multiply_short::<$token, 4>),
            }
        }
    };
    ($token:ident $features:tt $format:ident) => {{
        const CLASS: (usize, usize) = codes::class::<code_formats::$format>();
        const MULTIPLY: Multiply = multiply(<code_formats::$format as CodeFormat>::LONG, CLASS);

        fn tiles(tiles: &PackedTiles<'_>, x: &QuantizedRows<'_>, put: &mut dyn FnMut(usize, &Outputs)) {
            if x.width == 1 {
                let single = compiled!($token $features
                    codes::single::<code_formats::$format, $token, { CLASS.0 }, { CLASS.1 }>,
                    (tiles: &PackedTiles<'_>, x: &QuantizedRows<'_>, put: &mut dyn FnMut(usize, &Outputs)));
                return single(tiles, x, put);
            }
            let unpack = compiled!($token $features codes::unpack::<code_formats::$format, $token>,
                (layout: &TileLayout, tile: &[u8], b: usize, out: &mut Unpacked));
            codes::several((unpack, MULTIPLY), tiles, x, put);
        }
        tiles
    }};
}

/// The same of a set with products of its own.
#[cfg(target_arch = "aarch64")]
macro_rules! code_rows {
    (@multiply $token:ident $features:tt) => {};
    ($token:ident $features:tt $format:ident) => {
        compiled!($token $features code_rows::by_rows::<code_formats::$format, $token>,
            (tiles: &PackedTiles<'_>, x: &QuantizedRows<'_>, put: &mut dyn FnMut(usize, &Outputs)))
    };
}

macro_rules! table {
    ($module:ident, $token:ident, $group:expr, $codes:ident, [$($feature:tt)*]) => {
        mod $module {
            use super::*;

            type S = $token;

            $codes!(@multiply S [$($feature)*]);

            pub(super) static TABLE: Kernels = Kernels {
                rms_norm: compiled!(S [$($feature)*] elementwise::rms_norm,
                    (x: &[f32], gain: &[f32], eps: f32, out: &mut [f32])),
                rms_norm_in_place: compiled!(S [$($feature)*] elementwise::rms_norm_in_place,
                    (x: &mut [f32], gain: &[f32], eps: f32)),
                add: compiled!(S [$($feature)*] elementwise::add, (x: &[f32], acc: &mut [f32])),
                silu_glu: compiled!(S [$($feature)*] elementwise::silu_glu,
                    (gate: &[f32], up: &[f32], out: &mut [f32])),
                gelu_glu: compiled!(S [$($feature)*] elementwise::gelu_glu,
                    (gate: &[f32], up: &[f32], out: &mut [f32])),
                scale: compiled!(S [$($feature)*] elementwise::scale, (x: &mut [f32], factor: f32)),
                softcap: compiled!(S [$($feature)*] elementwise::softcap, (x: &mut [f32], cap: f32)),
                #[cfg(test)]
                exp: compiled!(S [$($feature)*] elementwise::within::exp_in_place, (x: &mut [f32])),
                #[cfg(test)]
                tanh: compiled!(S [$($feature)*] elementwise::within::tanh_in_place, (x: &mut [f32])),
                rope: compiled!(S [$($feature)*] elementwise::rope,
                    (x: &mut [f32], angles: &[f32], head_dim: usize)),
                quantize: compiled!(S [$($feature)*] quantized::quantize,
                    (x: &[f32], stride: usize, q: &mut [[i8; BLOCK_LEN]], scales: &mut [f32],
                     offsets: &mut [i32])),
                quantize_long: compiled!(S [$($feature)*] quantized::quantize_long,
                    (x: &[f32], stride: usize, q: &mut [[i8; BLOCK_LEN]], scales: &mut [f32],
                     pairs: &mut [Pairs])),
                arrange: compiled!(S [$($feature)*] quantized::arrange,
                    (q: &mut [[i8; BLOCK_LEN]], width: usize)),
                narrow_f16: compiled!(S [$($feature)*] float::narrow_f16, (x: &[f32], out: &mut [u16])),
                group: ($group, GROUP),
                paired: None,
                float_tiles: OfFloats {
                    f32: compiled!(S [$($feature)*] float::tile::<S, StoredF32, 64>,
                        (w: &[u8], x: &FloatRows<'_>, out: &mut Outputs)),
                    f16: compiled!(S [$($feature)*] float::tile::<S, StoredF16, 32>,
                        (w: &[u8], x: &FloatRows<'_>, out: &mut Outputs)),
                    bf16: compiled!(S [$($feature)*] float::tile::<S, StoredBf16, 32>,
                        (w: &[u8], x: &FloatRows<'_>, out: &mut Outputs)),
                },
                widen: OfFloats {
                    f32: compiled!(S [$($feature)*] float::widen::<S, StoredF32, 64>, (x: &[u8], out: &mut [f32])),
                    f16: compiled!(S [$($feature)*] float::widen::<S, StoredF16, 32>, (x: &[u8], out: &mut [f32])),
                    bf16: compiled!(S [$($feature)*] float::widen::<S, StoredBf16, 32>, (x: &[u8], out: &mut [f32])),
                },
                quantized_tiles: OfBlocks {
                    q8_0: compiled!(S [$($feature)*] quantized::tiles_q8_0,
                        (tiles: &PackedTiles<'_>, x: &QuantizedRows<'_>,
                         put: &mut dyn FnMut(usize, &Outputs))),
                    q4_0: compiled!(S [$($feature)*] quantized::tiles_q4_0,
                        (tiles: &PackedTiles<'_>, x: &QuantizedRows<'_>,
                         put: &mut dyn FnMut(usize, &Outputs))),
                    q4_1: compiled!(S [$($feature)*] quantized::tiles_q4_1,
                        (tiles: &PackedTiles<'_>, x: &QuantizedRows<'_>,
                         put: &mut dyn FnMut(usize, &Outputs))),
                    q5_0: $codes!(S [$($feature)*] Q5_0),
                    q5_1: $codes!(S [$($feature)*] Q5_1),
                    iq4_nl: $codes!(S [$($feature)*] Iq4Nl),
                    mxfp4: $codes!(S [$($feature)*] Mxfp4),
                    q2_k: $codes!(S [$($feature)*] Q2K),
                    q3_k: $codes!(S [$($feature)*] Q3K),
                    q4_k: $codes!(S [$($feature)*] Q4K),
                    q5_k: $codes!(S [$($feature)*] Q5K),
                    q6_k: $codes!(S [$($feature)*] Q6K),
                    iq4_xs: $codes!(S [$($feature)*] Iq4Xs),
                    tq1_0: $codes!(S [$($feature)*] Tq1_0),
                    tq2_0: $codes!(S [$($feature)*] Tq2_0),
                },
                merge: compiled!(S [$($feature)*] attention::merge,
                    (head_dim: usize, into: &mut [f32], later: &[f32])),
                products: compiled!(S [$($feature)*] weigh::products,
                    (keys: &[f32], queries: &[f32], out: &mut [[f32; 16]], stride: usize)),
                add_weights: compiled!(S [$($feature)*] weigh::add_weights,
                    (products: &mut [[f32; 16]], scale: f32, out: &mut [f32])),
                readers: [
                    readers!(S [$($feature)*] add_keys, keys),
                    readers!(S [$($feature)*] add_values, values),
                ],
            };
        }
    };
}

table!(scalar_table, Scalar, GROUP, codes, []);
#[cfg(target_arch = "x86_64")]
table!(avx2_table, Avx2, codes::WIDEST, codes, [#[target_feature(enable = "avx2,fma,f16c")]]);
#[cfg(target_arch = "x86_64")]
table!(avxvnni_table, AvxVnni, codes::WIDEST, codes, [#[target_feature(enable = "avx2,fma,f16c,avxvnni")]]);
#[cfg(target_arch = "x86_64")]
table!(
    avx512_table,
    Avx512,
    codes::WIDEST,
    codes,
    [#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]]
);
/// AVX-512 but for f16 and bf16 weights.
#[cfg(target_arch = "x86_64")]
mod avx512bf16_table {
    use super::*;

    macro_rules! with_bf16 {
        ($kernel:path, $args:tt) => {
            compiled!(
                Avx512Bf16 [#[target_feature(
                    enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16"
                )]] $kernel, $args
            )
        };
    }

    pub(super) static TABLE: Kernels = Kernels {
        paired: Some(Paired {
            narrow: with_bf16!(
                avx512_bf16::narrow,
                (x: &[f32], stride: usize, out: &mut [[u16; PAIRED]])
            ),
            tiles: [
                with_bf16!(avx512_bf16::tile::<PairsF16>, (w: &[u8], x: &PairedRows<'_>, out: &mut Outputs)),
                with_bf16!(avx512_bf16::tile::<PairsBf16>, (w: &[u8], x: &PairedRows<'_>, out: &mut Outputs)),
            ],
        }),
        ..avx512_table::TABLE
    };
}
/// AVX-512 but for the quantized kernels.
#[cfg(target_arch = "x86_64")]
mod amx_table {
    use super::*;

    /// A kernel of `amx_int`, and AVX-512's for groups that do not fill its registers.
    macro_rules! tiles {
        ($format:ident, $kernel:path) => {{
            fn tiles(
                tiles: &PackedTiles<'_>,
                x: &QuantizedRows<'_>,
                put: &mut dyn FnMut(usize, &Outputs),
            ) {
                if x.width < amx_int::LEAST {
                    return (avx512_table::TABLE.quantized_tiles.$format)(tiles, x, put);
                }
                compiled!(
                    Amx [#[target_feature(
                        enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi"
                    )]] $kernel,
                    (tiles: &PackedTiles<'_>, x: &QuantizedRows<'_>,
                     put: &mut dyn FnMut(usize, &Outputs))
                )(tiles, x, put);
            }
            tiles
        }};
    }

    pub(super) static TABLE: Kernels = Kernels {
        group: (amx_int::GROUP, amx_int::GROUP),
        quantized_tiles: OfBlocks {
            q8_0: tiles!(q8_0, amx_int::tiles_q8_0),
            q4_0: tiles!(q4_0, amx_int::tiles_q4_0),
            q4_1: tiles!(q4_1, amx_int::tiles_q4_1),
            ..avx512_table::TABLE.quantized_tiles
        },
        ..avx512_table::TABLE
    };
}
#[cfg(target_arch = "aarch64")]
table!(neon_table, Neon, GROUP, codes, [#[target_feature(enable = "neon")]]);
#[cfg(target_arch = "aarch64")]
table!(dotprod_table, DotProd, GROUP, code_rows, [#[target_feature(enable = "neon,dotprod")]]);
#[cfg(target_arch = "aarch64")]
table!(i8mm_table, I8mm, GROUP, code_rows, [#[target_feature(enable = "neon,dotprod,i8mm")]]);
