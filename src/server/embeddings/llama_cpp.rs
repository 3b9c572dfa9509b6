//! `POST /embedding` and `/embeddings`.

use axum::response::Response;
use serde_json::{Value, json};

use super::{Wanted, inputs, numbers, vectors};
use crate::engine::Norm;
use crate::server::dialect::answer;
use crate::server::fields::Fields;
use crate::server::refusal::Refusal;
use crate::server::router::Call;

/// `embd_normalize`: -1 for none, 0 for the largest magnitude, else the power; 2 where it is not given.
pub(super) fn norm(fields: &mut Fields) -> Result<Norm, Refusal> {
    Ok(match fields.integer("embd_normalize")? {
        None | Some(2) => Norm::Euclidean,
        Some(0) => Norm::Largest,
        Some(power @ 1..=100) => Norm::Power(power as f64),
        Some(-1) => Norm::None,
        Some(other) => {
            let why = format!("'embd_normalize' has to be -1 to 100, not {other}");
            return Err(Refusal::field("embd_normalize", why));
        }
    })
}

/// A vector for each text, or without pooling one for each token.
pub(crate) async fn embedding(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let name = fields.text("model")?;
    let model = call.model(name.as_deref()).await?;
    let (field, given) = match fields.take("input") {
        Some(input) => ("input", Some(input)),
        None => ("content", fields.take("content")),
    };
    let prompts = inputs(&model, field, fields.required(field, given)?)?;
    let norm = norm(&mut fields)?;
    fields.neutral("encoding_format", &[json!("float")])?;
    fields.neutral("image_data", &[json!([])])?;
    fields.done()?;
    let embedded =
        vectors(&call, &model, Wanted { prompts, dimensions: None, norm, truncate: false }).await?;
    let all = embedded.iter().enumerate().map(|(index, one)| {
        let rows: Vec<Value> = one.rows.iter().map(|row| numbers(row)).collect();
        json!({ "index": index, "embedding": rows })
    });
    Ok(answer(&Value::Array(all.collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_have_numbers() {
        let of = |value: Value| {
            let body = json!({ "embd_normalize": value }).to_string();
            norm(&mut Fields::of_body(body.as_bytes()).unwrap())
        };
        assert_eq!((of(Value::Null), of(json!(2))), (Ok(Norm::Euclidean), Ok(Norm::Euclidean)));
        assert_eq!(
            (of(json!(-1)), of(json!(0)), of(json!(3))),
            (Ok(Norm::None), Ok(Norm::Largest), Ok(Norm::Power(3.0)))
        );
        for bad in [json!(-2), json!(101), json!("x")] {
            assert_eq!(of(bad).unwrap_err().field.as_deref(), Some("embd_normalize"));
        }
    }
}
