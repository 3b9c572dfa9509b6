//! A model in several files.

use std::fs;
use std::path::PathBuf;

use llm_rs2::core::DType;
use llm_rs2::engine::ModelFiles;
use llm_rs2::format::{Checkpoint, TensorSource};
use tempfile::TempDir;

use super::model::logits;
use super::writer::{Gguf, Key, add_tokenizer, converted};
use super::{repository, written};

fn tiny() -> Gguf {
    let dir = repository("tests/fixtures/tiny-options");
    let mut file = converted(&dir, DType::F16);
    add_tokenizer(&mut file, &dir);
    file
}

fn name(number: usize, count: usize) -> String {
    format!("tiny-{number:05}-of-{count:05}.gguf")
}

/// The parts in a directory of their own, with their paths.
fn parts_in_a_directory(parts: &[Gguf]) -> (TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> =
        (1..=parts.len()).map(|number| dir.path().join(name(number, parts.len()))).collect();
    for (part, path) in parts.iter().zip(&paths) {
        fs::write(path, part.bytes()).unwrap();
    }
    (dir, paths)
}

#[test]
fn any_part_or_the_directory_stands_for_all() {
    let whole = tiny();
    let (_kept, one) = written(&whole);
    let expected = logits(&one, DType::F16);
    for count in [2, 5] {
        let (dir, paths) = parts_in_a_directory(&whole.parts(count));
        for path in paths.iter().chain([&dir.path().to_owned()]) {
            assert!(logits(path, DType::F16) == expected, "{}", path.display());
        }
        let (parts, whole) = (Checkpoint::open(&paths[count - 1]).unwrap(), Checkpoint::open(&one).unwrap());
        assert_eq!((parts.names(), parts.total_bytes()), (whole.names(), whole.total_bytes()));
        assert_eq!(parts.files().collect::<Vec<_>>(), paths);
        assert_eq!(ModelFiles::open(dir.path()).unwrap().config, ModelFiles::open(&one).unwrap().config);
        // A file of vision beside them changes nothing.
        fs::write(dir.path().join("mmproj-tiny.gguf"), "GGUF").unwrap();
        assert!(Checkpoint::open(dir.path()).is_ok());
    }
    // A name is a name: a whole file may have that of a part.
    let (_dir, paths) = parts_in_a_directory(std::slice::from_ref(&whole));
    let other = paths[0].with_file_name(name(2, 3));
    fs::rename(&paths[0], &other).unwrap();
    assert!(logits(&other, DType::F16) == expected);
}

#[test]
fn parts_that_do_not_belong_together_are_named() {
    let parts = tiny().parts(3);
    let says = |path: &std::path::Path, words: &str| {
        let message = ModelFiles::open(path).err().expect("it is refused").to_string();
        assert!(message.contains(words) && !message.contains('\n'), "{message}");
    };
    let (dir, paths) = parts_in_a_directory(&parts);
    fs::remove_file(&paths[1]).unwrap();
    says(
        &paths[2],
        "tiny-00002-of-00003.gguf' does not exist, which is part 2 of 3 of the model: download it",
    );
    says(
        dir.path(),
        "holds 2 of the 3 parts of a model: download the others, such as 'tiny-00002-of-00003.gguf'",
    );
    // The same part twice.
    fs::copy(&paths[0], &paths[1]).unwrap();
    says(&paths[0], "tiny-00002-of-00003.gguf' is not part 2 of 3, as its name says");
    // Another model's.
    fs::write(&paths[1], tiny().parts(4)[1].bytes()).unwrap();
    says(&paths[0], "is not part 2 of 3");
    let mut less = parts[1].clone();
    less.tensors.pop();
    fs::write(&paths[1], less.bytes()).unwrap();
    says(&paths[0], "download all parts of the model again");
    let mut twice = parts[1].clone();
    twice.tensors[0] = parts[0].tensors[0].clone();
    fs::write(&paths[1], twice.bytes()).unwrap();
    says(&paths[0], "is in '");
    // A name that does not say which part it is.
    let renamed = dir.path().join("m.gguf");
    fs::rename(&paths[0], &renamed).unwrap();
    says(
        &renamed,
        "is a part of a GGUF file; give its 3 parts the names that they had, such as 'NAME-00001-of-00003.gguf'",
    );
    let mut odd = parts[0].clone();
    odd.set("split.no", Key::Text("first".into()));
    fs::write(&paths[0], odd.bytes()).unwrap();
    says(&paths[0], "has 'split.no' = 'first', where an integer from 0 on is needed");
}
