use std::collections::BTreeSet;

use super::*;
use crate::core::{DType, Shape};
use ::safetensors::Dtype;
use ::safetensors::tensor::TensorView;
use tempfile::TempDir;

/// A valid file of U8 vectors, made by the reference implementation.
fn shard(tensors: &[(&str, &[u8])]) -> Vec<u8> {
    let views = tensors.iter().map(|(n, d)| (*n, TensorView::new(Dtype::U8, vec![d.len()], d).unwrap()));
    ::safetensors::serialize(views, None).unwrap()
}

fn dir_with(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

fn index(map: &[(&str, &str)]) -> Vec<u8> {
    let map: serde_json::Map<String, Value> = map.iter().map(|(n, f)| (n.to_string(), (*f).into())).collect();
    serde_json::to_vec(&serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map})).unwrap()
}

fn error(dir: &TempDir) -> String {
    let e = Checkpoint::open(dir.path()).unwrap_err().to_string();
    e.replace(&dir.path().display().to_string(), "DIR")
}

fn bytes_of(c: &Checkpoint, name: &str) -> Vec<u8> {
    c.get(name).unwrap().unwrap().bytes().to_vec()
}

#[test]
fn opens_a_directory_or_the_file_in_it() {
    let dir = dir_with(&[("model.safetensors", &shard(&[("b", &[1, 2]), ("a", &[3])]))]);
    let file = dir.path().join("model.safetensors");
    for path in [dir.path(), &file] {
        let c = Checkpoint::open(path).unwrap();
        assert_eq!(c.names(), ["a", "b"]);
        assert_eq!(bytes_of(&c, "b"), [1, 2]);
        assert!(c.get("c").unwrap().is_none());
        assert_eq!(c.total_bytes(), 3);
        assert_eq!(c.dir(), dir.path());
        assert_eq!(c.location("b"), file.display().to_string());
        assert_eq!(c.location("c"), file.display().to_string());
        assert_eq!(c.files().collect::<Vec<_>>(), [file.as_path()]);
    }
}

#[test]
fn opens_shards_and_counts_tensors_that_the_index_omits() {
    let dir = dir_with(&[
        ("one.safetensors", &shard(&[("a", &[1]), ("b", &[2, 2])])),
        ("two.safetensors", &shard(&[("c", &[3]), ("extra", &[4])])),
        (INDEX, &index(&[("c", "two.safetensors"), ("a", "one.safetensors"), ("b", "one.safetensors")])),
    ]);
    let c = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(c.names(), ["a", "b", "c", "extra"]);
    assert_eq!(bytes_of(&c, "b"), [2, 2]);
    assert_eq!(bytes_of(&c, "c"), [3]);
    assert_eq!(bytes_of(&c, "extra"), [4]);
    assert_eq!(c.total_bytes(), 5);
    assert_eq!(c.location("c"), dir.path().join("two.safetensors").display().to_string());
    assert_eq!(c.location("absent"), dir.path().display().to_string());
    assert_eq!(c.files().count(), 2);
}

#[test]
fn the_single_file_wins_over_an_index() {
    let dir = dir_with(&[("model.safetensors", &shard(&[("a", &[1])])), (INDEX, b"broken")]);
    assert_eq!(Checkpoint::open(dir.path()).unwrap().names(), ["a"]);
}

#[test]
fn indexes_that_do_not_match_their_shards_are_refused() {
    let a = shard(&[("a", &[1])]);
    let dir = dir_with(&[("s", &a), (INDEX, &index(&[("a", "s"), ("b", "t")]))]);
    assert_eq!(
        error(&dir),
        "the index 'DIR/model.safetensors.index.json' names the shard 't', which is not in 'DIR': download it"
    );
    let dir = dir_with(&[("s", &a), (INDEX, &index(&[("a", "s"), ("b", "s")]))]);
    assert_eq!(
        error(&dir),
        "the index 'DIR/model.safetensors.index.json' puts tensor 'b' in 's', which does not hold it: \
         the files are of different downloads"
    );
    let dir = dir_with(&[
        ("s", &a),
        ("t", &shard(&[("a", &[9]), ("b", &[1])])),
        (INDEX, &index(&[("a", "s"), ("b", "t")])),
    ]);
    assert_eq!(
        error(&dir),
        "tensor 'a' in 'DIR/t' is in 'DIR/s' too: delete the shard that does not belong to this checkpoint"
    );
}

