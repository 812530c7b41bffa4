//! Places in a source: byte spans inside the engine, lines and columns towards people.

/// A half-open range of byte offsets into a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl Span {
    /// A span from `start` up to, not including, `end`.
    pub const fn new(start: u32, end: u32) -> Self {
        Span { start, end }
    }

    /// The text under this span, empty where it does not fit the source.
    pub fn text(self, source: &str) -> &str {
        source
            .get(self.start as usize..self.end as usize)
            .unwrap_or("")
    }
}

/// A place as editors show it (template §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// 1-based; only U+000A starts a new line.
    pub line: u32,
    /// 1-based, counting UTF-16 code units.
    pub column: u32,
}

impl Position {
    /// The position of a byte offset; an offset beyond the end, or inside a character, counts as the next boundary.
    pub fn of(source: &str, offset: u32) -> Self {
        let offset = offset as usize;
        let mut position = Position { line: 1, column: 1 };
        for (at, c) in source.char_indices() {
            if at >= offset {
                break;
            }
            if c == '\n' {
                position.line += 1;
                position.column = 1;
            } else {
                position.column += c.len_utf16() as u32;
            }
        }
        position
    }
}

/// Start (inclusive) and end (exclusive) of a piece of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// Where it starts.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
}

impl Range {
    /// The range of a span.
    pub fn of(source: &str, span: Span) -> Self {
        Range {
            start: Position::of(source, span.start),
            end: Position::of(source, span.end.max(span.start)),
        }
    }
}
