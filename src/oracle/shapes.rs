//! The cases that are tried.

use std::ops::Range;

use super::case::Cache;
use super::{Case, Operator, Values, Work};
use crate::core::{Activation, DType, KvTypes};
use crate::models::NamedShape;

/// How many sizes are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeList {
    /// Odd ones, and the real ones where they take a moment.
    Quick,
    /// All of Llama 3.2 1B, several tokens at once, and long contexts; takes minutes and 3 GB.
    Full,
}

/// Formats of weights.
fn formats() -> impl Iterator<Item = DType> {
    DType::ALL.into_iter().filter(|dtype| dtype.is_weight())
}

/// Tokens at once.
const ROWS: [usize; 3] = [0, 1, 7];

/// All cases of a list, operator by operator, those of one format together.
pub fn cases(list: ShapeList) -> Vec<Case> {
    let mut all = Cases { full: list == ShapeList::Full, all: Vec::new() };
    for operator in Operator::ALL {
        match operator {
            Operator::Alloc => {
                [1, 33, 70_001].into_iter().for_each(|len| all.random(Work::Alloc { len }));
            }
            Operator::Transfer => all.plain(|rows, cols| Work::Transfer { rows, cols }),
            Operator::CopyRows => all.copy_rows(),
            Operator::Prepare => all.prepare(),
            Operator::Embed => all.embed(),
            Operator::RmsNorm => all.plain(|rows, cols| Work::RmsNorm { rows, cols }),
            Operator::RmsNormInPlace => all.rms_norm_in_place(),
            Operator::Linear => formats().for_each(|d| all.linear(d)),
            Operator::Rope => all.rope(),
            Operator::KvAppend => KvTypes::STORED.into_iter().for_each(|d| all.kv_append(d)),
            Operator::KvCopy => KvTypes::STORED.into_iter().for_each(|d| all.kv_copy(d)),
            Operator::KvMove => KvTypes::STORED.into_iter().for_each(|d| all.kv_move(d)),
            Operator::Attention => KvTypes::STORED.into_iter().for_each(|d| all.attention(d)),
            Operator::Glu => Activation::ALL.into_iter().for_each(|activation| {
                all.plain(|rows, cols| Work::Glu { activation, rows, cols });
            }),
            Operator::Scale => all.plain(|rows, cols| Work::Scale { rows, cols }),
            Operator::Softcap => all.plain(|rows, cols| Work::Softcap { rows, cols }),
            Operator::Add => all.plain(|rows, cols| Work::Add { rows, cols }),
            Operator::AddRmsNorm => all.plain(|rows, cols| Work::AddRmsNorm { rows, cols }),
        }
    }
    all.all
}

struct Cases {
    full: bool,
    all: Vec<Case>,
}

/// A cache of `heads` query heads.
fn cache(dtype: DType, heads: usize, kv_heads: usize, head_dim: usize) -> Cache {
    Cache { dtype, heads, kv_heads, head_dim }
}

/// Llama 3.2 1B's.
fn real_cache(dtype: DType) -> Cache {
    let c = NamedShape::Llama32x1B.decoder();
    cache(dtype, c.heads, c.kv_heads, c.head_dim)
}

/// Small caches, some with heads that fill no vector.
fn small_caches(dtype: DType) -> [Cache; 3] {
    [cache(dtype, 6, 2, 17), cache(dtype, 3, 3, 64), cache(dtype, 8, 2, 32)]
}

impl Cases {
    fn random(&mut self, work: Work) {
        self.all.push(Case { work, values: Values::Random });
    }

    /// With numbers of every kind.
    fn every(&mut self, work: Work) {
        self.all.extend(Values::ALL.map(|values| Case { work: work.clone(), values }));
    }

    /// Operations on rows, of odd lengths and the real ones.
    fn plain(&mut self, work: impl Fn(usize, usize) -> Work) {
        for cols in [1, 33, 2048, 8192] {
            for rows in ROWS {
                self.every(work(rows, cols));
            }
        }
        if self.full {
            self.random(work(512, 2048));
            self.random(work(64, 8192));
        }
    }

    fn copy_rows(&mut self) {
        let takes: [(usize, usize, Range<usize>); 5] =
            [(1, 1, 0..1), (5, 33, 1..4), (4, 2048, 2..2), (7, 2048, 6..7), (7, 2048, 0..7)];
        for (rows, cols, take) in takes {
            self.every(Work::CopyRows { rows, cols, take });
        }
    }

    fn prepare(&mut self) {
        for to in formats() {
            for from in formats() {
                self.random(Work::Prepare { from, to, rows: 19, cols: from.row_len(to.row_len(96)) });
            }
            self.every(Work::Prepare { from: DType::F32, to, rows: 35, cols: to.row_len(45) });
        }
    }

    fn embed(&mut self) {
        let c = NamedShape::Llama32x1B.decoder();
        for dtype in formats() {
            for (vocab, cols, rows) in [(37, 96, 0), (37, 96, 5), (1, 1, 1), (50, 45, 7)] {
                let cols = dtype.row_len(cols);
                self.every(Work::Embed { dtype, vocab, cols, rows });
            }
            self.random(Work::Embed { dtype, vocab: 1000, cols: c.hidden_size, rows: 7 });
            if self.full {
                self.random(Work::Embed { dtype, vocab: c.vocab_size, cols: c.hidden_size, rows: 64 });
            }
        }
    }