#[test]
fn shards_cannot_lie_outside_of_the_directory() {
    let outside = dir_with(&[("s", &shard(&[("a", &[1])]))]);
    let absolute = outside.path().join("s").display().to_string();
    for name in ["../s", "x/../../s", absolute.as_str(), "", ".", "./s", ".."] {
        let dir = dir_with(&[(INDEX, &index(&[("a", name)]))]);
        assert_eq!(
            error(&dir),
            format!(
                "the index 'DIR/model.safetensors.index.json' puts tensor 'a' in '{name}', \
                 which is not a file within its directory"
            )
        );
    }
    let dir = dir_with(&[(INDEX, &index(&[("a", "s\0")]))]);
    assert!(Checkpoint::open(dir.path()).is_err());
}

#[test]
fn broken_indexes_are_named() {
    for (bytes, says) in [
        (
            &b"{"[..],
            "is not JSON (EOF while parsing an object at line 1 column 1): it is damaged, download it again",
        ),
        (b"[]", "has no \"weight_map\" from tensor names to files: download it again"),
        (br#"{"weight_map":{}}"#, "has an empty \"weight_map\": download it again"),
        (br#"{"weight_map":{"a":3}}"#, "puts tensor 'a' in 3, which is no file name"),
    ] {
        let dir = dir_with(&[(INDEX, bytes)]);
        assert_eq!(error(&dir), format!("the index 'DIR/model.safetensors.index.json' {says}"));
    }
}

#[test]
fn directories_without_weights_say_what_they_hold() {
    let none = "'DIR' holds no model.safetensors and no model.safetensors.index.json; ";
    assert_eq!(error(&dir_with(&[])), format!("{none}it is empty"));
    assert_eq!(
        error(&dir_with(&[("README.md", b""), ("notes.txt", b"")])),
        format!("{none}it holds README.md, notes.txt: give the directory of a model")
    );
    assert_eq!(
        error(&dir_with(&[("README.md", b""), ("config.json", b"")])),
        format!("{none}the weights are not there: download the model's safetensors files too")
    );
    assert_eq!(
        error(&dir_with(&[("other.safetensors", b"")])),
        format!("{none}it holds 'other.safetensors': give that file itself")
    );
    for (files, says) in [
        (&["consolidated.00.pth", "params.json"][..], "the layout of the model's makers"),
        (
            &["model-00002-of-00003.safetensors"],
            "1 of the 3 parts of a model: download the others, such as \
                                                 'model-00001-of-00003.safetensors'",
        ),
        (&["adapter_model.safetensors"], "a LoRA adapter and no model: merge it into its base model"),
        (
            &["model.onnx", "config.json"],
            "'model.onnx': download the model's safetensors files or a GGUF file",
        ),
        (&["model.safetensors.part"], "the download has not ended"),
    ] {
        let files: Vec<(&str, &[u8])> = files.iter().map(|name| (*name, &b""[..])).collect();
        let said = error(&dir_with(&files));
        assert!(said.contains(says), "{said}");
    }
    let old = error(&dir_with(&[("model.bin", b"tjgg\x03\0\0\0\0\x7d\0\0")]));
    assert!(old.contains("it holds 'model.bin', a GGJT file, from before GGUF: "), "{old}");
    let pointer = &b"version https://git-lfs.github.com/spec/v1"[..];
    let said = error(&dir_with(&[("tokenizer.json", pointer), (SINGLE, &shard(&[("a", &[1])]))]));
    assert!(said.contains("tokenizer.json' is a Git LFS pointer") && said.contains("git lfs pull"), "{said}");
    assert_eq!(
        error(&dir_with(&[("m-Q4_0.gguf", b""), ("m-Q8_0.gguf", b"")])),
        format!("{none}it holds 'm-Q4_0.gguf' and other GGUF files: give one of them")
    );
    assert_eq!(
        error(&dir_with(&[("config.json", b""), ("pytorch_model.bin", b"")])),
        format!(
            "{none}it holds 'pytorch_model.bin': pickle can run code as it is read and is not read here: \
             convert it in Python with transformers.AutoModelForCausalLM.from_pretrained(DIR)\
             .save_pretrained(NEW_DIR), DIR being 'DIR'"
        )
    );
    let many: Vec<String> = (10..40).map(|i| format!("f{i}")).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|n| (n.as_str(), &b""[..])).collect();
    let e = error(&dir_with(&many));
    assert!(e.ends_with("it holds f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, ...: give the directory of a model"), "{e}");
}

#[test]
fn parts_without_an_index_are_a_checkpoint_if_all_are_there() {
    let (one, two) = (shard(&[("a", &[1])]), shard(&[("b", &[2])]));
    let (first, second) = ("m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors");
    let dir = dir_with(&[(first, &one), (second, &two)]);
    assert_eq!(Checkpoint::open(dir.path()).unwrap().names(), ["a", "b"]);
    let part = Checkpoint::open(&dir.path().join(first)).unwrap_err().to_string();
    assert!(part.contains("is one part of a model in several; give the directory"), "{part}");
    fs::remove_file(dir.path().join(first)).unwrap();
    assert!(error(&dir).contains(&format!("such as '{first}'")), "{}", error(&dir));
}

#[test]
fn a_directory_of_the_hubs_cache_names_the_snapshot_in_it() {
    let hub = tempfile::tempdir().unwrap();
    let model = hub.path().join("models--org--m");
    fs::create_dir_all(model.join("refs")).unwrap();
    for snapshot in ["aaa", "bbb"] {
        fs::create_dir_all(model.join("snapshots").join(snapshot)).unwrap();
    }
    fs::write(model.join("refs/main"), "bbb\n").unwrap();
    let wanted = model.join("snapshots/bbb").display().to_string();
    for path in [hub.path(), &model, &model.join("snapshots")] {
        let said = Checkpoint::open(path).unwrap_err().to_string();
        assert!(said.contains(&format!("'{wanted}'")), "{said}");
    }
}

#[test]
fn adapters_are_named_with_their_base() {
    let base = br#"{"base_model_name_or_path": "org/base"}"#;
    let file = "some.safetensors";
    let dir = dir_with(&[("adapter_config.json", base), (file, &shard(&[("x.lora_A.weight", &[1])]))]);
    for path in [dir.path().to_owned(), dir.path().join(file)] {
        let said = Checkpoint::open(&path).unwrap_err().to_string();
        assert!(
            said.contains("LoRA adapter and no model") && said.contains("its base model org/base"),
            "{said}"
        );
    }
}

#[test]
fn paths_that_are_no_checkpoint() {
    let dir = dir_with(&[(INDEX, b"{}")]);
    let absent = dir.path().join("absent");
    assert_eq!(
        Checkpoint::open(&absent).unwrap_err().to_string(),
        format!("'{}' does not exist", absent.display())
    );
    let e = Checkpoint::open(&dir.path().join(INDEX)).unwrap_err().to_string();
    assert!(e.ends_with("is a JSON file and not weights; give the directory that holds it"), "{e}");
    #[cfg(unix)]
    {
        let e = Checkpoint::open(Path::new("/dev/null")).unwrap_err().to_string();
        assert_eq!(e, "'/dev/null' is a device, not a regular file, and cannot be read");
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_broken_ones_named() {
    // The hub's cache keeps the files elsewhere and links to them.
    let blobs = dir_with(&[("0a1b", &shard(&[("a", &[1])]))]);
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join(SINGLE);
    std::os::unix::fs::symlink(blobs.path().join("0a1b"), &link).unwrap();
    assert_eq!(bytes_of(&Checkpoint::open(dir.path()).unwrap(), "a"), [1]);
    fs::remove_file(blobs.path().join("0a1b")).unwrap();
    assert!(error(&dir).contains("which is missing; download it again"), "{}", error(&dir));
}

#[test]
fn reads_the_shared_checkpoints() {
    let Some(shared) = crate::skip::shared("reads_the_shared_checkpoints", "") else { return };
    // 1 embedding, 1 final norm and 9 tensors a layer; the output matrix is the embedding.
    let tiny = Checkpoint::open(&shared.join("goldens/tiny-llama32")).unwrap();
    assert_eq!(tiny.names().len(), 2 + 9 * 3);
    let e = tiny.get("model.embed_tokens.weight").unwrap().unwrap();
    assert_eq!((e.dtype(), e.shape()), (DType::BF16, Shape::from([512, 128])));
    let kinds: BTreeSet<&str> =
        tiny.names().iter().map(|n| tiny.get(n).unwrap().unwrap().dtype().name()).collect();
    assert_eq!(kinds, BTreeSet::from(["bf16"]));

    let stories = Checkpoint::open(&shared.join("models/stories260k")).unwrap();
    assert_eq!(stories.names().len(), 2 + 9 * 5);
    let e = stories.get("model.embed_tokens.weight").unwrap().unwrap();
    assert_eq!((e.dtype(), e.shape()), (DType::F32, Shape::from([512, 64])));
    let q = stories.get("model.layers.4.self_attn.q_proj.weight").unwrap().unwrap();
    assert_eq!(q.shape(), Shape::from([64, 64]));
}
