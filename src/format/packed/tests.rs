//! Files written and read back, and files that are not what they say.

use std::io::{self, Cursor};
use std::path::Path;

use serde_json::Value;

use super::header::{HEADER, PAGE};
use super::{PackedFile, Packer};
use crate::core::{DType, HostTensor, Order, Shape};
use crate::format::{FormatError, TensorSource, checksum};
use crate::quant::rows::{RowReader, tiled};

fn floats(name: &str, rows: usize, cols: usize) -> HostTensor {
    let values: Vec<f32> = (0..rows * cols).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect();
    HostTensor::from_f32(name, Shape::from([rows, cols]), &values).unwrap()
}

fn tensors() -> Vec<(HostTensor, DType)> {
    let formats = [DType::Q4_0, DType::F32, DType::Q4_1, DType::BF16, DType::Q8_0, DType::F16];
    formats.into_iter().enumerate().map(|(i, f)| (floats(&format!("t{i}"), 17 + i, 64 + 12 * i), f)).collect()
}

fn sections() -> Vec<(String, Vec<u8>)> {
    // The long name leaves room for tables that say more: see `with_table`.
    vec![("config.json".into(), b"{}".to_vec()), ("empty".into(), vec![]), ("b".repeat(100), vec![7; 300])]
}

fn written() -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let packer = Packer::new(sections(), tensors()).unwrap();
    let len = packer.file_len();
    packer.write(Path::new("p"), &mut out, &mut |_| {}).unwrap();
    assert_eq!(out.get_ref().len() as u64, len);
    out.into_inner()
}

fn open(bytes: Vec<u8>) -> Result<PackedFile, String> {
    PackedFile::from_bytes(Path::new("p"), bytes.into()).map_err(|e| e.to_string())
}

/// Changes the table and repairs all checksums.
fn with_table(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut bytes = written();
    let long = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (table, data) = (long(&bytes, 24) as usize, long(&bytes, 32) as usize);
    let mut json: Value = serde_json::from_slice(&bytes[HEADER..HEADER + table]).unwrap();
    json["sections"][2]["name"] = "b".into();
    change(&mut json);
    let mut text = json.to_string().into_bytes();
    assert!(text.len() <= table && data > HEADER + table);
    text.resize(table, b' ');
    bytes[HEADER..HEADER + table].copy_from_slice(&text);
    repair(&mut bytes);
    bytes
}

fn repair(bytes: &mut [u8]) {
    let data = u64::from_le_bytes(bytes[32..40].try_into().unwrap()) as usize;
    let head = checksum(&bytes[HEADER..data]);
    bytes[48..56].copy_from_slice(&head.to_le_bytes());
    let own = checksum(&bytes[..56]);
    bytes[56..64].copy_from_slice(&own.to_le_bytes());
}

#[test]
fn what_is_written_is_read_back() {
    let file = open(written()).unwrap();
    assert!(file.has_weights());
    for (name, bytes) in sections() {
        assert_eq!(file.section(&name).unwrap().as_ref(), bytes, "{name}");
    }
    assert!(file.section("tokenizer.json").is_none());
    assert_eq!(file.names(), ["t0", "t1", "t2", "t3", "t4", "t5"]);
    for (source, dtype) in tensors() {
        let tensor = file.get(source.name()).unwrap().unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (dtype, source.shape()));
        let expected = if dtype.is_quantized() {
            tiled(&source, dtype).bytes().to_vec()
        } else {
            let mut reader = RowReader::new(&source, dtype);
            (0..source.matrix_dims().0).flat_map(|r| reader.row(r).unwrap().to_vec()).collect()
        };
        assert_eq!(tensor.order(), if dtype.is_quantized() { Order::Tiles } else { Order::Rows });
        assert_eq!(tensor.bytes(), expected, "{dtype}");
    }
    assert!(file.get("t6").unwrap().is_none());
    file.verify().unwrap();
}

