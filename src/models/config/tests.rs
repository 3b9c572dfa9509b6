use serde_json::{Map, json};

use super::*;
use crate::core::Activation;
use crate::models::spec::{AttentionBiases, RopeSpec};
use crate::models::{Decoder, RopeScaling};

/// The least that a config must say.
fn base() -> Map<String, Value> {
    let v = json!({
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5,
        "num_attention_heads": 8, "vocab_size": 512
    });
    v.as_object().unwrap().clone()
}

/// [`base`] with these keys set; a `null` removes nothing but counts as absent.
fn with(changes: Value) -> Result<ModelConfig, String> {
    let mut map = base();
    map.extend(changes.as_object().unwrap().clone());
    ModelConfig::from_slice(&serde_json::to_vec(&map).unwrap(), "c.json").map_err(|e| e.to_string())
}

fn rope(changes: Value) -> Result<RopeSpec, String> {
    with(changes).map(|c| c.spec.ropes[0].clone())
}

/// A rotation of heads of 8.
fn turned(theta: f64, scaling: RopeScaling) -> RopeSpec {
    RopeSpec { theta, dims: 8, scaling, query_growth: None }
}

#[test]
fn absent_keys_take_the_defaults_of_transformers() {
    let c = with(json!({})).unwrap();
    let decoder = Decoder {
        vocab_size: 512,
        hidden_size: 64,
        intermediate_size: 172,
        layers: 5,
        heads: 8,
        kv_heads: 8,
        head_dim: 8,
        max_positions: 2048,
        norm_eps: 1e-6,
        activation: Activation::Silu,
        attention_bias: false,
        mlp_bias: false,
        tied: false,
        rope: turned(10_000.0, RopeScaling::None),
    };
    let expected = ModelConfig::llama(&decoder);
    assert_eq!(c, expected);
    let nulls = with(json!({
        "num_key_value_heads": null, "head_dim": null, "rope_scaling": null, "eos_token_id": null,
        "rms_norm_eps": null, "hidden_act": null, "torch_dtype": null, "quantization_config": null
    }));
    assert_eq!(nulls.unwrap(), expected);
}

#[test]
fn given_keys_are_read() {
    let c = with(json!({
        "architectures": ["LlamaForCausalLM"], "num_key_value_heads": 2, "head_dim": 32,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "attention_bias": true, "mlp_bias": true,
        "tie_word_embeddings": true, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009],
        "torch_dtype": "bfloat16", "hidden_act": "swish", "pretraining_tp": 4, "rope_theta": 500000
    }))
    .unwrap();
    let attention = &c.spec.layers[0].attention;
    assert_eq!((attention.heads, attention.kv_heads, attention.head_dim), (8, 2, 32));
    assert_eq!((c.spec.max_positions, c.spec.norm_eps), (131_072, 1e-5));
    assert_eq!(attention.biases, AttentionBiases { q: true, k: true, v: true, o: true });
    assert!(c.spec.layers[4].ffn.biases.down && c.spec.output.tied);
    assert_eq!(c.bos_token_id, Some(128_000));
    assert_eq!(c.eos_token_ids, [128_001, 128_008, 128_009]);
    assert_eq!(c.dtype.as_deref(), Some("bfloat16"));
    assert_eq!(c.spec.ropes[0].theta, 500_000.0);
    let c = with(json!({"eos_token_id": 2, "dtype": "float16", "torch_dtype": "float32"})).unwrap();
    assert_eq!(c.eos_token_ids, [2]);
    // -1 stands for none, and some programs write integers with a decimal point.
    let c =
        with(json!({"eos_token_id": [2.0, -1, 4294967296u64], "bos_token_id": -1, "head_dim": 8.0})).unwrap();
    assert_eq!((c.bos_token_id, c.eos_token_ids.as_slice()), (None, &[2, u32::MAX][..]));
    assert_eq!(c.spec.layers[0].attention.head_dim, 8);
    let c = with(json!({"eos_token_id": 2, "dtype": "float16", "torch_dtype": "float32"})).unwrap();
    assert_eq!(c.dtype.as_deref(), Some("float16"));
}

