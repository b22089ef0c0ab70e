//! How much a tokenizer.json may lengthen a text.
//!
//! A chain of Replace steps can double a text at each, so their growth is bounded before any text
//! meets them. The steps' own limits (Unicode forms, byte-level) are small constants.

use serde_json::Value as Json;

use crate::boundary::Outcome;

/// Published files need 3 (" " becomes "▁").
const MAX_GROWTH: f64 = 64.0;
const MAX_PREPENDED_BYTES: usize = 1024;

/// Checks the normalizer or the decoder of a file, or any part of one.
pub fn check(part: &Json) -> Outcome<()> {
    let growth = growth(part)?;
    match growth <= MAX_GROWTH {
        true => Ok(()),
        false => Err(format!("Replace steps may lengthen a text {growth:.0}-fold")),
    }
}

fn growth(part: &Json) -> Outcome<f64> {
    match part {
        Json::Array(steps) => {
            steps.iter().try_fold(1.0, |product, step| Ok(product * growth(step)?))
        }
        Json::Object(step) => {
            if step.get("prepend").and_then(Json::as_str).is_some_and(is_too_long) {
                return Err(format!("a Prepend of more than {MAX_PREPENDED_BYTES} bytes"));
            }
            let inner = step.values().try_fold(1.0, |product, value| Ok(product * growth(value)?));
            inner.map(|inner: f64| inner * replacement_growth(step).max(1.0))
        }
        _ => Ok(1.0),
    }
}

fn is_too_long(text: &str) -> bool {
    text.len() > MAX_PREPENDED_BYTES
}

/// Output bytes per input byte; a regex may also match between any two.
fn replacement_growth(step: &serde_json::Map<String, Json>) -> f64 {
    let (Some(pattern), Some(content)) =
        (step.get("pattern"), step.get("content").and_then(Json::as_str))
    else {
        return 1.0;
    };
    match pattern.get("String").and_then(Json::as_str) {
        Some(text) if !text.is_empty() => content.len() as f64 / text.len() as f64,
        _ => content.len() as f64 + 1.0,
    }
}
