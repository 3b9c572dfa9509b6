use std::collections::HashMap;

use serde_json::json;

use super::*;

type Given = HashMap<String, Vec<u8>>;

fn read(given: &Given) -> Result<EmbeddingHead, String> {
    let file = |name: &str| given.get(name).cloned().map(HostBytes::from);
    EmbeddingHead::read(&file, &|name| format!("dir/{name}")).map_err(|error| error.to_string())
}

fn given(files: &[(&str, Value)]) -> Given {
    files.iter().map(|(name, value)| ((*name).to_owned(), value.to_string().into_bytes())).collect()
}

/// A file with one matrix in f32.
fn weights(name: &str, shape: [usize; 2], values: &[f32]) -> Vec<u8> {
    let header =
        json!({ name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * values.len()]} }).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(values.iter().flat_map(|x| x.to_le_bytes()));
    file
}

fn module(kind: &str, path: &str) -> Value {
    json!({"idx": 0, "name": "0", "path": path, "type": format!("sentence_transformers.models.{kind}")})
}

const IDENTITY: &str = "torch.nn.modules.linear.Identity";

#[test]
fn modules_are_read_in_their_order() {
    assert_eq!(read(&Given::new()), Ok(EmbeddingHead::default()));
    let modules = json!([
        module("Transformer", ""),
        module("Pooling", "1_Pooling"),
        module("Dense", "2_Dense"),
        module("Normalize", "3_Normalize")
    ]);
    let pooling = json!({"word_embedding_dimension": 2, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true});
    let dense = json!({"in_features": 2, "out_features": 1, "bias": false, "activation_function": IDENTITY});
    let mut files = given(&[
        ("modules.json", modules),
        ("1_Pooling/config.json", pooling),
        ("2_Dense/config.json", dense),
    ]);
    assert_eq!(
        read(&files).unwrap_err(),
        "dir/2_Dense/model.safetensors is missing; download it, as safetensors, from where the model is from"
    );
    files.insert("2_Dense/model.safetensors".into(), weights("linear.weight", [1, 2], &[3.0, -1.0]));
    let head = read(&files).unwrap();
    assert_eq!((head.pooling, head.finish(vec![2.0, 5.0])), (Some(Pooling::Mean), vec![1.0]));
}

#[test]
fn poolings_have_two_spellings() {
    let of = |config: Value| read(&given(&[("1_Pooling/config.json", config)])).map(|head| head.pooling);
    assert_eq!(of(json!({"pooling_mode_lasttoken": true, "include_prompt": true})), Ok(Some(Pooling::Last)));
    assert_eq!(of(json!({"pooling_mode": "cls"})), Ok(Some(Pooling::Cls)));
    assert_eq!(of(json!({})), Ok(None));
    assert_eq!(
        of(json!({"pooling_mode_max_tokens": true})).unwrap_err(),
        "dir/1_Pooling/config.json asks for the pooling 'max_tokens'; known are mean, cls and lasttoken"
    );
    let both = json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true});
    assert!(of(both).unwrap_err().contains("mean_tokens and cls_token"));
}

#[test]
fn what_is_not_supported_or_damaged_is_named() {
    let message = |files: &[(&str, Value)]| read(&given(files)).unwrap_err();
    let lstm = message(&[("modules.json", json!([module("LSTM", "1_LSTM")]))]);
    assert!(
        lstm.starts_with("dir/modules.json has the module 'sentence_transformers.models.LSTM' in '1_LSTM'")
    );
    let elsewhere = message(&[("modules.json", json!([module("Dense", "../x")]))]);
    assert!(elsewhere.contains("'../x'") && elsewhere.contains("'2_Dense'"), "{elsewhere}");
    assert!(message(&[("modules.json", json!({}))]).starts_with("dir/modules.json is damaged: "));
    let relu = json!({"activation_function": "torch.nn.modules.activation.ReLU"});
    assert!(message(&[("2_Dense/config.json", relu)]).contains("known are Identity and Tanh"));
    let mut files = given(&[("2_Dense/config.json", json!({"bias": true, "activation_function": IDENTITY}))]);
    let mut with = |bytes: Vec<u8>| {
        files.insert("2_Dense/model.safetensors".into(), bytes);
        read(&files).unwrap_err()
    };
    assert!(with(weights("linear.weight", [1, 1], &[1.0])).contains("lacks the vector 'linear.bias'"));
    assert!(with(weights("other", [1, 1], &[1.0])).contains("lacks the matrix 'linear.weight'"));
    assert!(with(weights("linear.weight", [1, 1], &[f32::NAN])).contains("the value NaN in 'linear.weight'"));
    assert!(with(vec![1, 2, 3]).contains("2_Dense/model.safetensors"));
}
