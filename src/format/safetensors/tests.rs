use std::fs;

use super::*;
use crate::core::Shape;

/// A file from its header's text and its data.
fn file_bytes(header: &str, data: &[u8]) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

fn open(bytes: Vec<u8>) -> Result<SafeTensorsFile, String> {
    SafeTensorsFile::from_bytes(Path::new("m.safetensors"), bytes.into()).map_err(|e| e.to_string())
}

fn open_header(header: &str, data_len: usize) -> String {
    open(file_bytes(header, &vec![0; data_len])).unwrap_err()
}

#[test]
fn reads_what_the_header_says_at_odd_addresses_too() {
    // Written by hand: the header has an odd length, so nothing after it is aligned.
    let header = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[2,10]},"a":{"dtype":"BF16","shape":[1,1],"data_offsets":[0,2]},"none":{"dtype":"F32","shape":[0,3],"data_offsets":[10,10]},"n":{"dtype":"I32","shape":[],"data_offsets":[10,14]}}  "#;
    let data = [0x80, 0x3f, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0xfe, 0xff, 0xff, 0xff];
    let f = open(file_bytes(header, &data)).unwrap();

    let a = f.get("a").unwrap().unwrap();
    assert_eq!((a.name(), a.dtype(), a.shape()), ("a", DType::BF16, Shape::from([1, 1])));
    assert_eq!(a.bytes(), [0x80, 0x3f]);
    let b = f.get("b").unwrap().unwrap();
    assert_eq!((b.dtype(), b.shape()), (DType::F32, Shape::from([2])));
    let values: Vec<f32> =
        b.bytes().chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect();
    assert_eq!(values, [1.0, -2.0]);
    assert!(f.get("none").unwrap().unwrap().bytes().is_empty());
    let n = f.get("n").unwrap().unwrap();
    assert_eq!((n.dtype(), n.shape(), n.bytes()), (DType::I32, Shape::from([]), &data[10..]));
    assert!(f.get("__metadata__").unwrap().is_none());
    assert!(f.get("c").unwrap().is_none());
    assert_eq!(f.data_bytes(), 14);
}

#[test]
fn a_file_without_tensors_is_fine() {
    assert_eq!(open(file_bytes("{}", &[])).unwrap().names().count(), 0);
}

#[test]
fn truncation_is_said_with_the_tensor_and_the_bytes() {
    let header = r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let whole = file_bytes(header, &[7; 12]);
    assert!(open(whole.clone()).is_ok());
    let h = 8 + header.len();
    for (keep, name, needs) in
        [(h + 11, "b", h + 12), (h + 4, "b", h + 12), (h + 3, "a", h + 4), (h, "a", h + 4)]
    {
        assert_eq!(
            open(whole[..keep].to_vec()).unwrap_err(),
            format!(
                "'m.safetensors' ends after {keep} bytes but tensor '{name}' needs bytes up to {needs}: download it again"
            )
        );
    }
    assert_eq!(
        open(whole[..h - 1].to_vec()).unwrap_err(),
        format!("'m.safetensors' ends after {} bytes but its header ends at {h}: download it again", h - 1)
    );
    for keep in 0..8 {
        assert_eq!(
            open(whole[..keep].to_vec()).unwrap_err(),
            format!("'m.safetensors' has {keep} bytes, too few for a safetensors file: download it again")
        );
    }
    let mut longer = whole;
    longer.extend([0; 3]);
    assert_eq!(
        open(longer).unwrap_err(),
        "'m.safetensors' has 3 bytes after its last tensor, where it should end: download it again"
    );
}

#[test]
fn absurd_header_lengths_are_refused_before_anything_is_read() {
    for n in [MAX_HEADER + 1, 1 << 60, u64::MAX] {
        let mut bytes = n.to_le_bytes().to_vec();
        bytes.extend(b"{}");
        assert_eq!(
            open(bytes).unwrap_err(),
            format!(
                "'m.safetensors' claims a header of {n} bytes, more than the 100000000 that are allowed: \
                 it is damaged or no safetensors file"
            )
        );
    }
}

