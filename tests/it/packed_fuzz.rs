//! Damaged and hostile packed files: opening one never panics, and what opens is within the file and as large as
//! its type and shape say.
//!
//! `PROPTEST_CASES=200000 cargo test --test it packed_fuzz` looks longer than the default.

use std::cell::Cell;
use std::io::Cursor;
use std::path::Path;

use llm_rs2::core::{DType, HostTensor, Shape};
use llm_rs2::format::packed::{PackedFile, Packer};
use llm_rs2::format::{TensorSource, checksum};
use proptest::prelude::*;
use proptest::sample::select;

/// Integers at which sums and products break.
const EDGES: &[u64] = &[
    0,
    1,
    63,
    64,
    65,
    4096,
    65_535,
    65_536,
    65_537,
    131_072,
    (1 << 26) + 1,
    1 << 30,
    (1 << 31) - 1,
    1 << 32,
    1 << 58,
    1 << 60,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 65_535,
    u64::MAX - 63,
    u64::MAX,
];

/// One change. Positions are fractions in 1/65536 of what is before the data.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(u16, u8),
    Overwrite(u16, Vec<u8>),
    /// Cut the file off, at a fraction of all of it.
    Truncate(u16),
    Append(u8),
    /// Replace the run of digits at or after the position, moving what is behind it within the table.
    Number(u16, String),
    /// Set a 64-bit field of the header.
    Field(u8, u64),
    /// Make the header say what the table's and the file's lengths are.
    Lengths,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let number = prop_oneof![
        select(EDGES).prop_map(|n| n.to_string()),
        (0u64..300).prop_map(|n| n.to_string()),
        select(&["-1", "1.5", "1e400", "18446744073709551616", "null", "[]"][..]).prop_map(str::to_owned),
    ];
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..6),
        select(&["{", "}", "]", ",", "\"", "tiles", "rows", "q8_0", "f32", "u8", "\u{e9}", "\0"][..])
            .prop_map(|s| s.as_bytes().to_vec()),
    ];
    // Mostly within the table, which is at the front.
    let at = || prop_oneof![any::<u16>(), 0u16..2000];
    prop_oneof![
        (at(), 0u8..8).prop_map(|(p, b)| Mutation::Flip(p, b)),
        (at(), bytes).prop_map(|(p, b)| Mutation::Overwrite(p, b)),
        any::<u16>().prop_map(Mutation::Truncate),
        any::<u8>().prop_map(Mutation::Append),
        (at(), number.clone()).prop_map(|(p, n)| Mutation::Number(p, n)),
        (at(), number).prop_map(|(p, n)| Mutation::Number(p, n)),
        (0u8..7, select(EDGES)).prop_map(|(f, n)| Mutation::Field(f, n)),
        Just(Mutation::Lengths),
    ]
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn set(bytes: &mut [u8], at: usize, value: u64) {
    if let Some(field) = bytes.get_mut(at..at + 8) {
        field.copy_from_slice(&value.to_le_bytes());
    }
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let head = long(bytes, 32).map_or(0, |d| d.min(bytes.len() as u64)) as usize;
    let place = |p: u16| p as usize * head / 65536;
    match mutation {
        Mutation::Flip(p, bit) if head > 0 => bytes[place(*p)] ^= 1 << bit,
        Mutation::Overwrite(p, new) => {
            let at = place(*p);
            let end = (at + new.len()).min(bytes.len());
            bytes.splice(at..end, new.iter().copied());
        }
        Mutation::Truncate(p) => bytes.truncate(*p as usize * bytes.len() / 65536),
        Mutation::Append(n) => bytes.resize(bytes.len() + *n as usize, 0),
        Mutation::Number(p, new) => {
            let from = place(*p).max(64).min(bytes.len());
            let digits = bytes[from..].iter().position(u8::is_ascii_digit).map(|i| i + from);
            if let Some(start) = digits.filter(|&d| d < head) {
                let len = bytes[start..].iter().take_while(|b| b.is_ascii_digit()).count();
                bytes.splice(start..start + len, new.bytes());
                // The table is followed by spaces: give or take as many as the number has changed by.
                let table_end =
                    long(bytes, 24).unwrap_or(0).saturating_add(64).min(bytes.len() as u64) as usize;
                let grown = new.len() as isize - len as isize;
                if grown > 0 && table_end + grown as usize <= bytes.len() {
                    bytes.drain(table_end..table_end + grown as usize);
                } else if grown < 0 {
                    let at = table_end.saturating_sub(grown.unsigned_abs()).max(64).min(bytes.len());
                    bytes.splice(at..at, std::iter::repeat_n(b' ', grown.unsigned_abs()));
                }
            }
        }
        Mutation::Field(field, value) => set(bytes, 8 + 8 * *field as usize, *value),
        Mutation::Lengths => {
            let len = bytes.len() as u64;
            set(bytes, 40, len);
        }
        Mutation::Flip(..) => {}
    }
}

