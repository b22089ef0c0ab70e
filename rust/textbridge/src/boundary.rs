//! What crosses the C boundary: borrowed slices in, owned buffers out, and no panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// A failure as one line of text.
pub type Outcome<T> = Result<T, String>;

/// Longest error handed out; hostile files put whole vocabularies into messages.
const MAX_ERROR_CHARS: usize = 400;

#[repr(C)]
pub struct TbText {
    data: *mut u8,
    size: usize,
}

#[repr(C)]
pub struct TbIds {
    data: *mut i32,
    size: usize,
}

/// Gives a slice's allocation away; null stands for an empty one.
fn release<T>(items: Vec<T>) -> (*mut T, usize) {
    if items.is_empty() {
        return (std::ptr::null_mut(), 0);
    }
    let size = items.len();
    (Box::into_raw(items.into_boxed_slice()).cast::<T>(), size)
}

/// Takes back what `release` gave away.
///
/// # Safety
/// `data` and `size` come from `release`, once.
unsafe fn reclaim<T>(data: *mut T, size: usize) {
    if !data.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, size)) });
    }
}

impl From<String> for TbText {
    fn from(text: String) -> Self {
        let (data, size) = release(text.into_bytes());
        TbText { data, size }
    }
}

impl From<Vec<i32>> for TbIds {
    fn from(ids: Vec<i32>) -> Self {
        let (data, size) = release(ids);
        TbIds { data, size }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn tb_text_free(text: TbText) {
    // SAFETY: the header's contract.
    unsafe { reclaim(text.data, text.size) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn tb_ids_free(ids: TbIds) {
    // SAFETY: the header's contract.
    unsafe { reclaim(ids.data, ids.size) }
}

/// A caller's array; null only with size 0.
///
/// # Safety
/// `data` points to `size` readable items that outlive the result.
pub unsafe fn items<'a, T>(data: *const T, size: usize) -> &'a [T] {
    if size == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(data, size) }
}

/// A caller's bytes as text.
///
/// # Safety
/// As for `items`.
pub unsafe fn text<'a>(data: *const u8, size: usize) -> Outcome<&'a str> {
    // SAFETY: the caller's promise.
    std::str::from_utf8(unsafe { items(data, size) })
        .map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))
}

/// Runs `work`; a panic of ours or of a crate becomes an error, without Rust's report on stderr.
pub fn guarded<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    static SILENCE: Once = Once::new();
    SILENCE.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let outcome = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|payload| Err(format!("failed inside the library: {}", reason(payload))));
    outcome.map_err(|e| one_line(&e))
}

fn reason(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("panic").to_owned()
}

fn one_line(message: &str) -> String {
    let mut line: String = message
        .chars()
        .take(MAX_ERROR_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.len() < message.len() {
        line.push('…');
    }
    line
}
