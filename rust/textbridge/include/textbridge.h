#ifndef TEXTBRIDGE_H_
#define TEXTBRIDGE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Hugging Face's `tokenizers` crate and the `minijinja` crate for C callers.
//
// Strings are UTF-8 with an explicit length, not terminated. What comes back in a TbText or TbIds
// is owned by the caller and freed by tb_text_free / tb_ids_free. A function that can fail returns
// false or null and then leaves one line of reason in its TbText; a Rust panic becomes such a
// failure. Objects are immutable once loaded: any thread may use them, several at once.

#ifdef __cplusplus
extern "C" {
#endif

typedef struct TbTokenizer TbTokenizer;
typedef struct TbTemplate TbTemplate;

typedef struct TbText {
  char* data;  // null if empty
  size_t size;
} TbText;

typedef struct TbIds {
  int32_t* data;  // null if empty
  size_t size;
} TbIds;

void tb_text_free(TbText text);
void tb_ids_free(TbIds ids);

// Reads a tokenizer.json.
TbTokenizer* tb_tokenizer_load(const char* json, size_t size, TbText* error);
void tb_tokenizer_free(TbTokenizer* tokenizer);

// The ids of a text without its post-processor: special tokens written in the text become their
// ids, none is added.
bool tb_tokenizer_encode(const TbTokenizer* tokenizer, const char* text, size_t size, TbIds* ids,
                         TbText* error);

// The text of ids; those without a token are passed over. A byte that belongs to no character
// becomes U+FFFD. The last *unsettled_bytes of the text are the U+FFFD of a character whose
// remaining bytes may still come; all before them stays as it is when ids are appended.
bool tb_tokenizer_decode(const TbTokenizer* tokenizer, const int32_t* ids, size_t count,
                         bool skip_special_tokens, TbText* text_or_error, size_t* unsettled_bytes);

// The token as written in the vocabulary; empty if the id has none.
TbText tb_tokenizer_piece(const TbTokenizer* tokenizer, int32_t id);

// The id of a vocabulary entry, -1 if there is none.
int32_t tb_tokenizer_id(const TbTokenizer* tokenizer, const char* piece, size_t size);

// The token that the post-processor puts in front of a text, -1 if none.
int32_t tb_tokenizer_leading_id(const TbTokenizer* tokenizer);

bool tb_tokenizer_is_special(const TbTokenizer* tokenizer, int32_t id);

// One past the largest id.
int32_t tb_tokenizer_vocab_size(const TbTokenizer* tokenizer);

// Compiles a Jinja chat template. `defaults_json`: a JSON object of variables (bos_token, …) that
// a render's context may override.
TbTemplate* tb_template_load(const char* source, size_t size, const char* defaults_json,
                             size_t defaults_size, TbText* error);
void tb_template_free(TbTemplate* tmpl);

// Renders with the variables of a JSON object.
bool tb_template_render(const TbTemplate* tmpl, const char* context_json, size_t size,
                        TbText* text_or_error);

#ifdef __cplusplus
}
#endif

#endif  // TEXTBRIDGE_H_
