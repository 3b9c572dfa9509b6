//! `POST /api/embed`, and `POST /api/embeddings` from before it.

use std::sync::Arc;
use std::time::Instant;

use axum::response::Response;
use serde_json::{Value, json};

use super::{Wanted, dimensions, expect_pooling, inputs, numbers, vectors};
use crate::engine::Norm;
use crate::server::ask::Prompt;
use crate::server::dialect::answer;
use crate::server::fields::Fields;
use crate::server::model::Model;
use crate::server::refusal::Refusal;
use crate::server::router::Call;

/// The model with the name that it was asked for by, and what changes no vector.
async fn common(call: &Call, fields: &mut Fields) -> Result<(Arc<Model>, String), Refusal> {
    let name = fields.text("model")?;
    let name = fields.required("model", name)?;
    let model = call.model(Some(&name)).await?;
    // Settings of sampling, and how the machine computes.
    fields.ignore(&["options", "keep_alive"]);
    Ok((model, name))
}

/// A vector for each text, of the length 1.
pub(crate) async fn embed(call: Call) -> Result<Response, Refusal> {
    let start = Instant::now();
    let mut fields = Fields::of_body(&call.body)?;
    let (model, name) = common(&call, &mut fields).await?;
    let mut prompts = match fields.take("input") {
        // Nothing asks for the model to be loaded, which it is.
        None => Vec::new(),
        Some(input) => inputs(&model, "input", input)?,
    };
    if let [Prompt::Text(text)] = prompts.as_slice()
        && text.is_empty()
    {
        prompts.clear();
    }
    let truncate = fields.flag("truncate")?.unwrap_or(true);
    let dimensions = dimensions(&model, &mut fields)?;
    fields.done()?;
    expect_pooling(&model)?;
    let wanted = Wanted { prompts, dimensions, norm: Norm::Euclidean, truncate };
    let embedded = vectors(&call, &model, wanted).await?;
    let tokens: usize = embedded.iter().map(|one| one.tokens).sum();
    let rows: Vec<Value> = embedded.iter().flat_map(|one| &one.rows).map(|row| numbers(row)).collect();
    Ok(answer(&json!({
        "model": name,
        "embeddings": rows,
        "total_duration": u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
        "load_duration": 0,
        "prompt_eval_count": tokens,
    })))
}

/// The vector of one text, as it comes from the model.
pub(crate) async fn embeddings(call: Call) -> Result<Response, Refusal> {
    let mut fields = Fields::of_body(&call.body)?;
    let (model, _) = common(&call, &mut fields).await?;
    let text = fields.text("prompt")?.filter(|text| !text.is_empty());
    fields.done()?;
    expect_pooling(&model)?;
    let prompts = text.into_iter().map(Prompt::Text).collect();
    let wanted = Wanted { prompts, dimensions: None, norm: Norm::None, truncate: true };
    let embedded = vectors(&call, &model, wanted).await?;
    let row = embedded.first().and_then(|one| one.rows.first());
    Ok(answer(&json!({ "embedding": row.map_or(json!([]), |row| numbers(row)) })))
}