#[test]
fn headers_that_are_not_what_they_should_be() {
    let e = open_header("{\"a\":", 0);
    assert!(e.starts_with("'m.safetensors' has a header that is not JSON (EOF while parsing"), "{e}");
    let e = open(file_bytes("", &[])).unwrap_err();
    assert!(e.starts_with("'m.safetensors' has a header that is not JSON (EOF while parsing"), "{e}");
    assert_eq!(
        open_header("[1]", 0),
        "'m.safetensors' has a header that is no JSON object: no safetensors file"
    );
    let e = open_header(r#"{"__metadata__":3}"#, 0);
    assert!(e.starts_with("'m.safetensors' has a header that is not valid ("), "{e}");
    let mut bytes = file_bytes("{\"\": 1}", &[]);
    bytes[10] = 0xff;
    let e = open(bytes).unwrap_err();
    assert!(e.starts_with("'m.safetensors' has a header that is not JSON ("), "{e}");
}

#[test]
fn entries_that_contradict_themselves_are_named_with_their_values() {
    let one = |body: &str| open_header(&format!(r#"{{"x":{{{body}}}}}"#), 8);
    for (body, reason) in [
        (
            r#""dtype":"F32","shape":[3],"data_offsets":[0,8]"#,
            "takes 12 bytes as F32 [3], but its data_offsets 0..8 hold 8",
        ),
        (r#""dtype":"F32","shape":[2],"data_offsets":[8,0]"#, "has data_offsets that run backwards: 8, 0"),
        (r#""dtype":"Q9_Z","shape":[2],"data_offsets":[0,8]"#, "has the unknown element type \"Q9_Z\""),
        (r#""dtype":"F32","shape":[-2],"data_offsets":[0,8]"#, "has the impossible shape [-2]"),
        (r#""dtype":"F32","shape":[2],"data_offsets":[0,8,9]"#, "has the impossible data_offsets [0,8,9]"),
        (r#""dtype":"F32","shape":[2]"#, "has the impossible data_offsets null"),
        (
            r#""dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]"#,
            "has the shape [4294967296,4294967296], which is more than can be addressed",
        ),
        (
            r#""dtype":"F4","shape":[3],"data_offsets":[0,8]"#,
            "has 12 bits of data (F4 [3]), not a whole number of bytes",
        ),
        (
            r#""dtype":"F32","shape":[2],"data_offsets":[4,12]"#,
            "starts at byte 4 of the data, but the one before ends at 0",
        ),
    ] {
        assert_eq!(one(body), format!("tensor 'x' in 'm.safetensors' {reason}"));
    }
}

#[test]
fn ranges_that_overlap_or_leave_gaps_are_refused() {
    let two = |start: usize| {
        let end = start + 4;
        let header = format!(
            r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":[0,4]}},"b":{{"dtype":"U8","shape":[4],"data_offsets":[{start},{end}]}}}}"#
        );
        open_header(&header, end)
    };
    assert_eq!(two(2), "tensor 'b' in 'm.safetensors' starts at byte 2 of the data, inside of tensor 'a'");
    assert_eq!(
        two(5),
        "tensor 'b' in 'm.safetensors' starts at byte 5 of the data, but the one before ends at 4"
    );
}

#[test]
fn offsets_whose_sum_overflows_are_refused() {
    // Eight tensors of 2^61 - 1 bytes each: every one is addressable, the end of the last plus the header
    // is not.
    let size = (1u64 << 61) - 1;
    let entries: Vec<String> = (0..8u64)
        .map(|i| {
            let (start, end) = (i * size, (i + 1) * size);
            format!(r#""t{i}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let len = 8 + header.len();
    assert_eq!(
        open_header(&header, 0),
        format!(
            "'m.safetensors' ends after {len} bytes but tensor 't0' needs bytes up to {}: download it again",
            size + len as u64
        )
    );
}

#[test]
fn unused_types_and_ranks_do_not_prevent_opening() {
    let header = r#"{"w":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"ids":{"dtype":"I64","shape":[1],"data_offsets":[2,10]},"s":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[10,12]},"deep":{"dtype":"U8","shape":[1,1,1,1,2],"data_offsets":[12,14]}}"#;
    let f = open(file_bytes(header, &[0; 14])).unwrap();
    assert_eq!(f.get("w").unwrap().unwrap().dtype(), DType::F16);
    for (name, dtype) in [("ids", "I64"), ("s", "F8_E4M3")] {
        assert_eq!(
            f.get(name).unwrap_err().to_string(),
            format!(
                "tensor '{name}' in 'm.safetensors' has elements of type {dtype}, which is not read; \
                 known are F32, F16, BF16, U8 and I32: use a checkpoint in one of these"
            )
        );
    }
    assert_eq!(
        f.get("deep").unwrap_err().to_string(),
        "tensor 'deep' in 'm.safetensors' has 5 dimensions, more than the 4 that are read"
    );
}

#[test]
fn other_formats_are_recognized() {
    for (start, says) in [
        (&b"GGUF\x03\0\0\0\x01\0\0\0"[..], "is a GGUF file; give that file by itself"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
            "is a Git LFS pointer and not the weights; run 'git lfs pull' in its directory",
        ),
        (b"<!DOCTYPE html><html>", "is a web page; download the file itself"),
        (b"PK\x03\x04\0\0\x08\x08\0\0", "is a pickle checkpoint; pickle can run code"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9", "is a pickle checkpoint; pickle can run code"),
    ] {
        let e = open(start.to_vec()).unwrap_err();
        assert!(e.starts_with(&format!("'m.safetensors' {says}")), "{e}");
    }
}

#[test]
fn a_mapped_file_reads_as_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let bytes = file_bytes(r#"{"x":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#, &[1, 2, 3]);
    fs::write(&path, &bytes).unwrap();
    let tensor = SafeTensorsFile::open(&path).unwrap().get("x").unwrap().unwrap();
    // The tensor keeps the map alive.
    assert_eq!(tensor.bytes(), [1, 2, 3]);
    drop(tensor);
    fs::write(&path, b"").unwrap();
    let e = SafeTensorsFile::open(&path).unwrap_err().to_string();
    assert_eq!(
        e,
        format!("'{}' has 0 bytes, too few for a safetensors file: download it again", path.display())
    );
}
