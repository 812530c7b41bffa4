//! The key that encrypts secret config fields: AES-256-GCM, a fresh nonce for each value, bound to the
//! row it is stored in.

use aes_gcm::{
    Aes256Gcm, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The environment variable that holds the key: 32 bytes as base64 or 64 hex digits.
pub const VARIABLE: &str = "SIGNALBOX_CONFIG_KEY";

/// In front of an encrypted value; the number is the scheme.
const PREFIX: &str = "enc:v1:";
const NONCE: usize = 12;

/// Why there is no key. Key material never appears.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Neither 32 bytes in base64 nor 64 hex digits.
    #[error("{from} does not hold a key: write 32 bytes as base64 or as 64 hex digits")]
    Malformed {
        /// The variable or file.
        from: String,
    },
    /// Others than the owner may read the file.
    #[error("the key file {} can be read by others than its owner: run `chmod 600 {}`", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// The file cannot be read or made.
    #[error("the key file {}: {source}", .path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

/// The host's key for secret config fields.
#[derive(Clone)]
pub struct ConfigKey {
    cipher: Aes256Gcm,
    fingerprint: String,
    origin: String,
}

impl std::fmt::Debug for ConfigKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConfigKey(…)")
    }
}

impl ConfigKey {
    /// A key from its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        // Of a key of 256 random bits, so it tells nothing about it.
        let hash = Sha256::new_with_prefix(b"signalbox config key")
            .chain_update(bytes)
            .finalize();
        Self {
            cipher: Aes256Gcm::new(&Key::<Aes256Gcm>::from(bytes)),
            fingerprint: hash[..8].iter().map(|b| format!("{b:02x}")).collect(),
            origin: "this program".into(),
        }
    }

    /// Tells keys apart: 16 hex digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Where it comes from: the variable or the file.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    fn from(mut self, origin: &str) -> Self {
        self.origin = origin.to_owned();
        self
    }

    /// A key from text; `from` names where the text stood.
    pub fn parse(text: &str, from: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let bytes = if text.len() == 64 {
            hex(text)
        } else {
            STANDARD.decode(text).ok().and_then(|b| b.try_into().ok())
        };
        let key = bytes.map(|b| Self::new(b).from(from));
        key.ok_or_else(|| KeyError::Malformed {
            from: from.to_owned(),
        })
    }

    /// The key of `SIGNALBOX_CONFIG_KEY` when it is set (`variable` is its value), else of the file,
    /// which is made on the first start, readable by its owner only.
    pub fn load(variable: Option<&str>, file: &Path) -> Result<Self, KeyError> {
        if let Some(text) = variable {
            return Self::parse(text, VARIABLE);
        }
        let failed = |source| KeyError::File {
            path: file.to_owned(),
            source,
        };
        match std::fs::read_to_string(file) {
            Ok(text) => {
                if exposed(file).map_err(failed)? {
                    return Err(KeyError::Exposed(file.to_owned()));
                }
                Self::parse(&text, &file.display().to_string())
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes).map_err(|e| KeyError::Random(e.to_string()))?;
                write_new(file, &STANDARD.encode(bytes)).map_err(failed)?;
                Ok(Self::new(bytes).from(&file.display().to_string()))
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// Encrypts a text for one row.
    pub(super) fn encrypt(&self, row: &str, plain: &str) -> Result<String, String> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| "the system gives no random bytes")?;
        let payload = Payload {
            msg: plain.as_bytes(),
            aad: row.as_bytes(),
        };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| "it could not be encrypted")?;
        Ok(format!(
            "{PREFIX}{}",
            STANDARD.encode([&nonce[..], &sealed].concat())
        ))
    }

    /// Decrypts a text of one row. Anything but a value this key made for this row is an error.
    pub(super) fn decrypt(&self, row: &str, stored: &str) -> Result<String, String> {
        let damaged = "the stored value is not an encrypted one";
        let body = stored.strip_prefix(PREFIX).ok_or(damaged)?;
        let bytes = STANDARD.decode(body).map_err(|_| damaged)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE).ok_or(damaged)?;
        let nonce: [u8; NONCE] = nonce.try_into().expect("split at its length");
        let payload = Payload {
            msg: sealed,
            aad: row.as_bytes(),
        };
        let plain = self
            .cipher
            .decrypt(&Nonce::from(nonce), payload)
            .map_err(|_| {
                "it was encrypted with another key, or the row was changed by hand".to_owned()
            })?;
        String::from_utf8(plain).map_err(|_| damaged.to_owned())
    }
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(unix)]
fn exposed(file: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::metadata(file)?.permissions().mode() & 0o077 != 0)
}
#[cfg(not(unix))]
fn exposed(_: &Path) -> io::Result<bool> {
    Ok(false)
}

fn write_new(file: &Path, text: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(file)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_with_its_key_and_row_only() {
        let (a, b) = (ConfigKey::new([1; 32]), ConfigKey::new([2; 32]));
        let sealed = a.encrypt("row", "s3cret").unwrap();
        assert!(!sealed.contains("s3cret"));
        assert_ne!(sealed, a.encrypt("row", "s3cret").unwrap());
        assert_eq!(a.decrypt("row", &sealed).as_deref(), Ok("s3cret"));
        assert!(b.decrypt("row", &sealed).is_err());
        assert!(a.decrypt("other", &sealed).is_err());
        assert!(a.decrypt("row", "s3cret").is_err());
    }

    #[test]
    fn a_generated_key_file_is_private_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.key");
        let first = ConfigKey::load(None, &file).unwrap();
        let sealed = first.encrypt("row", "x").unwrap();
        let second = ConfigKey::load(None, &file).unwrap();
        assert_eq!(second.decrypt("row", &sealed).as_deref(), Ok("x"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |m| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(m));
            assert!(!exposed(&file).unwrap());
            mode(0o644).unwrap();
            assert!(matches!(
                ConfigKey::load(None, &file),
                Err(KeyError::Exposed(_))
            ));
        }
    }

    #[test]
    fn a_key_is_base64_or_hex_of_32_bytes() {
        assert!(ConfigKey::parse(&"ab".repeat(32), "x").is_ok());
        assert!(ConfigKey::parse(&STANDARD.encode([7; 32]), "x").is_ok());
        for bad in ["", "short", &STANDARD.encode([7; 31]), &"zz".repeat(32)] {
            let error = ConfigKey::parse(bad, VARIABLE).unwrap_err().to_string();
            assert!(error.contains(VARIABLE), "{error}");
        }
    }
}