    fn linear(&mut self, dtype: DType) {
        let odd: [(usize, usize, &[usize], bool); 8] = [
            (1, 1, &[1], false),
            (1, 33, &[17], true),
            (2, 33, &[17], false),
            (13, 100, &[35], true),
            (3, 96, &[5, 14, 23], true),
            (27, 256, &[33], false),
            (0, 64, &[16], true),
            (1, 2048, &[130], false),
        ];
        for (rows, cols, outs, bias) in odd {
            let cols = dtype.row_len(cols);
            self.every(Work::Linear { dtype, rows, cols, outs: outs.to_vec(), bias });
        }
        let c = NamedShape::Llama32x1B.decoder();
        let (hidden, inner, kv) = (c.hidden_size, c.intermediate_size, c.kv_heads * c.head_dim);
        let mut real = |rows: usize, cols: usize, outs: &[usize]| {
            self.all.push(Case {
                work: Work::Linear { dtype, rows, cols, outs: outs.to_vec(), bias: false },
                values: Values::Random,
            });
        };
        real(1, hidden, &[hidden, kv, kv]);
        real(7, hidden, &[kv]);
        real(1, inner, &[hidden]);
        if self.full {
            real(17, hidden, &[hidden, kv, kv]);
            real(1, hidden, &[hidden]);
            real(17, hidden, &[hidden]);
            real(1, hidden, &[inner, inner]);
            real(17, hidden, &[inner, inner]);
            real(17, inner, &[hidden]);
            real(1, hidden, &[c.vocab_size]);
        }
    }

    fn rms_norm_in_place(&mut self) {
        for (heads, head_dim) in [(1, 1), (3, 17), (32, 64), (8, 128)] {
            for rows in ROWS {
                self.every(Work::RmsNormInPlace { rows, heads, head_dim });
            }
        }
    }

    fn rope(&mut self) {
        for (heads, head_dim, turned) in [(1, 2, 2), (3, 6, 6), (5, 20, 8), (8, 64, 64), (32, 64, 64)] {
            for (position, rows) in [(0, 0), (0, 1), (5, 7), (131_000, 7)] {
                self.every(Work::Rope { rows, heads, head_dim, turned, position });
            }
        }
        if self.full {
            self.random(Work::Rope { rows: 512, heads: 32, head_dim: 64, turned: 64, position: 7680 });
        }
    }

    fn kv_append(&mut self, dtype: DType) {
        for cache in small_caches(dtype) {
            for (at, rows) in [(0, 0), (0, 1), (5, 0), (3, 7), (15, 2), (16, 17)] {
                self.every(Work::KvAppend { cache, at, rows });
            }
        }
        self.random(Work::KvAppend { cache: real_cache(dtype), at: 0, rows: 7 });
        self.random(Work::KvAppend { cache: real_cache(dtype), at: 61, rows: 1 });
        if self.full {
            self.random(Work::KvAppend { cache: real_cache(dtype), at: 4095, rows: 1 });
            self.random(Work::KvAppend { cache: real_cache(dtype), at: 1000, rows: 512 });
        }
    }

    fn kv_copy(&mut self, dtype: DType) {
        for cache in small_caches(dtype) {
            let plans: [&[Range<usize>]; 4] =
                [&[], &[0..17, 17..40], &[0..1, 4..6, 9..9, 20..35], &[0..0, 39..40]];
            for keep in plans {
                self.every(Work::KvCopy { cache, slots: 40, keep: keep.to_vec() });
            }
        }
        self.random(Work::KvCopy { cache: real_cache(dtype), slots: 300, keep: vec![0..4, 280..300] });
        if self.full {
            self.random(Work::KvCopy { cache: real_cache(dtype), slots: 4096, keep: vec![0..4, 2000..4096] });
        }
    }

    fn kv_move(&mut self, dtype: DType) {
        for cache in small_caches(dtype) {
            for take in [0..0, 0..40, 3..37, 16..17] {
                self.every(Work::KvMove { cache, slots: 40, take });
            }
        }
        self.random(Work::KvMove { cache: real_cache(dtype), slots: 300, take: 7..290 });
    }

    fn attention(&mut self, dtype: DType) {
        let plain = |cache, at, rows| Work::Attention { cache, window: None, capped: false, at, rows };
        for cache in small_caches(dtype) {
            for (at, rows) in [(0, 0), (9, 0), (0, 1), (0, 7), (63, 1), (64, 3), (130, 13)] {
                self.every(plain(cache, at, rows));
            }
            for (window, at, rows) in [(1, 0, 1), (5, 3, 7), (64, 70, 3), (33, 130, 13), (20, 700, 2)] {
                self.every(Work::Attention { cache, window: Some(window), capped: false, at, rows });
            }
            for (window, at, rows) in [(None, 0, 7), (None, 600, 1), (Some(33), 130, 13), (Some(9), 64, 1)] {
                self.every(Work::Attention { cache, window, capped: true, at, rows });
            }
        }
        let cache = real_cache(dtype);
        for (at, rows) in [(0, 7), (511, 1), (1030, 1)] {
            self.random(plain(cache, at, rows));
        }
        self.random(Work::Attention { cache, window: Some(512), capped: true, at: 1030, rows: 1 });
        if self.full {
            for (at, rows) in [(0, 256), (2000, 17), (8191, 1), (32_767, 1), (32_760, 7)] {
                self.random(plain(cache, at, rows));
            }
            self.random(Work::Attention { cache, window: Some(1024), capped: false, at: 8000, rows: 64 });
        }
    }
}
