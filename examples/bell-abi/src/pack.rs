//! MessagePack: as much as a job needs.

/// Reads one value after the other.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// A text or bytes.
    pub fn blob(&mut self) -> Option<&'a [u8]> {
        let kind = *self.bytes.first()?;
        let len = match kind {
            0xa0..=0xbf => {
                self.take(1)?;
                usize::from(kind & 0x1f)
            }
            0xc4..=0xc6 => self.sized(kind - 0xc4)?,
            0xd9..=0xdb => self.sized(kind - 0xd9)?,
            _ => return None,
        };
        self.take(len)
    }

    /// A member of the map that comes next.
    pub fn member(mut self, name: &str) -> Option<Self> {
        let pairs = self.many(0x80, 0xde)?;
        for _ in 0..pairs {
            if self.blob()? == name.as_bytes() {
                return Some(self);
            }
            self.skip()?;
        }
        None
    }

    /// Over one value, of any kind.
    fn skip(&mut self) -> Option<()> {
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            if let Some(pairs) = self.many(0x80, 0xde) {
                left += 2 * pairs;
            } else if let Some(elements) = self.many(0x90, 0xdc) {
                left += elements;
            } else if self.blob().is_none() {
                let kind = self.take(1)?[0];
                let rest = match kind {
                    0xca => 4,
                    0xcb => 8,
                    0xcc..=0xcf => 1 << (kind - 0xcc),
                    0xd0..=0xd3 => 1 << (kind - 0xd0),
                    0xd4..=0xd8 => 1 + (1 << (kind - 0xd4)),
                    _ => 0,
                };
                self.take(rest)?;
            }
        }
        Some(())
    }

    /// The length of a map or an array; `None` for anything else, of which nothing is read then.
    fn many(&mut self, small: u8, wide: u8) -> Option<usize> {
        let kind = *self.bytes.first()?;
        if kind & 0xf0 == small {
            self.take(1)?;
            Some(usize::from(kind & 0x0f))
        } else if kind == wide || kind == wide + 1 {
            self.sized(kind - wide + 1)
        } else {
            None
        }
    }

    /// The kind's byte, and a number of 1, 2 or 4 bytes.
    fn sized(&mut self, power: u8) -> Option<usize> {
        self.take(1)?;
        let bytes = self.take(1 << power)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        if self.bytes.len() < len {
            return None;
        }
        let (taken, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Some(taken)
    }
}

/// A `JobEnd`: `{"result":{"Ok":{"result":"done","summary":…}},"orphans":[]}`.
pub fn done(summary: &str) -> Vec<u8> {
    let mut out = b"\x82\xa6result\x81\xa2Ok\x82\xa6result\xa4done\xa7summary\xda".to_vec();
    let summary = &summary.as_bytes()[..summary.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(summary.len() as u16).to_be_bytes());
    out.extend_from_slice(summary);
    out.extend_from_slice(b"\xa7orphans\x90");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_found_behind_values_of_every_kind() {
        let mut bytes = vec![0x87];
        for (name, value) in [
            ("number", &[0xcd, 1, 2][..]),
            ("float", &[0xcb, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("list", &[0x92, 0xc0, 0x81, 0xa1, b'k', 0xff]),
            ("extension", &[0xd6, 1, 0, 0, 0, 0]),
            ("wide", &[0xdc, 0, 1, 0xc3]),
            ("bytes", &[0xc4, 1, 7]),
            ("wanted", &[0xd9, 2, b'h', b'i']),
        ] {
            bytes.push(0xa0 | name.len() as u8);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(value);
        }
        let found = Reader::new(&bytes).member("wanted").and_then(|mut it| it.blob());
        assert_eq!(found, Some(&b"hi"[..]));
        assert!(Reader::new(&bytes).member("missing").is_none());
        for end in 0..bytes.len() {
            assert!(Reader::new(&bytes[..end]).member("missing").is_none());
        }
        let packed = done("rung");
        let mut end = Reader::new(&packed).member("result").unwrap().member("Ok").unwrap();
        assert_eq!(end.member("summary").unwrap().blob(), Some(&b"rung"[..]));
        end.skip().unwrap();
    }
}
