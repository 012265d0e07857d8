//! The key ring: `ID:KEY` entries, one a line (or separated by blanks or commas), KEY being 32 bytes in base64; `#` begins a
//! comment. The last entry is the newest: it seals. To rotate, append one; to retire an old one, remove it when nothing is
//! sealed with it any more.

use std::{
    fmt,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use aes_gcm::{
    Aes256Gcm, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

/// Keys by id, oldest first; never empty.
pub struct KeyRing(Vec<(String, Aes256Gcm)>);

/// The key ring cannot be used, or does not open a value. Never holds a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// The file.
    #[error("the key ring `{}` cannot be used: {source}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read it.
    #[error("the key ring `{}` can be read by others (mode {mode:03o}); run `chmod 600 {}`", path.display(), path.display())]
    Mode {
        /// Where it is.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Its text.
    #[error(
        "entry {entry} of the key ring ({place}) is not `ID:KEY` with a key of 32 bytes in base64, such as `openssl rand -base64 32` makes"
    )]
    Entry {
        /// Which one, from 1.
        entry: usize,
        /// Where it was read.
        place: String,
    },
    /// Nothing in it.
    #[error("the key ring ({0}) holds no key")]
    Empty(String),
    /// Two keys of one name.
    #[error("the key ring holds two keys `{0}`; each needs a name of its own")]
    Twice(String),
    /// Sealed with a key that was removed, or that another replica has.
    #[error("it is sealed with key `{0}`, which is not in the key ring")]
    Unknown(String),
    /// Changed, or of another row.
    #[error("it was changed, or belongs to another place, or key `{0}` is another one than it was sealed with")]
    Broken(String),
    /// Longer than the cipher takes.
    #[error("the secret is too long to be sealed")]
    Long,
}

/// A sealed value.
#[derive(Debug, Clone)]
pub(super) struct Sealed {
    /// Id of the key.
    pub(super) key: String,
    /// Nonce and ciphertext.
    pub(super) bytes: Vec<u8>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl KeyRing {
    /// Reads a ring that was given as text: the setting `keyring`.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        Self::read(text, "the setting `keyring`")
    }

    /// Reads the file `keyring` in the data directory, or makes one with a new key.
    pub fn in_directory(data_dir: &Path) -> Result<Self, KeyRingError> {
        let path = data_dir.join("keyring");
        let failed = |source| KeyRingError::File {
            path: path.clone(),
            source,
        };
        let made = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match made {
            Ok(mut file) => {
                let key: [u8; 32] = rand::random();
                let id: [u8; 4] = rand::random();
                let text = format!(
                    "# One `ID:KEY` a line; the last one seals, every one opens. Append one to rotate.\nk{}:{}\n",
                    hex::encode(id),
                    STANDARD.encode(key)
                );
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
                    .map_err(failed)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        let mode = std::fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyRingError::Mode { path, mode });
        }
        let text = std::fs::read_to_string(&path).map_err(failed)?;
        Self::read(&text, &format!("`{}`", path.display()))
    }

    fn read(text: &str, place: &str) -> Result<Self, KeyRingError> {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let entries = lines.flat_map(|line| line.split([' ', '\t', ',']).filter(|entry| !entry.trim().is_empty()));
        let mut keys: Vec<(String, Aes256Gcm)> = Vec::new();
        for (at, entry) in entries.enumerate() {
            let key = entry.trim().split_once(':').and_then(|(id, key)| {
                let named = !id.is_empty()
                    && id
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
                let key: [u8; 32] = STANDARD.decode(key).ok()?.try_into().ok()?;
                named.then(|| (id.to_owned(), Aes256Gcm::new(&key.into())))
            });
            let (id, key) = key.ok_or_else(|| KeyRingError::Entry {
                entry: at + 1,
                place: place.to_owned(),
            })?;
            if keys.iter().any(|(known, _)| *known == id) {
                return Err(KeyRingError::Twice(id));
            }
            keys.push((id, key));
        }
        if keys.is_empty() {
            return Err(KeyRingError::Empty(place.to_owned()));
        }
        Ok(Self(keys))
    }

    /// Seals with the newest key, bound to `place`.
    pub(super) fn seal(&self, place: &str, value: &[u8]) -> Result<Sealed, KeyRingError> {
        // The constructors leave no ring empty.
        let (id, cipher) = self.0.last().ok_or_else(|| KeyRingError::Empty(place.to_owned()))?;
        let nonce: [u8; 12] = rand::random();
        let payload = Payload {
            msg: value,
            aad: &bound(id, place),
        };
        let sealed = cipher.encrypt(&Nonce::from(nonce), payload);
        let bytes = nonce
            .into_iter()
            .chain(sealed.map_err(|_| KeyRingError::Long)?)
            .collect();
        Ok(Sealed { key: id.clone(), bytes })
    }

    /// Opens what was sealed for `place`.
    pub(super) fn open(&self, place: &str, sealed: &Sealed) -> Result<Bytes, KeyRingError> {
        let known = self.0.iter().find(|(id, _)| *id == sealed.key);
        let (id, cipher) = known.ok_or_else(|| KeyRingError::Unknown(sealed.key.clone()))?;
        let broken = || KeyRingError::Broken(id.clone());
        let (nonce, bytes) = sealed.bytes.split_first_chunk::<12>().ok_or_else(broken)?;
        let payload = Payload {
            msg: bytes,
            aad: &bound(id, place),
        };
        let opened = cipher.decrypt(&Nonce::from(*nonce), payload);
        opened.map(Bytes::from).map_err(|_| broken())
    }
}

/// The associated data: neither key nor place can be exchanged.
fn bound(id: &str, place: &str) -> Vec<u8> {
    format!("{id}\n{place}").into_bytes()
}
