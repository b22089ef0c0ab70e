//! A chat template, rendered within limits.

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::boundary::Outcome;
use crate::python;

/// Work of one render: instructions, and one more per 64 bytes of data made. A template of a
/// thousand messages needs some 10^5; this much takes about a second and 128 MiB at worst.
const FUEL: u64 = 2_000_000;

/// Longest template; the longest published ones are some 20 KiB.
const MAX_SOURCE_BYTES: usize = 1 << 20;
const MAX_CONTEXT_BYTES: usize = 32 << 20;
const MAX_OUTPUT_BYTES: usize = 8 << 20;

const NAME: &str = "chat_template";

pub struct ChatTemplate {
    env: Environment<'static>,
    defaults: Map<String, Json>,
}

impl ChatTemplate {
    pub fn load(source: &str, defaults_json: &str) -> Outcome<Self> {
        if source.len() > MAX_SOURCE_BYTES {
            return Err(format!("{} bytes, more than {MAX_SOURCE_BYTES}", source.len()));
        }
        let mut defaults = object(defaults_json)?;
        // transformers always passes these two.
        for name in ["tools", "documents"] {
            defaults.entry(name).or_insert(Json::Null);
        }
        let mut env = Environment::new();
        env.set_syntax(syntax().map_err(|e| describe(&e))?);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_fuel(Some(FUEL));
        env.remove_global("debug");
        python::install(&mut env);
        env.add_template_owned(NAME, scope_generation_blocks(source)).map_err(|e| describe(&e))?;
        Ok(ChatTemplate { env, defaults })
    }

    pub fn render(&self, context_json: &str) -> Outcome<String> {
        if context_json.len() > MAX_CONTEXT_BYTES {
            let size = context_json.len();
            return Err(format!("context of {size} bytes, more than {MAX_CONTEXT_BYTES}"));
        }
        let mut context = self.defaults.clone();
        context.extend(object(context_json)?);
        let template = self.env.get_template(NAME).map_err(|e| describe(&e))?;
        let text = template.render(variables(context)?).map_err(|e| describe(&e))?;
        match text.len() <= MAX_OUTPUT_BYTES {
            true => Ok(text),
            false => Err(format!("output of {} bytes, more than {MAX_OUTPUT_BYTES}", text.len())),
        }
    }
}

/// As transformers configures Jinja.
fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()
}

fn object(json: &str) -> Outcome<Map<String, Json>> {
    serde_json::from_str(json).map_err(|e| format!("template variables: {e}"))
}

fn variables(object: Map<String, Json>) -> Outcome<Value> {
    Value::deserialize(Json::Object(object)).map_err(|e| format!("template variables: {e}"))
}

/// "line 3: the reason"; what a template raises itself comes without minijinja's words around it.
fn describe(error: &Error) -> String {
    let reason = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "takes more work than one render may".to_owned(),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    };
    match error.line() {
        Some(line) => format!("line {line}: {reason}"),
        None => reason,
    }
}

/// transformers' `{% generation %}` marks what the assistant said, for training masks. Here the
/// block is only the scope that it is there too.
fn scope_generation_blocks(source: &str) -> String {
    let mut scoped = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start + 2);
        scoped.push_str(before);
        rest = tag;
        let Some(end) = tag.find("%}") else { break };
        let statement = tag[..end].trim_matches(['-', '+']).trim();
        let scope = match statement {
            "generation" => "with",
            "endgeneration" => "endwith",
            _ => continue,
        };
        scoped.push_str(&tag[..end].replacen(statement, scope, 1));
        rest = &tag[end..];
    }
    scoped.push_str(rest);
    scoped
}
