//! A chat template, rendered within limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::boundary::Outcome;
use crate::python;
use crate::sandbox::{self, End, Limits};

/// Work of one render: instructions, and one more per 64 bytes of data made. A template of a
/// thousand messages needs some 10^5; this much takes some 0.1 s and 64 MiB.
const FUEL: u64 = 1_000_000;

/// Longest template; the longest published ones are some 20 KiB.
const MAX_SOURCE_BYTES: usize = 256 << 10;
const MAX_CONTEXT_BYTES: usize = 32 << 20;
const MAX_OUTPUT_BYTES: usize = 8 << 20;

const NAME: &str = "chat_template";
const TOO_MUCH: &str = "takes more work than one render may";

/// Far beyond what fuel lets a render reach by the steps that it counts.
const LIMITS: Limits = Limits {
    memory_bytes: 256 << 20,
    cpu_time: Duration::from_secs(2),
    stack_bytes: 512 << 20, // reserved; only the part that nesting needs is ever touched
};

pub struct ChatTemplate {
    env: Arc<Environment<'static>>,
    defaults: Map<String, Json>,
    /// A render had to be given up, so there is no second one.
    given_up: AtomicBool,
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
        let source = scope_generation_blocks(source);
        let compile = move || compile(source).map_err(|e| describe(&e));
        let env = finished(sandbox::run(&LIMITS, compile))?.ok_or(TOO_MUCH)??;
        Ok(ChatTemplate { env: Arc::new(env), defaults, given_up: AtomicBool::new(false) })
    }

    pub fn render(&self, context_json: &str) -> Outcome<String> {
        if context_json.len() > MAX_CONTEXT_BYTES {
            let size = context_json.len();
            return Err(format!("context of {size} bytes, more than {MAX_CONTEXT_BYTES}"));
        }
        let mut context = self.defaults.clone();
        context.extend(object(context_json)?);
        let variables = Value::deserialize(Json::Object(context))
            .map_err(|e| format!("template variables: {e}"))?;
        let text = self.render_sandboxed(variables)?;
        match text.len() <= MAX_OUTPUT_BYTES {
            true => Ok(text),
            false => Err(format!("output of {} bytes, more than {MAX_OUTPUT_BYTES}", text.len())),
        }
    }

    fn render_sandboxed(&self, variables: Value) -> Outcome<String> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(TOO_MUCH.to_owned());
        }
        let env = Arc::clone(&self.env);
        let work = move || {
            let template = env.get_template(NAME).map_err(|e| describe(&e))?;
            template.render(variables).map_err(|e| describe(&e))
        };
        let outcome = finished(sandbox::run(&LIMITS, work))?;
        outcome.unwrap_or_else(|| {
            self.given_up.store(true, Ordering::Relaxed);
            Err(TOO_MUCH.to_owned())
        })
    }
}

/// None if the work had to be given up.
fn finished<T>(end: std::io::Result<End<T>>) -> Outcome<Option<T>> {
    match end.map_err(|e| format!("no thread for it: {e}"))? {
        End::Done(value) => Ok(Some(value)),
        End::Panicked => Err("failed inside the library".to_owned()),
        End::OverBudget => Ok(None),
    }
}

fn compile(source: String) -> Result<Environment<'static>, Error> {
    let mut env = Environment::new();
    env.set_syntax(syntax()?);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_fuel(Some(FUEL));
    python::install(&mut env);
    env.add_template_owned(NAME, source)?;
    Ok(env)
}

/// As transformers configures Jinja.
fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()
}

fn object(json: &str) -> Outcome<Map<String, Json>> {
    serde_json::from_str(json).map_err(|e| format!("template variables: {e}"))
}

/// "line 3: the reason"; what a template raises itself comes without minijinja's words around it.
fn describe(error: &Error) -> String {
    let reason = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => TOO_MUCH.to_owned(),
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
