//! Text into tokens, on demand and without copying.
//!
//! A token is a kind and a span; its text stays in the source. The parser pulls one token at a time, so a good source
//! costs no token list. Because a lexical error anywhere wins over an earlier syntax error (template §10.1), the parser
//! lets the lexer run on to the end before it reports one of its own ([`Lexer::first_error_ahead`]).

use memchr::{memchr, memchr2};

use crate::error::{Detail, Error};
use crate::span::Span;

/// What a token is. Operators carry no data; names, numbers and strings are read from their span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tok {
    Name,
    Number,
    /// A string literal; `true` when it contains an escape.
    String(bool),
    True,
    False,
    Null,
    EqEq,
    NotEq,
    LessEq,
    GreaterEq,
    Less,
    Greater,
    AndAnd,
    OrOr,
    Bang,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Dot,
    Comma,
    OpenParen,
    CloseParen,
    OpenBracket,
    CloseBracket,
    Question,
    Colon,
    Pipe,
    /// `}}`, in templates only.
    CloseBlock,
    /// The end of the input.
    End,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub tok: Tok,
    pub span: Span,
}

/// Bare expression, or text with blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Expression,
    Template,
}

pub(crate) struct Lexer<'s> {
    /// The whole source, which errors quote and spans point into.
    source: &'s str,
    /// Its bytes, up to where the program ends.
    bytes: &'s [u8],
    pos: usize,
    mode: Mode,
    /// Whether `pos` is inside a block; always true in expression mode.
    in_block: bool,
    /// The token read last.
    pub token: Token,
}

/// The whitespace set of template §3.2.
pub(crate) fn is_whitespace(c: char) -> bool {
    matches!(c,
        '\u{9}'..='\u{d}' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}'
        | '\u{205f}' | '\u{3000}' | '\u{feff}')
}

const START: u8 = 1;
const PART: u8 = 2;
const SPACE: u8 = 4;
const DIGIT: u8 = 8;

/// Classes of ASCII bytes; everything else is 0.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 128 {
        let c = b as u8;
        if c.is_ascii_alphabetic() || c == b'_' || c == b'$' {
            table[b] = START | PART;
        } else if c.is_ascii_digit() {
            table[b] = PART | DIGIT;
        } else if c == b' ' || (c >= 9 && c <= 13) {
            table[b] = SPACE;
        }
        b += 1;
    }
    table
};

/// Whether a text is an identifier that can be written as a name: it is lexed as one and is no keyword (template §3.4).
pub(crate) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes
        .first()
        .is_some_and(|b| CLASS[*b as usize] & START != 0)
        && bytes.iter().all(|b| CLASS[*b as usize] & PART != 0)
        && !matches!(text, "true" | "false" | "null")
}

fn keyword(name: &[u8]) -> Tok {
    match name {
        b"true" => Tok::True,
        b"false" => Tok::False,
        b"null" => Tok::Null,
        _ => Tok::Name,
    }
}

impl<'s> Lexer<'s> {
    /// A lexer over the part `within` of `source`, which lies on character boundaries. Positions count from the
    /// beginning of `source`.
    pub fn new(source: &'s str, within: std::ops::Range<usize>, mode: Mode) -> Self {
        Lexer {
            source,
            bytes: &source.as_bytes()[..within.end],
            pos: within.start,
            mode,
            in_block: mode == Mode::Expression,
            token: Token {
                tok: Tok::End,
                span: Span::new(0, 0),
            },
        }
    }

    /// In a template, outside a block: answers the text up to the next `{{` and moves behind that; `false` when there is
    /// none and the text reaches to the end.
    pub fn next_block(&mut self) -> (Span, bool) {
        let start = self.pos;
        let bytes = self.bytes;
        let mut at = start;
        while let Some(found) = memchr(b'{', bytes.get(at..).unwrap_or_default()) {
            let open = at + found;
            if bytes.get(open + 1) == Some(&b'{') {
                self.pos = open + 2;
                self.in_block = true;
                return (span(start, open), true);
            }
            // A lone `{`: the byte behind it is not `{`, so the search goes on behind it.
            at = open + 1;
        }
        self.pos = bytes.len();
        (span(start, self.pos), false)
    }

