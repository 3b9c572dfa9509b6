//! Whatever the bytes, a file is read or refused.

use std::fs;

use proptest::prelude::*;

use super::*;

const DESCRIPTION: &[u8] = b"{\"a\": 1}";
const IDS: [u32; 3] = [7, 0, u32::MAX];
const CACHE: [u8; 40] = [9; 40];

fn written(path: &Path) {
    let file = File::create(path).unwrap();
    let len = write(path, &file, DESCRIPTION, &IDS, CACHE.len() as u64, |put| {
        put(&CACHE[..15])?;
        put(&CACHE[15..])
    });
    assert_eq!(len.unwrap(), fs::metadata(path).unwrap().len());
}

/// Description, ids and cache.
type Parts = (Vec<u8>, Vec<u32>, Vec<u8>);

/// Everything in the file, or why not.
fn read(path: &Path) -> Result<Parts, String> {
    let mut reader = match SessionReader::open(path).map_err(|e| e.to_string())? {
        Found::Session(reader) => reader,
        Found::Unusable(why) => return Err(why),
        Found::Nothing => return Err("nothing".into()),
        Found::Foreign => return Err("foreign".into()),
    };
    let (description, ids) = reader.start()?;
    let mut cache = vec![0; usize::try_from(reader.cache_bytes()).unwrap()];
    reader.fill(&mut cache)?;
    reader.finish()?;
    Ok((description, ids, cache))
}

#[test]
fn what_was_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    assert_eq!(read(&path).unwrap_err(), "nothing");
    fs::write(&path, "").unwrap();
    assert_eq!(read(&path).unwrap_err(), "nothing");
    fs::write(&path, "my thesis").unwrap();
    assert_eq!(read(&path).unwrap_err(), "foreign");
    written(&path);
    assert_eq!(read(&path).unwrap(), (DESCRIPTION.to_vec(), IDS.to_vec(), CACHE.to_vec()));
    // The rest is checked even if it is not asked for, and no read gets more than there is.
    let Found::Session(mut reader) = SessionReader::open(&path).unwrap() else { panic!("a session file") };
    reader.start().unwrap();
    assert_eq!(reader.fill(&mut [0; 41]).unwrap_err(), "holds too little of the cache");
    let Found::Session(mut reader) = SessionReader::open(&path).unwrap() else { panic!("a session file") };
    reader.start().unwrap();
    reader.finish().unwrap();
    assert!(read(dir.path()).unwrap_err().contains("is a directory"));
}

#[test]
fn the_version_before_is_read_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    written(&path);
    let mut bytes = fs::read(&path).unwrap();
    for (version, reads) in [(0u32, false), (1, true), (2, true), (3, false), (u32::MAX, false)] {
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        let own = checksum(&bytes[..56]);
        bytes[56..64].copy_from_slice(&own.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        match read(&path) {
            Ok(parts) => assert!(reads && parts.2 == CACHE, "{version}"),
            Err(why) => assert!(!reads && why.contains("reads versions 1 to 2"), "{version}: {why}"),
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    written(&path);
    let whole = fs::read(&path).unwrap();
    for bit in 0..8 * whole.len() {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let why = read(&path).unwrap_err();
        let expected = match bit / 8 {
            0..8 => "foreign",
            8..12 => "version",
            12..16 => "byte order",
            16..64 => "header does not have the checksum",
            _ => "contents do not have the checksum",
        };
        assert!(why.contains(expected), "bit {bit}: {why}");
    }
    for len in 1..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let why = read(&path).unwrap_err();
        let expected = match len {
            0..8 => "foreign",
            8..64 => "within its header",
            _ => "not whole",
        };
        assert!(why.contains(expected), "{len} bytes: {why}");
    }
    fs::write(&path, [whole, vec![0]].concat()).unwrap();
    assert!(read(&path).unwrap_err().contains("not whole"));
}

proptest! {
    #[test]
    fn headers_that_lie_are_refused(words in prop::array::uniform5(prop_oneof![any::<u64>(), 0u64..200]), fits in any::<bool>()) {
        let [description, ids, cache, sum, len] = words;
        let header = Header { description, ids, cache, sum };
        let len = if fits { header.file_len().unwrap_or(len) } else { len };
        match Header::read(&header.to_bytes(), len) {
            Ok(read) => {
                prop_assert_eq!(read, header);
                prop_assert_eq!(header.file_len(), Some(len));
                prop_assert!(description <= MAX_DESCRIPTION && ids <= MAX_IDS);
            }
            Err(why) => prop_assert!(why.contains("impossible lengths") || why.contains("not whole"), "{}", why),
        }
    }
}