#[test]
fn wrong_values_are_named_with_what_was_expected() {
    for (change, says) in [
        (
            json!({"hidden_size": "x"}),
            "'hidden_size' in 'c.json' is \"x\", expected an integer from 1 to 16777216",
        ),
        (json!({"hidden_size": 0}), "'hidden_size' in 'c.json' is 0, expected an integer from 1 to 16777216"),
        (
            json!({"hidden_size": -64}),
            "'hidden_size' in 'c.json' is -64, expected an integer from 1 to 16777216",
        ),
        (
            json!({"vocab_size": 1.5}),
            "'vocab_size' in 'c.json' is 1.5, expected an integer from 1 to 16777216",
        ),
        (
            json!({"intermediate_size": 1u64 << 60}),
            "'intermediate_size' in 'c.json' is 1152921504606846976, expected an integer from 1 to 16777216",
        ),
        (
            json!({"num_hidden_layers": 4097}),
            "'num_hidden_layers' in 'c.json' is 4097, expected an integer from 1 to 4096",
        ),
        (
            json!({"num_attention_heads": true}),
            "'num_attention_heads' in 'c.json' is true, expected an integer from 1 to 65536",
        ),
        (
            json!({"num_key_value_heads": 0}),
            "'num_key_value_heads' in 'c.json' is 0, expected an integer from 1 to 65536",
        ),
        (json!({"head_dim": []}), "'head_dim' in 'c.json' is [], expected an integer from 1 to 65536"),
        (json!({"rms_norm_eps": 0}), "'rms_norm_eps' in 'c.json' is 0, expected a number from 1e-30 to 1.0"),
        (
            json!({"rms_norm_eps": "1e-5"}),
            "'rms_norm_eps' in 'c.json' is \"1e-5\", expected a number from 1e-30 to 1.0",
        ),
        (
            json!({"rope_theta": -1.0}),
            "'rope_theta' in 'c.json' is -1.0, expected a number from 1.0 to 1000000000000000.0",
        ),
        (json!({"attention_bias": 1}), "'attention_bias' in 'c.json' is 1, expected true or false"),
        (
            json!({"tie_word_embeddings": "yes"}),
            "'tie_word_embeddings' in 'c.json' is \"yes\", expected true or false",
        ),
        (json!({"bos_token_id": "x"}), "'bos_token_id' in 'c.json' is \"x\", expected a token id"),
        (
            json!({"eos_token_id": [1, "</s>"]}),
            "'eos_token_id' in 'c.json' is [1,\"</s>\"], expected a token id or a list of them",
        ),
        (json!({"hidden_act": 3}), "'hidden_act' in 'c.json' is 3, expected a string"),
        (json!({"rope_scaling": "linear"}), "'rope_scaling' in 'c.json' is \"linear\", expected an object"),
        (
            json!({"architectures": "LlamaForCausalLM"}),
            "'architectures' in 'c.json' is \"LlamaForCausalLM\", expected a list of names",
        ),
    ] {
        assert_eq!(with(change).unwrap_err(), says);
    }
}

#[test]
fn missing_dimensions_are_named() {
    for key in ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"]
    {
        let mut map = base();
        map.remove(key);
        let e = ModelConfig::from_slice(&serde_json::to_vec(&map).unwrap(), "c.json").unwrap_err();
        assert_eq!(e.to_string(), format!("'{key}' is missing in 'c.json'"));
    }
}

#[test]
fn dimensions_must_go_together() {
    for (change, says) in [
        (
            json!({"num_key_value_heads": 3}),
            "'num_attention_heads' is 8, which is not a multiple of 'num_key_value_heads', 3",
        ),
        (
            json!({"hidden_size": 65}),
            "'hidden_size' is 65, which is not a multiple of 'num_attention_heads', 8, and no 'head_dim' is given",
        ),
        (json!({"head_dim": 7}), "a head has 7 values, but RoPE needs an even number"),
        (json!({"hidden_size": 24}), "a head has 3 values, but RoPE needs an even number"),
        (
            json!({"num_attention_heads": 65536, "head_dim": 65536}),
            "65536 heads of 65536 values are more than the 16777216 that are allowed",
        ),
    ] {
        assert_eq!(with(change).unwrap_err(), format!("in 'c.json': {says}"));
    }
    // Given outright, the head's width need not come from the hidden size.
    let spec = with(json!({"hidden_size": 65, "head_dim": 16})).unwrap().spec;
    assert_eq!((spec.layers[0].attention.head_dim, spec.ropes[0].dims), (16, 16));
}

