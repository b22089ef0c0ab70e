//! Hugging Face's `tokenizers` and `minijinja` behind the C interface of `include/textbridge.h`.
//!
//! `tokenizer` and `template` are plain Rust and know nothing of C; `exports` is the C interface;
//! `boundary` is what every export shares: owned results, and panics turned into errors.

mod boundary;
mod byte_fallback;
mod expansion;
mod exports;
mod json_dump;
mod pieces;
mod python;
mod sandbox;
mod template;
mod tokenizer;