    /// Reads the next token of a block or expression into `self.token`. Behind `End` follows `End`.
    pub fn advance(&mut self) -> Result<(), Error> {
        let bytes = self.bytes;
        let before = self.pos;
        let mut start = before;
        let first = loop {
            let Some(&byte) = bytes.get(start) else {
                return self.end(before);
            };
            if CLASS[byte as usize] & SPACE != 0 {
                start += 1;
            } else if byte < 0x80 {
                break byte;
            } else {
                match self.wide_space(start) {
                    Some(len) => start += len,
                    None => return Err(self.unexpected_character(start)),
                }
            }
        };
        let class = CLASS[first as usize];
        if class & START != 0 {
            let rest = &bytes[start + 1..];
            let more = rest
                .iter()
                .position(|b| CLASS[*b as usize] & PART == 0)
                .unwrap_or(rest.len());
            let end = start + 1 + more;
            let tok = match end - start {
                4 | 5 => keyword(&bytes[start..end]),
                _ => Tok::Name,
            };
            self.found(tok, start, end);
            return Ok(());
        }
        if class & DIGIT != 0 {
            self.number(start);
            return Ok(());
        }
        if first == b'\'' || first == b'"' {
            return self.string(start, first);
        }
        self.operator(start, first)
    }

    /// Stands behind a token.
    #[inline]
    fn found(&mut self, tok: Tok, start: usize, end: usize) {
        self.pos = end;
        self.token = Token {
            tok,
            span: span(start, end),
        };
    }

