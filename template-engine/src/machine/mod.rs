//! Runs compiled code: a loop over instructions and a small stack of operands.
//!
//! The loop never recurses. Operands are copyable views of the scope and the program, so most programs allocate nothing
//! at all; the few values that filters and `+` create are kept aside, and their operands say where.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::code::{Binary, Instr, Op, Program};
use crate::compare::{is_truthy, push_number, text_within};
use crate::env::Env;
use crate::error::{Detail, Error};
use crate::filters::FilterEnv;
use crate::json;
use crate::limits::Overflow;
use crate::scope::{Scope, lookup, same_bytes};
use crate::span::Span;
use crate::value::{Object, Value};
use crate::view::View;

mod operand;
mod operators;
mod work;

use operand::{Made, Slot};
use operators::{factor, finite};
use work::weight;

/// Programs that hold at most this many operands at once run without allocating a stack; nearly all do.
const INLINE: usize = 8;

/// Runs a program; its text output goes to `out`, its last value is the answer.
#[inline]
pub(crate) fn run<'v>(
    program: &'v Program,
    scope: &'v dyn Scope,
    env: &Env<'_>,
    out: &mut String,
) -> Result<Value<'v>, Error> {
    // Most expressions begin with a reference and many are nothing more, or its comparison with a literal: those are
    // done before there is a machine.
    let mut ip = 0;
    let mut first = None;
    if let Some(Instr {
        op: Op::Root(name), ..
    }) = program.code.first()
        && let Some(json) = scope.root(program.text(*name))
    {
        ip = 1;
        let view = walk(program, json, &mut ip);
        if ip == program.code.len() {
            return Ok(view.to_value());
        }
        first = Some(view);
    }
    run_from(program, scope, env, out, ip, first)
}

/// Runs a program from an instruction on, with the value of those before it.
#[inline(never)]
fn run_from<'v>(
    program: &'v Program,
    scope: &'v dyn Scope,
    env: &Env<'_>,
    out: &mut String,
    ip: usize,
    first: Option<View<'v>>,
) -> Result<Value<'v>, Error> {
    let mut machine = Machine {
        program,
        scope,
        env,
        out,
        made: Made::default(),
        spent: 0,
    };
    let slot = Slot::View(first.unwrap_or(View::Undefined));
    let held = usize::from(first.is_some());
    if program.stack as usize <= INLINE {
        machine.run(&mut [slot; INLINE], ip, held)
    } else {
        machine.run(&mut vec![slot; program.stack as usize], ip, held)
    }
}

/// The value of a reference: the plain members behind a name are walked on borrowed JSON, up to one that needs more care.
/// Its comparison with a literal is done at once: most conditions are made of just that.
#[inline(always)]
fn walk<'v>(program: &'v Program, mut json: &'v Json, ip: &mut usize) -> View<'v> {
    let mut rest = program.code.get(*ip..).unwrap_or_default();
    while let [
        Instr {
            op: Op::Member(key),
            ..
        },
        behind @ ..,
    ] = rest
        && let Json::Object(map) = json
    {
        *ip += 1;
        rest = behind;
        match lookup(map, program.bytes(*key)) {
            Some(member) => json = member,
            None => return View::Undefined,
        }
    }
    if let [
        literal,
        Instr {
            op: Op::Binary(operator),
            ..
        },
        ..,
    ] = rest
    {
        let holds = match (json, literal.op) {
            (Json::String(a), Op::String(b)) => {
                let equal = || same_bytes(a.as_bytes(), program.bytes(b));
                match operator {
                    Binary::Equal => Some(equal()),
                    Binary::NotEqual => Some(!equal()),
                    _ => None,
                }
            }
            (Json::Number(a), Op::Number(b)) => a.as_f64().and_then(|a| match operator {
                Binary::Equal => Some(a == b),
                Binary::NotEqual => Some(a != b),
                Binary::Less => Some(a < b),
                Binary::Greater => Some(a > b),
                Binary::LessOrEqual => Some(a <= b),
                Binary::GreaterOrEqual => Some(a >= b),
                _ => None,
            }),
            _ => None,
        };
        if let Some(holds) = holds {
            *ip += 2;
            return View::Bool(holds);
        }
    }
    View::of(json)
}

struct Machine<'v, 'r> {
    program: &'v Program,
    scope: &'v dyn Scope,
    env: &'r Env<'r>,
    out: &'r mut String,
    made: Made<'v>,
    /// Bytes read and produced so far.
    spent: usize,
}

