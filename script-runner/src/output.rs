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
    }

    /// The text, masked and then cut, and whether anything was cut off.
    pub(crate) fn finish(self, mask: &MaskSet) -> (String, bool) {
        let text = mask
            .mask_text(String::from_utf8_lossy(&self.bytes).into_owned())
            .into_inner();
        let cut = cut_at_char(&text, OUTPUT_LIMIT);
        let truncated = self.total > OUTPUT_LIMIT;
        (cut.trim_end().to_owned(), truncated)
    }
}

/// The longest prefix of at most `limit` bytes that ends between two characters.
fn cut_at_char(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}