    fn number(&mut self, start: usize) {
        let bytes = self.bytes;
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut end = digits(start);
        if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
            end = digits(end + 1);
        }
        self.found(Tok::Number, start, end);
    }

    fn string(&mut self, start: usize, quote: u8) -> Result<(), Error> {
        let bytes = self.bytes;
        let mut at = start + 1;
        let mut escaped = false;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(found) = memchr2(quote, b'\\', rest) else {
                return Err(self.error(
                    Detail::UnterminatedString,
                    "This string has no closing quote".to_owned(),
                    span(start, start + 1),
                ));
            };
            at += found;
            if bytes[at] == quote {
                break;
            }
            escaped = true;
            // A backslash takes one whole character; the bytes behind the first of a wide character are neither quote
            // nor backslash, so skipping one byte is enough.
            at += 2;
        }
        self.found(Tok::String(escaped), start, at + 1);
        Ok(())
    }

    #[inline]
    fn operator(&mut self, start: usize, first: u8) -> Result<(), Error> {
        let second = self.bytes.get(start + 1).copied().unwrap_or(0);
        let (tok, len) = match first {
            b'.' => (Tok::Dot, 1),
            b'=' if second == b'=' => (Tok::EqEq, 2),
            b'!' if second == b'=' => (Tok::NotEq, 2),
            b'!' => (Tok::Bang, 1),
            b'<' if second == b'=' => (Tok::LessEq, 2),
            b'<' => (Tok::Less, 1),
            b'>' if second == b'=' => (Tok::GreaterEq, 2),
            b'>' => (Tok::Greater, 1),
            b'&' if second == b'&' => (Tok::AndAnd, 2),
            b'|' if second == b'|' => (Tok::OrOr, 2),
            b'|' => (Tok::Pipe, 1),
            b'}' if second == b'}' && self.mode == Mode::Template => {
                self.in_block = false;
                (Tok::CloseBlock, 2)
            }
            b'+' => (Tok::Plus, 1),
            b'-' => (Tok::Minus, 1),
            b'*' => (Tok::Star, 1),
            b'/' => (Tok::Slash, 1),
            b'%' => (Tok::Percent, 1),
            b',' => (Tok::Comma, 1),
            b'(' => (Tok::OpenParen, 1),
            b')' => (Tok::CloseParen, 1),
            b'[' => (Tok::OpenBracket, 1),
            b']' => (Tok::CloseBracket, 1),
            b'?' => (Tok::Question, 1),
            b':' => (Tok::Colon, 1),
            _ => return Err(self.unexpected_character(start)),
        };
        self.found(tok, start, start + len);
        Ok(())
    }

    /// The end of the input. Whitespace up to it inside an open block is the author's unfinished block.
    fn end(&mut self, before: usize) -> Result<(), Error> {
        let end = self.bytes.len();
        if self.mode == Mode::Template {
            let bare_open = before == end && self.bytes.ends_with(b"{{");
            if self.in_block && (before < end || bare_open) {
                return Err(self.error(
                    Detail::UnterminatedExpression,
                    "This block is never closed: `}}` is missing".to_owned(),
                    span(end, end),
                ));
            }
        }
        self.found(Tok::End, end, end);
        Ok(())
    }

    /// How many bytes the whitespace character beyond ASCII at `at` has; `None` when there is none.
    #[cold]
    fn wide_space(&self, at: usize) -> Option<usize> {
        let next = self.source.get(at..)?.chars().next()?;
        is_whitespace(next).then(|| next.len_utf8())
    }

    /// Lexes the rest of the source and answers the first lexical error in it, if any (template §10.1).
    #[cold]
    pub fn first_error_ahead(&mut self) -> Option<Error> {
        loop {
            if !self.in_block && !self.next_block().1 {
                return None;
            }
            if let Err(error) = self.advance() {
                return Some(error);
            }
            match self.token.tok {
                Tok::End => return None,
                Tok::Number => {
                    if let Err(error) = self.number_value(self.token) {
                        return Some(error);
                    }
                }
                _ => {}
            }
        }
    }

    /// The value of a number token; an error when it is beyond the finite doubles (Q9).
    #[inline]
    pub fn number_value(&self, token: Token) -> Result<f64, Error> {
        let text = token.span.text(self.source);
        let value = if text.len() <= 15 && !text.contains('.') {
            text.bytes().fold(0u64, |n, b| n * 10 + u64::from(b - b'0')) as f64
        } else {
            text.parse().unwrap_or(f64::INFINITY)
        };
        if value.is_finite() {
            return Ok(value);
        }
        Err(self.error(
            Detail::NumberOutOfRange,
            "This number is too large".to_owned(),
            token.span,
        ))
    }

    #[cold]
    fn unexpected_character(&self, at: usize) -> Error {
        let c = self.source[at..].chars().next().unwrap_or(' ');
        let hint = match c {
            '{' | '}' if self.mode == Mode::Expression => {
                " (a bare expression is written without braces)"
            }
            '=' => " (comparison is written `==`)",
            '&' => " (and is written `&&`)",
            _ => "",
        };
        let shown = if c.is_control() {
            c.escape_unicode().to_string()
        } else {
            c.to_string()
        };
        self.error(
            Detail::UnexpectedCharacter,
            format!("Unexpected character `{shown}`{hint}"),
            span(at, at + c.len_utf8()),
        )
    }

    fn error(&self, detail: Detail, message: String, span: Span) -> Error {
        Error::new(detail, message, self.source, span)
    }
}

/// Sources are shorter than 4 GiB: the parser refuses longer ones before lexing.
#[inline]
fn span(start: usize, end: usize) -> Span {
    Span::new(start as u32, end as u32)
}

/// The value of a string literal's inside with escapes, appended to `out` (template §3.6).
pub(crate) fn unescape(inside: &str, out: &mut String) {
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some(other) => out.push(other),
            None => {}
        }
    }
}
