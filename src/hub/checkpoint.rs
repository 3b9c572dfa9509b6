//! Which files of a repository or directory are a checkpoint's.

/// Small files beside the weights; the engine reads those that are there.
const SMALL: [&str; 11] = [
    "additional_chat_templates.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "modules.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
];

/// Files in directories of sentence-transformers.
const OF_MODULES: [&str; 5] = [
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "2_Dense/model.safetensors",
    "3_Dense/config.json",
    "3_Dense/model.safetensors",
];

/// The directory of further chat templates.
pub(super) const TEMPLATES: &str = "additional_chat_templates/";

/// Whether a path in a repository is a file of weights: one of the parts, or all of them.
pub(super) fn is_weights(path: &str) -> bool {
    path.starts_with("model") && path.ends_with(".safetensors") && !path.contains('/')
}

/// Whether a path in a repository belongs to a checkpoint.
pub(super) fn is_part(path: &str) -> bool {
    let of_template = |rest: &str| rest.ends_with(".jinja") && !rest.contains('/');
    is_weights(path)
        || path == "model.safetensors.index.json"
        || SMALL.contains(&path)
        || OF_MODULES.contains(&path)
        || path.strip_prefix(TEMPLATES).is_some_and(of_template)
}

/// The directories that may be below a checkpoint's.
pub(super) const FOLDERS: [&str; 4] = ["1_Pooling", "2_Dense", "3_Dense", "additional_chat_templates"];
