//! What transformers gives its chat templates beyond Jinja: functions and Python's methods.

use std::ffi::CString;
use std::mem::MaybeUninit;

use minijinja::value::{ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use crate::json_dump::tojson;

/// Bytes that one unit of fuel pays for, as in minijinja.
const BYTES_PER_FUEL: usize = 64;

/// Longest text that strftime_now gives.
const MAX_TIME_BYTES: usize = 1024;

pub fn install(env: &mut Environment) {
    env.add_filter("tojson", tojson);
    env.add_function("raise_exception", raise_exception);
    env.add_function("strftime_now", strftime_now);
    env.set_unknown_method_callback(method);
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.into())
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(invalid(message))
}

/// The local time, formatted like Python's datetime.now().strftime(format).
fn strftime_now(format: &str) -> Result<String, Error> {
    let format = CString::new(format).map_err(|_| invalid("strftime_now: NUL in the format"))?;
    let mut local = MaybeUninit::<libc::tm>::zeroed();
    let mut buffer = [0u8; MAX_TIME_BYTES];
    // SAFETY: `local` is filled or stays zeroed, both valid; the size passed is the buffer's.
    let size = unsafe {
        let now = libc::time(std::ptr::null_mut());
        libc::localtime_r(&now, local.as_mut_ptr());
        let out = buffer.as_mut_ptr().cast::<libc::c_char>();
        libc::strftime(out, buffer.len(), format.as_ptr(), local.as_ptr())
    };
    Ok(String::from_utf8_lossy(&buffer[..size]).into_owned())
}

/// A Python method of a string, list or map. minijinja charges fuel for a method's result once it
/// exists; the methods whose result or time can outgrow their input are paid for beforehand.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        if name == "count" {
            state.consume_fuel(value.len().unwrap_or(0) as u64)?;
        }
        return unknown_method_callback(state, value, name, args);
    };
    charge_bytes(state, text.len())?;
    match name {
        "join" => return join(state, text, args),
        "format" => charge_format(state, text, args)?,
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            return Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)));
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            return Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)));
        }
        "replace" => {
            let (old, new) = (string_at(args, 0), string_at(args, 1));
            charge_bytes(state, text.matches(old).count().saturating_mul(new.len()))?;
        }
        "split" => {
            // One list slot per part; without a separator there are at most half as many as bytes.
            let separator = string_at(args, 0);
            let parts = match separator.is_empty() {
                true => text.split_whitespace().count(),
                false => text.matches(separator).count(),
            };
            state.consume_fuel(parts as u64)?;
        }
        "splitlines" => state.consume_fuel(text.matches('\n').count() as u64)?,
        _ => {}
    }
    unknown_method_callback(state, value, name, args)
}

fn charge_bytes(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / BYTES_PER_FUEL) as u64)
}

fn string_at(args: &[Value], index: usize) -> &str {
    args.get(index).and_then(Value::as_str).unwrap_or_default()
}

/// Each field may be as wide as the largest number in the format, or as its longest argument.
fn charge_format(state: &State, format: &str, args: &[Value]) -> Result<(), Error> {
    let scalar = |value: &Value| {
        let kind = value.kind();
        matches!(kind, ValueKind::String | ValueKind::Number | ValueKind::Bool | ValueKind::None)
    };
    if !args.iter().all(scalar) {
        return Err(invalid("format: only strings and numbers can be formatted"));
    }
    let numbers = format.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    let width = numbers.map(|run| run.parse().unwrap_or(usize::MAX)).max().unwrap_or(0);
    let longest = args.iter().filter_map(|arg| arg.as_str().map(str::len)).max().unwrap_or(0);
    let fields = format.matches('{').count();
    charge_bytes(state, width.saturating_add(longest).saturating_mul(fields))
}

fn join(state: &State, separator: &str, args: &[Value]) -> Result<Value, Error> {
    let (values,): (&Value,) = from_args(args)?;
    let mut joined = String::new();
    for (index, value) in values.try_iter()?.checked().enumerate() {
        let value = value?;
        let part = value.as_str().ok_or_else(|| invalid("join: not a list of strings"))?;
        let before = if index > 0 { separator } else { "" };
        state.consume_fuel(1)?;
        charge_bytes(state, before.len() + part.len())?;
        joined.push_str(before);
        joined.push_str(part);
    }
    Ok(Value::from(joined))
}