impl<'v> Machine<'v, '_> {
    /// The loop, from an instruction (`ip`) on, with so many operands `held`. Only what nearly every expression does is
    /// done in it; the rest is called, which keeps it small enough for the registers of a processor.
    fn run(
        &mut self,
        stack: &mut [Slot<'v>],
        mut ip: usize,
        mut held: usize,
    ) -> Result<Value<'v>, Error> {
        let program = self.program;
        while let Some(instr) = program.code.get(ip) {
            ip += 1;
            let leaf = match instr.op {
                Op::Root(name) => match self.scope.root(program.text(name)) {
                    Some(json) => {
                        let leaf = walk(program, json, &mut ip);
                        // A term that holds, in a chain of `&&`: on to the next.
                        if let View::Bool(true) = leaf
                            && let Some(Instr { op: Op::And(_), .. }) = program.code.get(ip)
                        {
                            ip += 1;
                            continue;
                        }
                        leaf
                    }
                    None => self.no_root(instr)?,
                },
                Op::String(text) => View::String(program.text(text)),
                Op::Number(n) => View::float(n),
                Op::And(target) => {
                    if self.is_truthy(stack[held - 1]) {
                        held -= 1;
                        self.release(stack[held]);
                    } else {
                        ip = target as usize;
                    }
                    continue;
                }
                Op::Or(target) => {
                    if self.is_truthy(stack[held - 1]) {
                        ip = target as usize;
                    } else {
                        held -= 1;
                        self.release(stack[held]);
                    }
                    continue;
                }
                Op::Branch(target) => {
                    held -= 1;
                    let test = self.is_truthy(stack[held]);
                    self.release(stack[held]);
                    if !test {
                        ip = target as usize;
                    }
                    continue;
                }
                Op::Jump(target) => {
                    ip = target as usize;
                    continue;
                }
                Op::Not => {
                    held -= 1;
                    let test = self.is_truthy(stack[held]);
                    self.release(stack[held]);
                    View::Bool(!test)
                }
                Op::Text(text) => {
                    self.out.push_str(program.text(text));
                    self.check_output(instr.span)?;
                    continue;
                }
                Op::Emit => {
                    held -= 1;
                    match stack[held] {
                        Slot::View(View::String(s)) => self.out.push_str(s),
                        slot => self.emit(slot, instr.span)?,
                    }
                    self.check_output(instr.span)?;
                    continue;
                }
                Op::Binary(operator) => {
                    held -= 1;
                    stack[held - 1] =
                        self.binary(operator, stack[held - 1], stack[held], instr.span)?;
                    continue;
                }
                _ => {
                    held = self.other(instr, stack, held)?;
                    continue;
                }
            };
            stack[held] = Slot::View(leaf);
            held += 1;
        }
        match stack.first() {
            Some(slot) => Ok(self.take(*slot)),
            None => Ok(Value::Undefined),
        }
    }

    /// The instructions that are not in the loop itself; answers how many operands are held afterwards.
    #[inline(never)]
    fn other(
        &mut self,
        instr: &Instr,
        stack: &mut [Slot<'v>],
        held: usize,
    ) -> Result<usize, Error> {
        match instr.op {
            Op::Bool(b) => {
                stack[held] = Slot::View(View::Bool(b));
                Ok(held + 1)
            }
            Op::Null => {
                stack[held] = Slot::View(View::Null);
                Ok(held + 1)
            }
            Op::Negate => {
                let value = stack[held - 1];
                stack[held - 1] =
                    Slot::View(factor(self.view(value)).map_or(View::Undefined, |n| finite(-n)));
                self.release(value);
                Ok(held)
            }
            Op::Member(name) => {
                stack[held - 1] =
                    self.member(stack[held - 1], self.program.text(name), instr.span)?;
                Ok(held)
            }
            Op::Index => {
                stack[held - 2] = self.index(stack[held - 2], stack[held - 1], instr.span)?;
                Ok(held - 1)
            }
            Op::Builtin { filter, args, .. } => {
                let first = held - args as usize;
                // No built-in filter has more than two parameters; further arguments are let go.
                let mut taken = [Value::Undefined, Value::Undefined];
                for at in (first..held).rev() {
                    let value = self.take(stack[at]);
                    if let Some(arg) = taken.get_mut(at - first) {
                        *arg = value;
                    }
                }
                let value = self.take(stack[first - 1]);
                if filter.reads_all(&value) {
                    let args = taken.iter().map(|arg| weight(arg.view())).sum::<usize>();
                    self.spend(weight(value.view()) + args, instr.span)?;
                }
                let result = filter.call(value, taken, self.env.now, self.program.limits);
                let result = result.map_err(|overflow| self.overflow(overflow, instr.span))?;
                if let Value::String(Cow::Owned(made)) = &result {
                    self.spend(made.len(), instr.span)?;
                }
                stack[first - 1] = self.keep(result);
                Ok(first)
            }
            Op::Require(name) => {
                let name = self.program.text(name);
                if self.env.filters.has(name) {
                    Ok(held)
                } else {
                    Err(self.unknown_filter(name, instr.span))
                }
            }
            Op::Call { name, args } => {
                let first = held - args as usize;
                let mut args: Vec<Value<'v>> = stack[first..held]
                    .iter()
                    .rev()
                    .map(|slot| self.take(*slot))
                    .collect();
                args.reverse();
                let value = self.take(stack[first - 1]);
                let result = self.call(self.program.text(name), &value, &args, instr.span)?;
                stack[first - 1] = self.keep(result);
                Ok(first)
            }
            // The loop does these itself.
            Op::Root(_)
            | Op::String(_)
            | Op::Number(_)
            | Op::Binary(_)
            | Op::And(_)
            | Op::Or(_)
            | Op::Branch(_)
            | Op::Jump(_)
            | Op::Not
            | Op::Text(_)
            | Op::Emit => Ok(held),
        }
    }

    // ---- operands ----

    #[inline]
    fn view<'s>(&'s self, slot: Slot<'v>) -> View<'s> {
        match slot {
            Slot::View(view) => view,
            Slot::Made(at) => self.made.get(at).view(),
        }
    }

    /// The operand as a value, which is the last use of it.
    #[inline]
    fn take(&mut self, slot: Slot<'v>) -> Value<'v> {
        match slot {
            Slot::View(view) => view.to_value(),
            Slot::Made(at) => self.made.take(at),
        }
    }

    /// Lets go of an operand that has been used up, so that a long program does not pile up what its filters make.
    #[inline]
    fn release(&mut self, slot: Slot<'v>) {
        if let Slot::Made(_) = slot {
            self.take(slot);
        }
    }

    #[inline]
    fn is_truthy(&self, slot: Slot<'v>) -> bool {
        match slot {
            Slot::View(View::Bool(b)) => b,
            slot => is_truthy(self.view(slot)),
        }
    }

    /// A value as an operand: what it owns is kept aside.
    #[inline]
    fn keep(&mut self, value: Value<'v>) -> Slot<'v> {
        Slot::View(match value {
            Value::Undefined => View::Undefined,
            Value::Null => View::Null,
            Value::Bool(b) => View::Bool(b),
            Value::Number(n) => View::Number(n),
            Value::String(Cow::Borrowed(s)) => View::String(s),
            Value::Array(Cow::Borrowed(items)) => View::Array(items),
            Value::Object(Object::Borrowed(map)) => View::Object(map),
            owned => return Slot::Made(self.made.push(owned)),
        })
    }

    // ---- access ----

    /// A name the scope does not have.
    #[cold]
    fn no_root(&self, instr: &Instr) -> Result<View<'v>, Error> {
        if !self.env.strict {
            return Ok(View::Undefined);
        }
        let name = instr.span.text(self.program.source());
        let message = format!("Nothing is called `{name}` here");
        Err(self
            .error(Detail::UnknownReference, message, instr.span)
            .named(name))
    }

    /// Reads a key (template §6.2).
    fn member(&mut self, object: Slot<'v>, key: &str, span: Span) -> Result<Slot<'v>, Error> {
        let view = match object {
            Slot::View(view) => view,
            Slot::Made(_) => {
                // What a filter made is about to go; the part asked for is copied out of it.
                let part = member_of(self.view(object), key).to_value().into_owned();
                self.take(object);
                self.spend(weight(part.view()), span)?;
                return Ok(self.keep(part));
            }
        };
        if self.env.strict && view.is_missing() {
            let what = if view.is_undefined() {
                "a missing value"
            } else {
                "null"
            };
            // A computed key is a value of the scope: only what the source itself says may be repeated.
            if !span.text(self.program.source()).contains(key) {
                let message = format!("Cannot read an element of {what}");
                return Err(self.error(Detail::NullAccess, message, span));
            }
            let message = format!("Cannot read `{key}` of {what}");
            return Err(self.error(Detail::NullAccess, message, span).named(key));
        }
        Ok(Slot::View(member_of(view, key)))
    }

    fn index(&mut self, object: Slot<'v>, index: Slot<'v>, span: Span) -> Result<Slot<'v>, Error> {
        if let (Slot::View(View::Array(items)), Slot::View(View::Number(n))) = (object, index) {
            let n = n.as_f64();
            if n >= 0.0 && n < items.len() as f64 && n.trunc() == n {
                return Ok(Slot::View(View::of(&items[n as usize])));
            }
        }
        match self.take(index) {
            Value::Undefined | Value::Null => self.member(object, "", span),
            index => {
                self.spend(weight(index.view()), span)?;
                let key = text_within(index.view(), self.program.limits.depth);
                let key = key.map_err(|overflow| self.overflow(overflow, span))?;
                self.member(object, &key, span)
            }
        }
    }

    /// Calls a plugin's filter.
    fn call(
        &mut self,
        name: &str,
        value: &Value<'v>,
        args: &[Value<'v>],
        span: Span,
    ) -> Result<Value<'v>, Error> {
        let read: usize = args.iter().chain([value]).map(|v| weight(v.view())).sum();
        self.spend(read, span)?;
        let env = FilterEnv { now: self.env.now };
        match self.env.filters.call(name, value, args, &env) {
            None => Err(self.unknown_filter(name, span)),
            Some(Ok(Value::String(s))) if s.len() > self.program.limits.bytes => {
                Err(self.overflow(Overflow::Size, span))
            }
            Some(Ok(value)) => {
                self.spend(weight(value.view()), span)?;
                Ok(value)
            }
            Some(Err(failure)) => {
                let message = format!("Filter `{name}` failed: {}", failure.0);
                Err(self.error(Detail::Filter, message, span).named(name))
            }
        }
    }

    /// Appends a value as a template shows it (template §7).
    #[inline(never)]
    fn emit(&mut self, slot: Slot<'v>, span: Span) -> Result<(), Error> {
        let value = match slot {
            Slot::View(view) => view,
            Slot::Made(at) => self.made.get(at).view(),
        };
        match value {
            View::Undefined | View::Null => {}
            View::String(s) => self.out.push_str(s),
            View::Bool(b) => self.out.push_str(if b { "true" } else { "false" }),
            View::Number(n) => push_number(self.out, n),
            View::Array(_) | View::Object(_) => {
                let written = json::write_value(self.out, value, self.program.limits);
                written.map_err(|overflow| self.overflow(overflow, span))?;
            }
        }
        self.release(slot);
        Ok(())
    }

    #[inline]
    fn check_output(&self, span: Span) -> Result<(), Error> {
        if self.out.len() > self.program.limits.bytes {
            return Err(self.overflow(Overflow::Size, span));
        }
        Ok(())
    }

    // ---- errors ----

    #[cold]
    fn error(&self, detail: Detail, message: String, span: Span) -> Error {
        Error::new(detail, message, self.program.source(), span)
    }

    #[cold]
    fn unknown_filter(&self, name: &str, span: Span) -> Error {
        self.error(
            Detail::UnknownFilter,
            format!("There is no filter called `{name}`"),
            span,
        )
        .named(name)
    }

    #[cold]
    fn overflow(&self, overflow: Overflow, span: Span) -> Error {
        let limits = self.program.limits;
        match overflow {
            Overflow::Size => {
                let message = format!(
                    "The text produced here is longer than {} bytes",
                    limits.bytes
                );
                self.error(Detail::OutputSize, message, span)
            }
            Overflow::Depth => {
                let message = format!("A value is nested deeper than {} levels", limits.depth);
                self.error(Detail::ValueDepth, message, span)
            }
        }
    }
}

/// The value under a key; Undefined where there is none (template §6.2).
fn member_of<'a>(object: View<'a>, key: &str) -> View<'a> {
    match object {
        View::Object(map) => lookup(map, key.as_bytes()).map_or(View::Undefined, View::of),
        View::Array(items) if key == "length" => View::float(items.len() as f64),
        View::Array(items) => array_index(key)
            .and_then(|at| items.get(at))
            .map_or(View::Undefined, View::of),
        _ => View::Undefined,
    }
}

/// A key as an array index: canonical decimal, as an index is written (`0`, `12`; not `00`, `-1`, ` 0`).
fn array_index(key: &str) -> Option<usize> {
    let canonical = match key.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { key.parse().ok() } else { None }
}
