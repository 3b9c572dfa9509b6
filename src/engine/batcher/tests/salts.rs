//! What was computed for one salt is never used for another.

use std::time::Duration;

use super::*;
use crate::engine::{CacheSalt, DiskOptions, Identity, Origin};

const SALTS: [Option<CacheSalt>; 3] = [None, Some(CacheSalt([1; 32])), Some(CacheSalt([2; 32]))];

/// A prompt of several pages, and what becomes of it alone.
fn long() -> (Request, Outcome) {
    let at = requests().iter().position(|request| request.prompt.len() > 64).unwrap();
    (requests()[at].clone(), expected()[at].clone())
}

/// Asks for a text with this salt; how many of its tokens were there already.
fn reused(batcher: &mut Batcher, salt: Option<CacheSalt>) -> usize {
    let (request, alone) = long();
    let listener = Listener::default();
    batcher.submit(Request { cache_salt: salt, ..request }, Box::new(listener.clone()));
    run(batcher);
    same(&[listener.outcome()], &[alone]);
    listener.reused()
}

#[test]
fn ended_texts_are_found_by_their_salt_alone() {
    let mut crowd = batcher(4, 4000, 100, None);
    for (kept, salt) in SALTS.into_iter().enumerate() {
        assert_eq!(crowd.load_now().prefixes, kept);
        assert_eq!(reused(&mut crowd, salt), 0);
    }
    // None took the place of another one.
    for salt in SALTS {
        assert!(reused(&mut crowd, salt) > 64);
    }
}

#[test]
fn texts_in_progress_neither_wait_for_those_with_other_salts_nor_share_with_them() {
    let (request, alone) = long();
    let submit = |crowd: &mut Batcher, salt| {
        let listener = Listener::default();
        crowd.submit(Request { cache_salt: salt, ..request.clone() }, Box::new(listener.clone()));
        listener
    };
    let mut crowd = batcher(8, 4000, 100, None);
    let first: Vec<Listener> = SALTS.into_iter().map(|salt| submit(&mut crowd, salt)).collect();
    // A second one for each salt waits for the first; one whose salt is new waits for none of them.
    let second: Vec<Listener> = SALTS.into_iter().map(|salt| submit(&mut crowd, salt)).collect();
    let other = submit(&mut crowd, Some(CacheSalt([3; 32])));
    crowd.admit();
    assert_eq!((crowd.load_now().active, crowd.load_now().waiting), (4, 3));
    run(&mut crowd);
    assert_eq!(other.reused(), 0);
    assert!(first.iter().all(|listener| listener.reused() == 0));
    for listener in first.iter().chain(&second).chain([&other]) {
        same(&[listener.outcome()], std::slice::from_ref(&alone));
    }
}

#[test]
fn files_are_found_by_their_salt_alone() {
    let folder = tempfile::tempdir().unwrap();
    let on_disk = || {
        let origin = Origin { model: Identity::default(), arithmetic: "cpu".to_owned() };
        let options = DiskOptions { folder: folder.path().to_owned(), budget: 1 << 30, origin };
        let mut batcher = batcher(4, 4000, 100, None);
        batcher.keep_on_disk(&options).unwrap();
        batcher
    };
    let written = |mut batcher: Batcher| {
        while batcher.tidy() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(batcher.take_notes(), [""; 0]);
        std::fs::read_dir(folder.path()).unwrap().count()
    };
    let mut first = on_disk();
    assert_eq!(reused(&mut first, SALTS[1]), 0);
    assert_eq!(written(first), 1);
    let mut second = on_disk();
    assert_eq!(reused(&mut second, SALTS[0]), 0);
    assert_eq!(reused(&mut second, SALTS[2]), 0);
    assert!(reused(&mut second, SALTS[1]) > 64);
    // Texts that are the same but for their salts have a file each.
    assert_eq!(written(second), 3);
    let mut third = on_disk();
    for salt in SALTS {
        assert!(reused(&mut third, salt) > 64);
    }
    assert_eq!(reused(&mut third, Some(CacheSalt([3; 32]))), 0);
}
