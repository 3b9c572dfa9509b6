//! The vocabulary that every other layer speaks: element types, shapes, tensors, buffers, the [`Backend`]
//! trait and the key/value cache.
//!
//! Nothing here does I/O, names a model, or knows which machine it runs on.

mod activation;
mod attention_params;
mod backend;
mod buffer;
mod dtype;
mod error;
mod kv_layout;
mod kv_observer;
mod kv_pool;
mod kv_sequence;
mod largest;
#[cfg(test)]
mod one_sequence;
mod order;
mod overlap;
mod read_only;
mod remedy;
mod shape;
mod tensor;
mod top;

pub use activation::Activation;
pub use attention_params::AttentionParams;
pub use backend::{Backend, LinearPart, PreparedWeight};
pub use buffer::Buffer;
pub use dtype::{BLOCK_LEN, BlockFormat, DType, FloatFormat, K_BLOCK_LEN, UnknownDType};
pub use error::{CoreError, Result};
pub use kv_layout::{KvLayer, KvLayout, KvTypes, PageId, Run};
pub use kv_observer::KvObserver;
pub use kv_pool::{KvPool, KvShape, capacity_before};
pub use kv_sequence::KvSequence;
pub use largest::Largest;
#[cfg(test)]
pub(crate) use one_sequence::OneSequence;
pub use order::{Order, TILE_ROWS, tile_blocks, tile_bytes};
pub use overlap::overlap;
pub use read_only::ReadOnlyFormat;
pub use remedy::Remedy;
pub use shape::Shape;
pub use tensor::{HostBytes, HostMemory, HostTensor, Tensor};
pub use top::Top;
