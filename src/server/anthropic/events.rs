//! An answer as a stream of events.

use serde_json::{Value, json};

use super::{message, stop, usage};
use crate::server::answer::{CallPart, End, Step};
use crate::server::dialect::Dialect;
use crate::server::stream::{Out, Writer};

/// Kinds of blocks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Thinking,
    Text,
    /// A call, by its number.
    Call(usize),
}

pub(super) struct Events {
    id: String,
    model: String,
    /// The block that is being written.
    open: Option<Block>,
    /// Blocks that have ended.
    blocks: usize,
    begun: bool,
}

impl Events {
    pub fn new(id: String, model: String) -> Self {
        Self { id, model, open: None, blocks: 0, begun: false }
    }

    fn begin(&mut self, prompt: usize, cached: usize, out: &mut Out) {
        if !self.begun {
            self.begun = true;
            let message = message(&self.id, &self.model, Vec::new(), usage(prompt, cached, 0));
            out.event("message_start", &json!({ "type": "message_start", "message": message }));
            out.event("ping", &json!({ "type": "ping" }));
        }
    }

    fn close(&mut self, out: &mut Out) {
        if self.open.take().is_some() {
            let index = self.blocks;
            out.event("content_block_stop", &json!({ "type": "content_block_stop", "index": index }));
            self.blocks += 1;
        }
    }

    /// Begins a block, after the end of another one.
    fn open(&mut self, block: Block, content: &Value, out: &mut Out) {
        self.close(out);
        self.open = Some(block);
        let start = json!({ "type": "content_block_start", "index": self.blocks, "content_block": content });
        out.event("content_block_start", &start);
    }

    fn call(&mut self, part: &CallPart, out: &mut Out) {
        let block = Block::Call(part.index);
        if let Some((id, name)) = &part.begins {
            self.open(block, &json!({ "type": "tool_use", "id": id, "name": name, "input": {} }), out);
        }
        if self.open == Some(block) && !part.arguments.is_empty() {
            self.add(block, &part.arguments, out);
        }
        // What has been sent of it stays as it is.
        if part.broken.is_some() && self.open == Some(block) {
            self.close(out);
        }
    }

    fn add(&mut self, block: Block, text: &str, out: &mut Out) {
        if self.open != Some(block) {
            let content = match block {
                Block::Thinking => json!({ "type": "thinking", "thinking": "", "signature": "" }),
                _ => json!({ "type": "text", "text": "" }),
            };
            self.open(block, &content, out);
        }
        let delta = match block {
            Block::Thinking => json!({ "type": "thinking_delta", "thinking": text }),
            Block::Text => json!({ "type": "text_delta", "text": text }),
            Block::Call(_) => json!({ "type": "input_json_delta", "partial_json": text }),
        };
        let value = json!({ "type": "content_block_delta", "index": self.blocks, "delta": delta });
        out.event("content_block_delta", &value);
    }

    fn last(&mut self, end: &End, out: &mut Out) {
        self.begin(end.prompt_tokens, end.cached_tokens, out);
        if self.blocks == 0 && self.open.is_none() {
            self.add(Block::Text, "", out);
        }
        self.close(out);
        let (reason, sequence) = stop(end);
        let delta = json!({ "stop_reason": reason, "stop_sequence": sequence });
        let usage = usage(end.prompt_tokens, end.cached_tokens, end.generated_tokens);
        out.event("message_delta", &json!({ "type": "message_delta", "delta": delta, "usage": usage }));
        out.event("message_stop", &json!({ "type": "message_stop" }));
    }
}

impl Writer for Events {
    fn write(&mut self, _index: usize, step: Step, out: &mut Out) {
        match step {
            Step::Begun { prompt, cached } => self.begin(prompt, cached, out),
            Step::Progress { .. } => {}
            Step::Piece(piece) => {
                if !piece.reasoning.is_empty() {
                    self.add(Block::Thinking, &piece.reasoning, out);
                }
                if !piece.text.is_empty() {
                    self.add(Block::Text, &piece.text, out);
                }
                for part in &piece.calls {
                    self.call(part, out);
                }
            }
            Step::End(end) => self.last(&end, out),
            Step::Failed(refusal) => out.event("error", &Dialect::Anthropic.error(&refusal)),
        }
    }
}
