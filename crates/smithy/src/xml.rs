//! XML: a strict pull reader, a writer that escapes as S3 does, and what walks tables over both.

mod decode;
mod encode;
mod reader;
mod writer;

pub(crate) use decode::Decoder;
pub(crate) use encode::{Encoder, payload_name, root_name};
pub use reader::{Reader, Token, XmlError};
pub use writer::Writer;
