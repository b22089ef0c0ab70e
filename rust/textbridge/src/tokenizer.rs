//! A tokenizer.json as Hugging Face reads it.

use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokenizers::{Decoder, Tokenizer};

use crate::boundary::Outcome;
use crate::byte_fallback;
use crate::expansion;
use crate::pieces::Pieces;

/// Largest vocabulary taken; the largest published ones have 2^18 entries.
const MAX_IDS: u32 = 1 << 22;

const REPLACEMENT: char = '\u{FFFD}';

pub struct TextTokenizer {
    inner: Tokenizer,
    byte_fallback: bool,
    is_sentencepiece: bool, // byte_fallback::join() does what its decoder does
    leading_id: Option<u32>,
    vocab_size: u32,
    pieces: Pieces,
}

/// Text, and how many of its last bytes are the U+FFFD of a character that may still be finished.
pub struct Decoded {
    pub text: String,
    pub unsettled_bytes: usize,
}

/// What we check ourselves.
#[derive(Deserialize)]
struct Declared {
    #[serde(default)]
    added_tokens: Vec<DeclaredToken>,
    #[serde(default)]
    normalizer: Json,
    #[serde(default)]
    pre_tokenizer: Json,
    #[serde(default)]
    decoder: Json,
}

#[derive(Deserialize)]
struct DeclaredToken {
    id: u32,
    content: String,
}

impl TextTokenizer {
    pub fn load(json: &str) -> Outcome<Self> {
        let declared: Declared = serde_json::from_str(json).map_err(|e| format!("{e}"))?;
        expansion::check(&declared.normalizer).map_err(|e| format!("normalizer: {e}"))?;
        expansion::check(&declared.pre_tokenizer).map_err(|e| format!("pre_tokenizer: {e}"))?;
        expansion::check(&declared.decoder).map_err(|e| format!("decoder: {e}"))?;
        let mut inner: Tokenizer = json.parse().map_err(|e| format!("{e}"))?;
        // A file may ask to pad every text to any length; neither belongs to a causal model.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| format!("{e}"))?;
        if let tokenizers::ModelWrapper::BPE(bpe) = inner.get_model() {
            if bpe.dropout.is_some_and(|p| p > 0.0) {
                return Err("model.dropout would make encoding random".to_owned());
            }
        }
        check_added_ids(&inner, &declared.added_tokens)?;
        let vocab_size = vocab_size(&inner)?;
        let byte_fallback = reads_byte_tokens(&inner);
        let is_sentencepiece = byte_fallback && decodes_like_sentencepiece(&declared.decoder);
        let leading_id = leading_id(&inner);
        let pieces = Pieces::of(&inner, vocab_size);
        Ok(TextTokenizer { inner, byte_fallback, is_sentencepiece, leading_id, vocab_size, pieces })
    }

    pub fn encode(&self, text: &str) -> Outcome<Vec<i32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(|e| format!("{e}"))?;
        Ok(encoding.get_ids().iter().map(|&id| id as i32).collect())
    }

    pub fn decode(&self, ids: &[i32], skip_special_tokens: bool) -> Outcome<Decoded> {
        let tokens: Vec<&str> = ids
            .iter()
            .filter(|&&id| !skip_special_tokens || !self.is_special(id))
            .filter_map(|&id| self.piece(id))
            .collect();
        let (tokens, unfinished) = match self.byte_fallback {
            true => byte_fallback::settle(tokens),
            false => (tokens, 0),
        };
        let text = match self.inner.get_decoder() {
            Some(_) if self.is_sentencepiece => byte_fallback::join(&tokens),
            Some(decoder) => {
                let owned = tokens.iter().map(|token| token.to_string()).collect();
                decoder.decode(owned).map_err(|e| format!("{e}"))?
            }
            None => tokens.join(" "),
        };
        // Without byte tokens, an unfinished character shows as one U+FFFD (the byte-level decoder
        // replaces maximal subparts).
        let unsettled = match self.byte_fallback {
            true => unfinished,
            false => usize::from(text.ends_with(REPLACEMENT)),
        };
        let unsettled_bytes = (unsettled * REPLACEMENT.len_utf8()).min(text.len());
        Ok(Decoded { text, unsettled_bytes })
    }

    pub fn piece(&self, id: i32) -> Option<&str> {
        self.pieces.get(id)
    }

    pub fn id(&self, piece: &str) -> Option<u32> {
        self.inner.token_to_id(piece)
    }

    pub fn leading_id(&self) -> Option<u32> {
        self.leading_id
    }

    pub fn is_special(&self, id: i32) -> bool {
        self.pieces.is_special(id)
    }

    pub fn vocab_size(&self) -> u32 {
        self.vocab_size
    }
}

/// Whether the decoder is the one that SentencePiece vocabularies are converted with. The crate's
/// own takes a regex and a dozen vectors per call, and every token of every stream is one.
fn decodes_like_sentencepiece(decoder: &Json) -> bool {
    *decoder
        == json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
}

/// The crate numbers added tokens itself and only logs when the file says otherwise; a model would
/// then be fed ids that it was not trained with.
fn check_added_ids(inner: &Tokenizer, declared: &[DeclaredToken]) -> Outcome<()> {
    for token in declared {
        let id = inner.token_to_id(&token.content);
        if id != Some(token.id) {
            let is = id.map_or("none".to_owned(), |id| id.to_string());
            let (content, id) = (&token.content, token.id);
            return Err(format!("added token {content:?} declares id {id}, its place gives {is}"));
        }
    }
    Ok(())
}

fn vocab_size(inner: &Tokenizer) -> Outcome<u32> {
    let vocab = inner.get_vocab(true);
    let Some((piece, &largest)) = vocab.iter().max_by_key(|(_, id)| **id) else {
        return Err("the vocabulary is empty".to_owned());
    };
    if largest >= MAX_IDS {
        return Err(format!("token {piece:?} has id {largest}, past the limit of {MAX_IDS}"));
    }
    Ok(largest + 1)
}

fn reads_byte_tokens(inner: &Tokenizer) -> bool {
    let decode = |d: &tokenizers::DecoderWrapper| d.decode(vec!["<0x41>".to_owned()]);
    inner.get_decoder().and_then(|d| decode(d).ok()).is_some_and(|text| text == "A")
}

fn leading_id(inner: &Tokenizer) -> Option<u32> {
    let plain = inner.encode_fast("a", false).ok()?;
    let processed = inner.encode_fast("a", true).ok()?;
    let (plain, processed) = (plain.get_ids(), processed.get_ids());
    let (&first, rest) = processed.split_first()?;
    (!plain.is_empty() && rest.starts_with(plain)).then_some(first)
}