#[test]
fn large_tensors_begin_on_pages_and_batches_leave_no_trace() {
    // More than one batch of 8 MiB, and a small tensor before it.
    let source = floats("large", 2500, 4096);
    let list = vec![(floats("small", 1, 32), DType::F32), (source.clone(), DType::Q8_0)];
    let mut out = Cursor::new(Vec::new());
    let mut seen = vec![];
    let packer = Packer::new(vec![], list).unwrap();
    packer.write(Path::new("p"), &mut out, &mut |at| seen.push(at)).unwrap();
    assert!(seen.len() > 2 && seen.is_sorted(), "{seen:?}");
    let bytes = out.into_inner();
    let file = open(bytes.clone()).unwrap();
    let large = file.get("large").unwrap().unwrap();
    assert!(large.bytes() == tiled(&source, DType::Q8_0).bytes());
    let small = file.get("small").unwrap().unwrap();
    assert_eq!(large.bytes().as_ptr() as u64 - small.bytes().as_ptr() as u64, PAGE);
    file.verify().unwrap();
    // Opening looks at the first, the middle and the last bytes of a large tensor; the rest is for `verify`.
    let (start, len) = (bytes.len() - large.bytes().len(), large.bytes().len());
    for (at, seen) in [(0, true), (5000, false), (len / 2, true), (len - 1, true)] {
        let mut changed = bytes.clone();
        changed[start + at] ^= 1;
        let e = match open(changed) {
            Ok(file) => file.verify().unwrap_err().to_string(),
            Err(e) => format!("at once: {e}"),
        };
        assert!(e.contains("'large'") && e.contains("does not have its checksum"), "{e}");
        assert_eq!(e.starts_with("at once"), seen, "byte {at}");
    }
}

#[test]
fn files_of_older_versions_are_to_be_made_again() {
    for version in 1..=2 {
        let mut bytes = with_table(|json| json["matrices"] = "q4_0".into());
        bytes[8] = version;
        repair(&mut bytes);
        let e = open(bytes).unwrap_err();
        assert!(e.contains(&format!("version {version}")) && e.contains("pack the model again"), "{e}");
    }
}

#[test]
fn sections_stay_as_they_were_when_the_file_changes() {
    use std::io::Write as _;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    std::fs::write(&path, written()).unwrap();
    let file = PackedFile::open(&path).unwrap();
    let mut other = std::fs::File::options().write(true).open(&path).unwrap();
    other.write_all(&[0xff; PAGE as usize]).unwrap();
    for (name, bytes) in sections() {
        assert_eq!(file.section(&name).unwrap().as_ref(), bytes, "{name}");
    }
}

