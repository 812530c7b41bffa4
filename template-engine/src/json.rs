//! JSON text (template §5.5): compact, keys in insertion order (Q6), numbers in the language's own layout.

use serde_json::Value as Json;

use crate::compare::push_number;
use crate::limits::{OutputLimits, Overflow};
use crate::value::Number;
use crate::view::View;

/// Appends the JSON text of a value; Undefined is written like Null. `limits.bytes` bounds the whole of `out`.
pub(crate) fn write_value(
    out: &mut String,
    value: View<'_>,
    limits: OutputLimits,
) -> Result<(), Overflow> {
    let mut writer = Writer {
        out,
        bytes: limits.bytes,
    };
    match value {
        View::Undefined | View::Null => writer.out.push_str("null"),
        View::Bool(b) => writer.out.push_str(if b { "true" } else { "false" }),
        View::Number(n) => push_number(writer.out, n),
        View::String(s) => writer.string(s),
        View::Array(items) => writer.array(items, limits.depth)?,
        View::Object(map) => writer.object(map, limits.depth)?,
    }
    writer.check()
}

struct Writer<'o> {
    out: &'o mut String,
    bytes: usize,
}

impl Writer<'_> {
    fn check(&self) -> Result<(), Overflow> {
        if self.out.len() > self.bytes {
            Err(Overflow::Size)
        } else {
            Ok(())
        }
    }

    /// Recurses once per nesting level, of which there are at most `depth`.
    fn json(&mut self, json: &Json, depth: usize) -> Result<(), Overflow> {
        match json {
            Json::Null => self.out.push_str("null"),
            Json::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Json::Number(n) => push_number(self.out, Number::of_json(n)),
            Json::String(s) => self.string(s),
            Json::Array(items) => self.array(items, depth)?,
            Json::Object(map) => self.object(map, depth)?,
        }
        self.check()
    }

    fn array(&mut self, items: &[Json], depth: usize) -> Result<(), Overflow> {
        let depth = depth.checked_sub(1).ok_or(Overflow::Depth)?;
        self.out.push('[');
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            self.json(item, depth)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn object(
        &mut self,
        map: &serde_json::Map<String, Json>,
        depth: usize,
    ) -> Result<(), Overflow> {
        let depth = depth.checked_sub(1).ok_or(Overflow::Depth)?;
        self.out.push('{');
        for (i, (key, value)) in map.iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            self.string(key);
            self.out.push(':');
            self.json(value, depth)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn string(&mut self, s: &str) {
        self.out.push('"');
        let mut clean = 0;
        for (at, byte) in s.bytes().enumerate() {
            let escape = match byte {
                b'"' => "\\\"",
                b'\\' => "\\\\",
                0x08 => "\\b",
                0x0c => "\\f",
                b'\n' => "\\n",
                b'\r' => "\\r",
                b'\t' => "\\t",
                0..=0x1f => "",
                _ => continue,
            };
            self.out.push_str(&s[clean..at]);
            clean = at + 1;
            if escape.is_empty() {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                self.out.push_str("\\u00");
                self.out.push(HEX[usize::from(byte >> 4)] as char);
                self.out.push(HEX[usize::from(byte & 15)] as char);
            } else {
                self.out.push_str(escape);
            }
        }
        self.out.push_str(&s[clean..]);
        self.out.push('"');
    }
}
