//! Where a scheduler listens.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

/// The port of a scheduler, where none is named.
const PORT: u16 = 50050;

/// The scheduler of a cluster: `df://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterAddress {
    /// Name or number of the machine.
    pub host: String,
    /// Port of its gRPC service.
    pub port: u16,
}

impl FromStr for ClusterAddress {
    type Err = String;

    /// Reads `df://host:port` or `host:port`; the port may be left out.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("found `{text}`, expected the scheduler's address such as `df://host:{PORT}`")
        };
        let rest = text.strip_prefix("df://").unwrap_or(text);
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (rest, PORT),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        match !host.is_empty() && host.chars().all(is_host) && port > 0 {
            true => Ok(Self {
                host: host.to_owned(),
                port,
            }),
            false => Err(wrong()),
        }
    }
}

impl Display for ClusterAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "df://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        let read = |text: &str| text.parse::<ClusterAddress>();
        for (text, shown) in [
            ("df://node1:50050", "df://node1:50050"),
            ("node1:7", "df://node1:7"),
            ("df://10.0.0.1/", "df://10.0.0.1:50050"),
            ("df://[::1]:50050", "df://[::1]:50050"),
        ] {
            assert_eq!(read(text).unwrap().to_string(), shown);
        }
        for text in ["", "df://", "http://a:1", "a:b", "a:0", "a b:1", "a:99999"] {
            let error = read(text).unwrap_err();
            assert!(error.contains("df://host:50050"), "{text}: {error}");
        }
    }
}