#[test]
fn every_cut_is_refused() {
    let bytes = written();
    let data = u64::from_le_bytes(bytes[32..40].try_into().unwrap()) as usize;
    let near = |at: usize| [at.saturating_sub(1), at, at + 1];
    let boundaries =
        [0, 8, 12, 24, 56, HEADER, HEADER + 100, data, bytes.len() - 1].into_iter().flat_map(near);
    for len in boundaries.filter(|&len| len < bytes.len()).chain((0..bytes.len()).step_by(997)) {
        let e = open(bytes[..len].to_vec()).unwrap_err();
        assert!(e.starts_with("'p' "), "{len}: {e}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(open(longer).unwrap_err().contains("it is not whole"));
}

#[test]
fn every_flipped_bit_of_a_small_file_is_refused() {
    let bytes = written();
    let data = u64::from_le_bytes(bytes[32..40].try_into().unwrap()) as usize;
    for at in (0..HEADER + 600).chain((HEADER + 600..data).step_by(61)) {
        for bit in [0, 3, 7] {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            assert!(open(changed).is_err(), "byte {at}, bit {bit}");
        }
    }
    let mut changed = bytes;
    let last = changed.len() - 1; // of t5
    changed[last] ^= 16;
    let e = open(changed).unwrap_err();
    assert!(e.contains("'t5'") && e.contains("does not have its checksum"), "{e}");
}

#[test]
fn tables_that_contradict_are_refused_with_the_reason() {
    let tensor =
        |i: usize, key: &'static str, value: Value| move |json: &mut Value| json["tensors"][i][key] = value;
    let section =
        |i: usize, key: &'static str, value: Value| move |json: &mut Value| json["sections"][i][key] = value;
    let huge = Value::from(u64::MAX - 63);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (with_table(tensor(0, "offset", 65536.into())), ""),
        (with_table(tensor(1, "offset", 65537.into())), "no multiple of 64"),
        (with_table(tensor(1, "offset", 65536.into())), "what is before it ends at"),
        (with_table(tensor(0, "offset", 0.into())), "what is before it ends at"),
        (with_table(tensor(5, "offset", huge.clone())), "does not end within the file"),
        (with_table(tensor(5, "offset", (1u64 << 40).into())), "does not end within the file"),
        (with_table(tensor(2, "length", huge.clone())), "its entry has"),
        (with_table(tensor(2, "length", 0.into())), "its entry has 0"),
        (with_table(tensor(2, "shape", vec![u64::MAX, u64::MAX].into())), "impossible shape"),
        (with_table(tensor(2, "shape", vec![1u64; 5].into())), "impossible shape"),
        (with_table(tensor(2, "shape", vec![0u64, 88].into())), "takes 0 bytes"),
        (with_table(tensor(1, "order", "tiles".into())), "for f32 in tiles"),
        (with_table(tensor(0, "order", "heap".into())), "the unknown order 'heap'"),
        (with_table(tensor(0, "dtype", "q9\u{1b}".into())), "the unknown type 'q9\\u{1b}'"),
        (with_table(tensor(0, "dtype", "Q4_0".into())), "the unknown type"),
        (with_table(tensor(0, "checksum", "12".into())), "no number"),
        (with_table(tensor(0, "sample", "12".into())), "no number"),
        (with_table(tensor(0, "sample", "0".repeat(16).into())), "does not have its checksum"),
        (with_table(tensor(1, "name", "t0".into())), "is there twice"),
        (with_table(tensor(1, "extra", 1.into())), "not valid"),
        (with_table(tensor(1, "\u{7f}\u{1b}ffset", 1.into())), "unknown field `\\u{7f}\\u{1b}ffset`"),
        (with_table(tensor(1, "offset", (-1).into())), "not valid"),
        (with_table(section(1, "name", "config.json".into())), "twice"),
        (with_table(section(0, "offset", 0.into())), "begins within what is before it"),
        (with_table(section(2, "length", 1_000_000.into())), "does not end before the data"),
        (with_table(section(2, "length", huge)), "does not end before the data"),
        (with_table(|json| json["matrices"] = "q4_0".into()), "unknown field `matrices`"),
        (with_table(|json| *json = Value::Null), "not valid"),
    ];
    for (i, (bytes, part)) in cases.into_iter().enumerate() {
        match open(bytes) {
            Ok(_) => assert!(part.is_empty(), "case {i} was accepted, which should say '{part}'"),
            Err(e) => assert!(!part.is_empty() && e.contains(part), "case {i}: {e}"),
        }
    }
}

#[test]
fn headers_that_contradict_are_refused() {
    let long = |at: usize, value: u64| {
        let mut bytes = written();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let own = checksum(&bytes[..56]);
        bytes[56..64].copy_from_slice(&own.to_le_bytes());
        open(bytes).map(drop).unwrap_err()
    };
    for value in [0, 1, 63, 1 << 20, (64 << 20) + 1, 1 << 40, u64::MAX] {
        assert!(long(24, value).starts_with("'p' "), "table of {value}");
    }
    for value in [0, 1, 65535, 1 << 31, 1 << 63, u64::MAX - 65535, u64::MAX] {
        assert!(long(32, value).contains("impossible lengths"), "data at {value}");
    }
    assert!(long(40, 0).contains("it is not whole"));
    let e = long(8, 4 | u64::from(0x0a0b_0c0d_u32) << 32);
    assert!(e.contains("has version 4 and layout 1") && e.contains("pack the model again"), "{e}");
    assert!(long(16, 9).contains("has version 3 and layout 9"));
    assert!(long(8, 1 | u64::from(0x0d0c_0b0a_u32) << 32).contains("byte order"));
    assert!(open(b"GGUF and more".repeat(9)).unwrap_err().contains("is no file of packed weights"));
}

/// A disk with room for so many bytes.
struct Disk(Cursor<Vec<u8>>, usize);

impl io::Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.position() as usize + bytes.len() > self.1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Seek for Disk {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_full_disk_is_an_error_and_what_was_written_is_no_packed_file() {
    let len = written().len();
    for room in [0, 100, 65536, 70_000, len - 1] {
        let mut disk = Disk(Cursor::new(Vec::new()), room);
        let packer = Packer::new(sections(), tensors()).unwrap();
        let e = packer.write(Path::new("p"), &mut disk, &mut |_| {}).unwrap_err();
        assert!(matches!(e, FormatError::Io { action: "write", .. }), "{e}");
        assert!(open(disk.0.into_inner()).is_err(), "with room for {room}");
    }
}
