//! Reading a stream to its end while keeping only its beginning.

use crate::OUTPUT_LIMIT;
use plugin_api::masking::MaskSet;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Kept beyond the limit until masking is done, so that a secret across the limit is still whole.
const MASK_MARGIN: usize = 64 * 1024;

/// What was kept of a stream.
#[derive(Default)]
pub(crate) struct Captured {
    bytes: Vec<u8>,
    total: usize,
    at_end: bool,
}

impl Captured {
    /// Reads until end of file. Cancelling keeps what has been read so far.
    pub(crate) async fn drain(&mut self, stream: &mut (impl AsyncRead + Unpin)) {
        let mut buffer = [0u8; 8192];
        // A read error ends the stream like end of file: the outcome still tells what came before.
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            self.total += n;
            let room = (OUTPUT_LIMIT + MASK_MARGIN).saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(&buffer[..n.min(room)]);
        }
        self.at_end = true;
    }

    /// The text, masked and then cut, and whether anything was cut off. A program that was
    /// `killed` may have been about to write the second half of something.
    pub(crate) fn finish(self, mask: &MaskSet, killed: bool) -> (String, bool) {
        let whole = self.at_end && self.total == self.bytes.len() && !killed;
        let masked = if whole {
            mask.mask_text(String::from_utf8_lossy(&self.bytes))
        } else {
            mask.mask_cut_text(String::from_utf8_lossy(without_broken_end(&self.bytes)))
        };
        let cut = cut_at_char(&masked, OUTPUT_LIMIT);
        let truncated = self.total > OUTPUT_LIMIT;
        (cut.trim_end().to_owned(), truncated)
    }
}

/// The bytes without the piece of a character at their end: as a replacement character it would hide
/// that what stands before it begins a secret.
fn without_broken_end(bytes: &[u8]) -> &[u8] {
    let broken = bytes.utf8_chunks().last().map_or(0, |c| c.invalid().len());
    &bytes[..bytes.len() - broken]
}

/// The longest prefix of at most `limit` bytes that ends between two characters.
fn cut_at_char(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}
