//! `POST /v1/embeddings`.

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::llama_cpp::norm;
use super::{Wanted, dimensions, expect_pooling, inputs, numbers, vectors};
use crate::server::dialect::answer;
use crate::server::fields::Fields;
use crate::server::refusal::Refusal;
use crate::server::router::Call;

/// Little endian, four bytes a number.
fn base64(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    json!(STANDARD.encode(bytes))
}

/// Vectors of texts.
pub(crate) async fn embeddings(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let name = fields.text("model")?;
    let model = call.model(name.as_deref()).await?;
    let input = fields.take("input");
    let prompts = inputs(&model, "input", fields.required("input", input)?)?;
    if prompts.is_empty() {
        return Err(Refusal::field("input", "'input' is empty; give at least one text"));
    }
    let write = match fields.text("encoding_format")?.as_deref() {
        None | Some("float") => numbers,
        Some("base64") => base64,
        Some(other) => {
            let why = format!("'encoding_format' is '{other}'; this server knows float and base64");
            return Err(Refusal::field("encoding_format", why));
        }
    };
    let dimensions = dimensions(&model, &mut fields)?;
    let norm = norm(&mut fields)?;
    fields.ignore(&["user"]);
    fields.done()?;
    expect_pooling(&model)?;
    let embedded = vectors(&call, &model, Wanted { prompts, dimensions, norm, truncate: false }).await?;
    let tokens: usize = embedded.iter().map(|one| one.tokens).sum();
    let data = embedded.iter().enumerate().map(|(index, one)| {
        let vector = one.rows.first().map(Vec::as_slice).unwrap_or_default();
        json!({ "object": "embedding", "index": index, "embedding": write(vector) })
    });
    Ok(answer(&json!({
        "object": "list",
        "data": data.collect::<Vec<_>>(),
        "model": call.called(&model, name.as_deref()),
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_in_base64_is_its_bytes() {
        assert_eq!(base64(&[1.0, -2.5]), json!("AACAPwAAIMA="));
        assert_eq!(numbers(&[0.1, -2.5]).to_string(), "[0.1,-2.5]");
    }
}