#[test]
fn models_that_are_not_supported_are_named() {
    for (change, says) in [
        (
            json!({"hidden_act": "gelu"}),
            "the activation 'gelu' ('hidden_act') is not supported; known are silu and gelu_pytorch_tanh",
        ),
        (
            json!({"quantization_config": {"quant_method": "awq", "bits": 4}}),
            "the weights are quantized ('quantization_config': awq), which is not read: use the original checkpoint",
        ),
        (
            json!({"compression_config": {}}),
            "the weights are quantized ('compression_config': unnamed method), which is not read: use the original checkpoint",
        ),
    ] {
        assert_eq!(with(change).unwrap_err(), format!("in 'c.json': {says}"));
    }
    let unknown = with(json!({"model_type": "mamba"})).unwrap_err();
    assert!(
        unknown.starts_with("in 'c.json': model_type 'mamba' is not supported; known are llama, "),
        "{unknown}"
    );
}

#[test]
fn rope_scaling_is_read_in_every_spelling() {
    let none = turned(10_000.0, RopeScaling::None);
    assert_eq!(rope(json!({"rope_scaling": {"rope_type": "default"}})), Ok(none.clone()));
    assert_eq!(
        rope(json!({"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}})),
        Ok(none.clone())
    );
    assert_eq!(rope(json!({"rope_parameters": {"rope_theta": 10000.0}})), Ok(none));

    let linear = turned(5e5, RopeScaling::Linear { factor: 4.0 });
    for spelling in [
        json!({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4}}),
        json!({"rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
        json!({"rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "type": "yarn", "factor": 4.0}}),
        json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "linear", "factor": 4.0}}),
    ] {
        assert_eq!(rope(spelling), Ok(linear.clone()));
    }

    let llama3 = turned(
        5e5,
        RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 8192 },
    );
    let scaling = json!({
        "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3"
    });
    let mut parameters = scaling.clone();
    parameters["rope_theta"] = json!(5e5);
    assert_eq!(rope(json!({"rope_theta": 500000.0, "rope_scaling": scaling})), Ok(llama3.clone()));
    assert_eq!(rope(json!({"rope_parameters": parameters})), Ok(llama3.clone()));
    // Both spellings at once are fine if they agree.
    let both = json!({"rope_theta": 500000.0, "rope_scaling": scaling, "rope_parameters": parameters});
    assert_eq!(rope(both), Ok(llama3));
}

#[test]
fn rope_scaling_that_cannot_be_run_is_named() {
    for kind in ["mrope", "proportional"] {
        for (outer, inner) in
            [("rope_scaling", "type"), ("rope_scaling", "rope_type"), ("rope_parameters", "rope_type")]
        {
            assert_eq!(
                rope(json!({outer: {inner: kind, "factor": 4.0}})).unwrap_err(),
                format!(
                    "in 'c.json': the rotary embedding's scaling '{kind}' ('{outer}.rope_type') is not supported; known \
                     are default, linear, dynamic, yarn, llama3 and longrope"
                )
            );
        }
    }
    for (change, says) in [
        (json!({"rope_scaling": {"factor": 8.0}}), "'rope_scaling.rope_type' is missing in 'c.json'"),
        (json!({"rope_scaling": {"type": "linear"}}), "'rope_scaling.factor' is missing in 'c.json'"),
        (
            json!({"rope_scaling": {"type": "linear", "factor": 0}}),
            "'rope_scaling.factor' in 'c.json' is 0, expected a number from 1e-6 to 1000000000.0",
        ),
        (
            json!({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}}),
            "'rope_scaling.original_max_position_embeddings' is missing in 'c.json'",
        ),
        (
            json!({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}}),
            "in 'c.json': 'rope_scaling.low_freq_factor' is 4, which is not less than 'rope_scaling.high_freq_factor', 4",
        ),
        (
            json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}}),
            "in 'c.json': 'rope_parameters.full_attention' is an object, but all layers of this model are turned alike",
        ),
        (
            json!({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}}),
            "in 'c.json': the rope_theta of the rotary embedding is given twice with different values \
             ('rope_parameters', and 'rope_theta' or 'rope_scaling'): remove one",
        ),
        (
            json!({"rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"rope_type": "default"}}),
            "in 'c.json': the scaling of the rotary embedding is given twice with different values \
             ('rope_parameters', and 'rope_theta' or 'rope_scaling'): remove one",
        ),
        (
            json!({"partial_rotary_factor": 0.5}),
            "in 'c.json': 'partial_rotary_factor' is 0.5, but this model turns whole heads",
        ),
    ] {
        assert_eq!(rope(change).unwrap_err(), says);
    }
}

