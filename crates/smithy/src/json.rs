//! JSON: a strict pull reader and a writer. Both sides of awsJson and restJson go through them, and
//! so does everything else in the project that reads JSON from outside.

mod reader;
mod writer;

pub use reader::{JsonError, Kind, Reader, parse_document};
pub use writer::{Writer, document_text, quote, quoted};
