//! `Accept-Encoding` (RFC 9110 §12.5.3).

use http::{HeaderMap, header};

use crate::encoding::Encoding;

/// What a client takes, in thousandths; 0 is a no. A client that sends no header is sent files as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    brotli: u16,
    zstd: u16,
    gzip: u16,
}

impl Accepted {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut accepted: [Option<u16>; 3] = [None; 3];
        let mut any = 0;
        for value in headers.get_all(header::ACCEPT_ENCODING) {
            for part in value.to_str().unwrap_or_default().split(',') {
                let (token, parameters) = part.split_once(';').unwrap_or((part, ""));
                let (token, weight) = (token.trim(), weight(parameters));
                if token == "*" {
                    any = weight;
                }
                let known = Encoding::ALL
                    .iter()
                    .position(|encoding| token.eq_ignore_ascii_case(encoding.token()));
                // RFC 9110 §8.4.1.3.
                let known = known.or_else(|| token.eq_ignore_ascii_case("x-gzip").then_some(2));
                if let Some(place) = known {
                    accepted[place] = Some(weight);
                }
            }
        }
        let [brotli, zstd, gzip] = accepted.map(|weight| weight.unwrap_or(any));
        Self { brotli, zstd, gzip }
    }

    /// How much it likes one.
    pub(crate) fn weight(self, encoding: Encoding) -> u16 {
        match encoding {
            Encoding::Brotli => self.brotli,
            Encoding::Zstd => self.zstd,
            Encoding::Gzip => self.gzip,
        }
    }
}

/// `q=0.5` is 500. What cannot be read is a no, so that nobody gets what they cannot open.
fn weight(parameters: &str) -> u16 {
    let Some((name, value)) = parameters.split_once('=') else {
        return if parameters.trim().is_empty() { 1000 } else { 0 };
    };
    if !name.trim().eq_ignore_ascii_case("q") {
        return 0;
    }
    match value.trim().parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => (value * 1000.0) as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(value: &'static str) -> (u16, u16, u16) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        let Accepted { brotli, zstd, gzip } = Accepted::of(&headers);
        (brotli, zstd, gzip)
    }

    #[test]
    fn weights_stars_and_nonsense() {
        assert_eq!(of("gzip, deflate, br, zstd"), (1000, 1000, 1000));
        assert_eq!(of("gzip;q=1.0, br;q=0.5, zstd;q=0"), (500, 0, 1000));
        assert_eq!(of("*;q=0.25, BR ; Q=0"), (0, 250, 250));
        assert_eq!(of("x-gzip"), (0, 0, 1000));
        assert_eq!(of("gzip;q=2, br;q=x, zstd;level=3"), (0, 0, 0));
        assert_eq!(of("identity"), (0, 0, 0));
        assert_eq!(Accepted::of(&HeaderMap::new()), Accepted::default());
    }
}
