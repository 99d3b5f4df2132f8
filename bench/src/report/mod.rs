//! What comes out: text for the terminal, JSON for programs, SVG for eyes, Markdown for documents.

pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod svg;
pub(crate) mod text;
