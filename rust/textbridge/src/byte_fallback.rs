//! Byte tokens ("<0xE4>") of vocabularies with byte fallback.
//!
//! The crate's ByteFallback decoder turns a whole run of byte tokens into U+FFFD if any byte of it
//! is ill-formed, so a character that was already read would change when a later byte turns out
//! wrong. Here an ill-formed byte costs only itself, as in SentencePiece; well-formed runs go to
//! the crate untouched.

const REPLACEMENT: &str = "\u{FFFD}";
const SPACE_MARK: char = '\u{2581}';

/// The byte that a token stands for.
fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// Replaces each byte token that belongs to no character by U+FFFD. Returns the tokens and how
/// many at the end are such replacements that further bytes could still make whole (at most 3).
pub fn settle(tokens: Vec<&str>) -> (Vec<&str>, usize) {
    let mut settled = Vec::with_capacity(tokens.len());
    let mut run = Vec::new();
    for token in tokens {
        match byte_of(token) {
            Some(byte) => run.push((byte, token)),
            None => {
                settle_run(&mut run, &mut settled);
                settled.push(token);
            }
        }
    }
    let unfinished = settle_run(&mut run, &mut settled);
    (settled, unfinished)
}

/// Moves one run of byte tokens to `settled`; returns the length of its unfinished character.
fn settle_run<'a>(run: &mut Vec<(u8, &'a str)>, settled: &mut Vec<&'a str>) -> usize {
    let bytes: Vec<u8> = run.iter().map(|(byte, _)| *byte).collect();
    let mut tokens = run.drain(..).map(|(_, token)| token);
    let mut rest: &[u8] = &bytes;
    while let Err(error) = std::str::from_utf8(rest) {
        settled.extend(tokens.by_ref().take(error.valid_up_to()));
        let tail = rest.len() - error.valid_up_to();
        let bad = error.error_len().unwrap_or(tail);
        settled.extend(tokens.by_ref().take(bad).map(|_| REPLACEMENT));
        if error.error_len().is_none() {
            return bad;
        }
        rest = &rest[error.valid_up_to() + bad..];
    }
    settled.extend(tokens);
    0
}

/// The text of settled tokens as the decoders of a converted SentencePiece vocabulary make it, in one
/// go: Replace("\u{2581}", " "), ByteFallback, Fuse, Strip(" ", 1, 0).
pub fn join(tokens: &[&str]) -> String {
    let mut bytes = Vec::with_capacity(tokens.iter().map(|token| token.len()).sum());
    for token in tokens {
        if let Some(byte) = byte_of(token) {
            bytes.push(byte);
            continue;
        }
        for (i, part) in token.split(SPACE_MARK).enumerate() {
            if i > 0 {
                bytes.push(b' ');
            }
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    if bytes.first() == Some(&b' ') {
        bytes.remove(0);
    }
    // Settled bytes are whole characters.
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}
