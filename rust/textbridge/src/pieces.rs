//! The pieces of a vocabulary, side by side.
//!
//! The crate keeps them in two hash maps of strings and hands out copies. Every token of every
//! stream asks for several, between forward passes that have thrown all of it out of the caches.

use tokenizers::Tokenizer;

pub struct Pieces {
    text: String,
    entries: Vec<Entry>, // by id
}

#[derive(Clone, Copy)]
struct Entry {
    end: u32, // in `text`; the piece begins where the one before ends
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Unused,
    Plain,
    Special,
}

impl Pieces {
    /// Those of ids below `vocab_size`; together no longer than the tokenizer.json they come from.
    pub fn of(tokenizer: &Tokenizer, vocab_size: u32) -> Self {
        let added = tokenizer.get_added_vocabulary();
        let mut pieces = Pieces { text: String::new(), entries: Vec::new() };
        pieces.entries.reserve_exact(vocab_size as usize);
        for id in 0..vocab_size {
            let kind = match tokenizer.id_to_token(id) {
                None => Kind::Unused,
                Some(piece) => {
                    pieces.text.push_str(&piece);
                    if added.is_special_token(&piece) { Kind::Special } else { Kind::Plain }
                }
            };
            pieces.entries.push(Entry { end: pieces.text.len() as u32, kind });
        }
        pieces
    }

    /// None for an id that no token has.
    pub fn get(&self, id: i32) -> Option<&str> {
        let id = usize::try_from(id).ok()?;
        let entry = self.entries.get(id).filter(|entry| entry.kind != Kind::Unused)?;
        let begin = if id == 0 { 0 } else { self.entries[id - 1].end };
        Some(&self.text[begin as usize..entry.end as usize])
    }

    pub fn is_special(&self, id: i32) -> bool {
        let entry = usize::try_from(id).ok().and_then(|id| self.entries.get(id));
        entry.is_some_and(|entry| entry.kind == Kind::Special)
    }
}
