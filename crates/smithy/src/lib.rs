//! smithy
