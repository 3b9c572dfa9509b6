//! `--explain`: what the program has understood of a model.

use std::path::Path;

use serde_json::Value;

use super::program::generate;

fn explained(family: &str, more: &[&str]) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families").join(family);
    let output = generate().arg("--explain").arg("-m").arg(dir).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_page_names_what_a_family_has_beside_others() {
    for (family, parts) in [
        (
            "gemma2",
            &["the last 8 tokens", "within 5", "logits within 4", "before and after", "gelu_tanh"][..],
        ),
        ("gemma3_text", &["layers       0, 2", "rotation     1: base 10000", "normed by head"]),
        ("phi3", &["longrope, others for texts of more than 24 tokens", "6 values of a head"]),
        ("granite", &["rows times 4", "logits times 0.5", "each half is added 0.5 times"]),
        ("qwen2", &["biases of q, k, v", "the embedding matrix"]),
        ("smollm3", &["no positions"]),
        ("olmo2", &["after each half", "a matrix of its own"]),
        ("ministral3", &["yarn by 4", "queries grow by 0.125 every 16 tokens"]),
    ] {
        let page = explained(family, &[]);
        assert!(parts.iter().all(|part| page.contains(part)), "{family}: {parts:?} in {page}");
        assert!(page.contains("bf16") && page.contains("for 1024 tokens as f16"), "{page}");
    }
}

#[test]
fn the_same_as_an_object_follows_the_flags() {
    let json = |more: &[&str]| -> Value {
        serde_json::from_str(&explained("mistral", &[&["--json"], more].concat())).unwrap()
    };
    let plain = json(&[]);
    assert_eq!((&plain["family"], &plain["layers"]), (&"mistral".into(), &2.into()));
    assert_eq!(plain["layer_kinds"][0]["attention"]["window"], 8);
    // Two layers of two heads of eight halves, keys and values, in the two pages that a window of eight may reach into.
    assert_eq!(plain["cache_bytes"]["1024"], 128 * 2 * 2 * 2 * 8 * 2);
    let small = json(&["--weight-dtype", "q8_0", "--kv-type", "q8_0"]);
    assert!(small["weight_bytes"].as_u64() < plain["weight_bytes"].as_u64());
    assert!(small["cache_bytes"]["1024"].as_u64() < plain["cache_bytes"]["1024"].as_u64());
    assert!(
        small["weights"].as_array().unwrap().iter().all(|t| t["stored"] == "bf16" && t["format"] == "q8_0")
    );
}