/// Makes the checksums right, so that the checks behind them are reached.
fn repair(bytes: &mut [u8]) {
    let Some(data) = long(bytes, 32) else { return };
    if let Some(head) = bytes.get(64..usize::try_from(data).unwrap_or(usize::MAX)) {
        let sum = checksum(head);
        set(bytes, 48, sum);
    }
    if bytes.len() >= 64 {
        let sum = checksum(&bytes[..56]);
        set(bytes, 56, sum);
    }
}

fn valid_file() -> impl Strategy<Value = Vec<u8>> {
    let dtype = select(&[DType::F32, DType::F16, DType::BF16, DType::Q4_0, DType::Q4_1, DType::Q8_0][..]);
    let tensors = prop::collection::vec((dtype, 1usize..20, 1usize..70), 0..4);
    let sections = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..3);
    (tensors, sections).prop_map(|(tensors, sections)| {
        let tensors = tensors.into_iter().enumerate().map(|(i, (dtype, rows, cols))| {
            let values: Vec<f32> = (0..rows * cols).map(|v| (v % 17) as f32 - 8.0).collect();
            let tensor = HostTensor::from_f32(format!("t{i}"), Shape::from([rows, cols]), &values);
            (tensor.unwrap(), dtype)
        });
        let sections = sections.into_iter().enumerate().map(|(i, bytes)| (format!("s{i}"), bytes));
        let mut out = Cursor::new(Vec::new());
        let packer = Packer::new(sections.collect(), tensors.collect()).unwrap();
        packer.write(Path::new("file"), &mut out, &mut |_| {}).unwrap();
        out.into_inner()
    })
}

/// Opens the bytes, and holds what comes out to be within them. Whether it opened.
fn check(bytes: Vec<u8>) -> Result<bool, TestCaseError> {
    let len = bytes.len();
    let shared = llm_rs2::core::HostBytes::from(bytes);
    let begin = shared.as_ref().as_ptr() as usize;
    let inside = |part: &[u8]| {
        let at = part.as_ptr() as usize;
        part.is_empty() || (at >= begin && at + part.len() <= begin + len)
    };
    let file = match PackedFile::from_bytes(Path::new("some/file"), shared.clone()) {
        Ok(file) => file,
        Err(e) => {
            let message = e.to_string();
            prop_assert!(message.contains("some/file"), "{message}");
            prop_assert!(!message.contains(char::is_control), "{message:?}");
            prop_assert!(message.chars().count() < 600, "{message}");
            return Ok(false);
        }
    };
    let mut spans = Vec::new();
    for name in file.names() {
        let tensor = file.get(name).unwrap().expect("listed tensors are there");
        prop_assert!(inside(tensor.bytes()));
        let (rows, cols) = tensor.matrix_dims();
        prop_assert_eq!(tensor.order().bytes(tensor.dtype(), rows, cols), Some(tensor.bytes().len()));
        let at = tensor.bytes().as_ptr() as usize - begin;
        prop_assert!(at.is_multiple_of(64) || tensor.bytes().is_empty());
        spans.push((at, at + tensor.bytes().len()));
    }
    spans.sort_unstable();
    prop_assert!(spans.windows(2).all(|w| w[0].1 <= w[1].0), "tensors overlap: {spans:?}");
    for i in 0..4 {
        if let Some(section) = file.section(&format!("s{i}")) {
            // In a copy of the file's head.
            prop_assert!(section.as_ref().len() <= len);
        }
    }
    let _ = file.verify();
    Ok(true)
}

fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<bool, TestCaseError>) -> u32 {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let opened = Cell::new(0);
    let result = proptest::test_runner::TestRunner::new(config).run(&strategy, |value| {
        opened.set(opened.get() + u32::from(test(value)?));
        Ok(())
    });
    if let Err(e) = result {
        panic!("{e}");
    }
    opened.get()
}

#[test]
fn files_as_they_are_written_open() {
    run(200, valid_file(), |bytes| {
        prop_assert!(check(bytes)?, "a valid file was refused");
        Ok(true)
    });
}

#[test]
fn damaged_files_do_not_open() {
    let damaged = (valid_file(), prop::collection::vec(mutation(), 1..4));
    run(2000, damaged, |(bytes, mutations)| {
        let mut changed = bytes.clone();
        mutations.iter().for_each(|m| apply(&mut changed, m));
        let same = changed == bytes;
        prop_assert_eq!(check(changed)?, same, "opened only if nothing changed before the data");
        Ok(true)
    });
}

#[test]
fn forged_files_open_only_with_what_is_there() {
    let forged = (valid_file(), prop::collection::vec(mutation(), 1..4));
    let opened = run(5000, forged, |(mut bytes, mutations)| {
        mutations.iter().for_each(|m| apply(&mut bytes, m));
        repair(&mut bytes);
        check(bytes)
    });
    assert!(opened > 0, "no forged file opened: the test does not reach what is behind the checksums");
}
