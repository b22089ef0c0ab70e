//! The functions of include/textbridge.h, which says what they promise. Their safety is the
//! header's contract: pointers are valid for the given sizes, objects come from the matching load.

use crate::boundary::{Outcome, TbIds, TbText, guarded, items, text};
use crate::template::ChatTemplate;
use crate::tokenizer::TextTokenizer;

/// Longest text encoded at once.
const MAX_TEXT_BYTES: usize = 16 << 20;
const MAX_TOKENIZER_BYTES: usize = 64 << 20;

/// A loaded object for the caller, or null and the reason.
unsafe fn hand_over<T>(outcome: Outcome<T>, error: *mut TbText) -> *mut T {
    match outcome {
        Ok(object) => Box::into_raw(Box::new(object)),
        Err(reason) => {
            // SAFETY: the header's contract: `error` is writable.
            unsafe { error.write(reason.into()) };
            std::ptr::null_mut()
        }
    }
}

/// Writes a result or the reason why there is none.
unsafe fn answer<T, R: From<T>>(outcome: Outcome<T>, out: *mut R, error: *mut TbText) -> bool {
    let ok = outcome.is_ok();
    // SAFETY: the header's contract: both are writable.
    match outcome {
        Ok(value) => unsafe { out.write(value.into()) },
        Err(reason) => unsafe { error.write(reason.into()) },
    }
    ok
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn tb_tokenizer_load(
    json: *const u8,
    size: usize,
    error: *mut TbText,
) -> *mut TextTokenizer {
    let outcome = guarded(|| {
        if size > MAX_TOKENIZER_BYTES {
            return Err(format!("{size} bytes, more than {MAX_TOKENIZER_BYTES}"));
        }
        // SAFETY: the header's contract.
        TextTokenizer::load(unsafe { text(json, size) }?)
    });
    // SAFETY: the header's contract.
    unsafe { hand_over(outcome, error) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn tb_tokenizer_free(tokenizer: *mut TextTokenizer) {
    if !tokenizer.is_null() {
        // SAFETY: the header's contract.
        drop(unsafe { Box::from_raw(tokenizer) });
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn tb_tokenizer_encode(
    tokenizer: &TextTokenizer,
    data: *const u8,
    size: usize,
    ids: *mut TbIds,
    error: *mut TbText,
) -> bool {
    let outcome = guarded(|| {
        if size > MAX_TEXT_BYTES {
            return Err(format!("text of {size} bytes, more than {MAX_TEXT_BYTES}"));
        }
        // SAFETY: the header's contract.
        tokenizer.encode(unsafe { text(data, size) }?)
    });
    // SAFETY: the header's contract.
    unsafe { answer(outcome, ids, error) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn tb_tokenizer_decode(
    tokenizer: &TextTokenizer,
    ids: *const i32,
    count: usize,
    skip_special_tokens: bool,
    out: *mut TbText,
    unsettled_bytes: *mut usize,
) -> bool {
    // SAFETY: the header's contract, here and below.
    let outcome = guarded(|| tokenizer.decode(unsafe { items(ids, count) }, skip_special_tokens));
    let unsettled = outcome.as_ref().map_or(0, |decoded| decoded.unsettled_bytes);
    unsafe { unsettled_bytes.write(unsettled) };
    unsafe { answer(outcome.map(|decoded| decoded.text), out, out) }
}

#[unsafe(no_mangle)]
pub extern "C" fn tb_tokenizer_piece(tokenizer: &TextTokenizer, id: i32) -> TbText {
    tokenizer.piece(id).unwrap_or_default().to_owned().into()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn tb_tokenizer_id(
    tokenizer: &TextTokenizer,
    piece: *const u8,
    size: usize,
) -> i32 {
    // SAFETY: the header's contract.
    let id = unsafe { text(piece, size) }.ok().and_then(|piece| tokenizer.id(piece));
    id.map_or(-1, |id| id as i32)
}

#[unsafe(no_mangle)]
pub extern "C" fn tb_tokenizer_leading_id(tokenizer: &TextTokenizer) -> i32 {
    tokenizer.leading_id().map_or(-1, |id| id as i32)
}

#[unsafe(no_mangle)]
pub extern "C" fn tb_tokenizer_is_special(tokenizer: &TextTokenizer, id: i32) -> bool {
    tokenizer.is_special(id)
}

#[unsafe(no_mangle)]
pub extern "C" fn tb_tokenizer_vocab_size(tokenizer: &TextTokenizer) -> i32 {
    tokenizer.vocab_size() as i32
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn tb_template_load(
    source: *const u8,
    size: usize,
    defaults_json: *const u8,
    defaults_size: usize,
    error: *mut TbText,
) -> *mut ChatTemplate {
    // SAFETY: the header's contract, here and below.
    let outcome = guarded(|| {
        ChatTemplate::load(unsafe { text(source, size) }?, unsafe {
            text(defaults_json, defaults_size)
        }?)
    });
    unsafe { hand_over(outcome, error) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn tb_template_free(template: *mut ChatTemplate) {
    if !template.is_null() {
        // SAFETY: the header's contract.
        drop(unsafe { Box::from_raw(template) });
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn tb_template_render(
    template: &ChatTemplate,
    context_json: *const u8,
    size: usize,
    out: *mut TbText,
) -> bool {
    // SAFETY: the header's contract, here and below.
    let outcome = guarded(|| template.render(unsafe { text(context_json, size) }?));
    unsafe { answer(outcome, out, out) }
}