#[test]
fn files_that_are_no_json_objects() {
    let e = ModelConfig::from_slice(b"{\"hidden_size\": x}", "c.json").unwrap_err().to_string();
    assert_eq!(e, "'c.json' is not JSON: expected value at line 1 column 17");
    let e = ModelConfig::from_slice(b"[]", "c.json").unwrap_err().to_string();
    assert_eq!(e, "'c.json' is not a JSON object");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let e = ModelConfig::from_file(&path).unwrap_err().to_string();
    assert_eq!(e, format!("'{}' does not exist", path.display()));
    // Nesting that would exhaust the stack of a recursive parser.
    let deep = "[".repeat(1 << 20);
    assert!(ModelConfig::from_slice(deep.as_bytes(), "c.json").is_err());
}

#[test]
fn reads_the_shared_configs() {
    let Some(shared) = crate::skip::shared("reads_the_shared_configs", "") else { return };
    let tiny = ModelConfig::from_file(&shared.join("goldens/tiny-llama32/config.json")).unwrap();
    let spec = &tiny.spec;
    let attention = &spec.layers[2].attention;
    assert_eq!((spec.hidden_size, spec.layers[0].ffn.width, spec.vocab_size), (128, 352, 512));
    assert_eq!((spec.layers.len(), attention.heads, attention.kv_heads, attention.head_dim), (3, 4, 2, 64));
    assert_eq!((spec.max_positions, spec.norm_eps, spec.output.tied), (131_072, 1e-5, true));
    assert_eq!((tiny.bos_token_id, &tiny.eos_token_ids[..]), (Some(1), &[2][..]));
    assert_eq!(tiny.dtype.as_deref(), Some("bfloat16"));
    let llama3 =
        RopeScaling::Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 8192 };
    assert_eq!(spec.ropes, [RopeSpec { dims: 64, ..turned(500_000.0, llama3) }]);

    let stories = ModelConfig::from_file(&shared.join("models/stories260k/config.json")).unwrap();
    assert_eq!((stories.spec.layers.len(), stories.spec.layers[0].attention.q_width()), (5, 64));
    assert_eq!(stories.spec.ropes, [turned(10_000.0, RopeScaling::None)]);
}

/// YaRN and the frequencies of long texts, with the factors that transformers 5.24 computes.
#[test]
fn scalings_for_long_texts_have_the_factors_of_transformers() {
    let factor = |change: Value| match rope(change).unwrap().scaling {
        RopeScaling::Yarn { attention_factor, .. } | RopeScaling::LongRope { attention_factor, .. } => {
            attention_factor
        }
        other => panic!("{other:?}"),
    };
    let yarn = |more: Value| {
        let mut map = json!({"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 128});
        map.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        factor(json!({ "rope_scaling": map }))
    };
    let near =
        |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
    near(yarn(json!({})), 1.0 + 0.1 * 16f64.ln());
    near(yarn(json!({"attention_factor": 1.25})), 1.25);
    near(yarn(json!({"mscale": 1.0, "mscale_all_dim": 1.0})), 1.0);
    near(
        yarn(json!({"mscale": 2.0, "mscale_all_dim": 1.0})),
        (1.0 + 0.2 * 16f64.ln()) / (1.0 + 0.1 * 16f64.ln()),
    );
    let divisors = json!([1.0, 2.0, 3.0, 4.0]);
    let long = |kind: &str| {
        json!({"max_position_embeddings": 512, "original_max_position_embeddings": 64,
            "rope_scaling": {"type": kind, "short_factor": divisors, "long_factor": divisors}})
    };
    for kind in ["longrope", "su", "yarn"] {
        near(factor(long(kind)), (1.0 + 8f64.ln() / 64f64.ln()).sqrt());
    }
    let few = json!({"rope_scaling": {"type": "su", "short_factor": [1.0], "long_factor": [1.0]}});
    assert!(rope(few).unwrap_err().contains("expected a list of 4 positive numbers"));
}
