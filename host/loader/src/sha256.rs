//! The name of a file's content.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest;
use serde::{Serialize, Serializer};

/// A SHA-256 sum. Written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

/// A text that is no SHA-256 sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a SHA-256 sum: write its 64 hexadecimal digits, as `sha256sum` prints them")]
pub struct NotSha256;

impl Sha256 {
    /// The sum of `content`.
    pub fn of(content: &[u8]) -> Self {
        // Files have tens of megabytes, and this one is optimised in a dev build as well.
        let mut sum = [0; 32];
        sum.copy_from_slice(digest::digest(&digest::SHA256, content).as_ref());
        Self(sum)
    }
}

impl FromStr for Sha256 {
    type Err = NotSha256;

    fn from_str(text: &str) -> Result<Self, NotSha256> {
        let mut sum = [0; 32];
        hex::decode_to_slice(text.trim(), &mut sum).map_err(|_| NotSha256)?;
        Ok(Self(sum))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_what_it_writes_in_either_case() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let sum = Sha256::of(b"abc");
        assert_eq!(sum.to_string(), abc);
        assert_eq!(format!(" {} \n", abc.to_uppercase()).parse(), Ok(sum));
        assert_eq!(abc[1..].parse::<Sha256>(), Err(NotSha256));
        assert_eq!(serde_json::to_value(sum).unwrap(), abc);
    }
}
