//! Who may ask: this machine, or who brings the token.

use std::net::{IpAddr, SocketAddr};

/// Name of the cookie that holds the token, and of the parameter that brings it.
const NAME: &str = "token";

/// What a request must bring.
#[derive(Debug)]
pub(super) struct Access {
    token: Option<String>,
    /// Returns `true` if only this machine can reach the address.
    is_local: bool,
}

impl Access {
    /// Rules for an address: a token where one is given, or the address is not of this machine alone.
    pub(super) fn new(address: SocketAddr, token: Option<&str>) -> Self {
        let is_local = address.ip().is_loopback();
        let token = match token {
            Some(token) => Some(token.to_owned()),
            None => (!is_local).then(made_up),
        };
        Self { token, is_local }
    }

    /// The address to open in a browser.
    pub(super) fn url(&self, address: SocketAddr) -> String {
        match &self.token {
            Some(token) => format!("http://{address}/?{NAME}={token}"),
            None => format!("http://{address}/"),
        }
    }

    /// Checks a request by its host, cookies and parameters.
    ///
    /// Names of other hosts are refused on a local address: a page elsewhere could let its own name
    /// point here. **Errors** say what is missing.
    pub(super) fn check(&self, host: &str, cookies: &str, query: &str) -> Result<(), String> {
        if self.is_local && !is_own(host) {
            return Err(format!(
                "the host `{host}` is not this machine; open the address that `serve` printed"
            ));
        }
        let Some(token) = &self.token else {
            return Ok(());
        };
        let pairs = cookies.split(';').chain(query.split('&'));
        let brought = pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(n, _)| *n == NAME);
        // Digests compare in constant time.
        let digest = |text: &str| blake3::hash(text.as_bytes());
        match brought
            .into_iter()
            .any(|(_, value)| digest(value) == digest(token))
        {
            true => Ok(()),
            false => Err(
                "the token is missing or wrong; open the address that `serve` printed".to_owned(),
            ),
        }
    }

    /// The cookie for a request that brings the right token as a parameter.
    pub(super) fn cookie(&self, query: &str) -> Option<String> {
        let token = self.token.as_ref()?;
        let brings = query
            .split('&')
            .any(|pair| pair == format!("{NAME}={token}"));
        brings.then(|| format!("{NAME}={token}; HttpOnly; SameSite=Strict; Path=/"))
    }
}

/// Returns `true` for a host header that names this machine.
fn is_own(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A token that nobody guesses: 32 hexadecimal digits of the system's randomness.
fn made_up() -> String {
    use std::collections::hash_map::RandomState;
    use std::hash::{BuildHasher as _, Hasher as _};
    // Each state is keyed by the system's generator.
    let mut hasher = blake3::Hasher::new();
    for _ in 0..8 {
        hasher.update(&RandomState::new().build_hasher().finish().to_le_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_needs_no_token_and_others_do() {
        let local = Access::new("127.0.0.1:80".parse().unwrap(), None);
        assert_eq!(
            local.url("127.0.0.1:80".parse().unwrap()),
            "http://127.0.0.1:80/"
        );
        for host in ["127.0.0.1:7878", "localhost", "localhost:1", "[::1]:7878"] {
            assert_eq!(local.check(host, "", ""), Ok(()), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:80", ""] {
            assert!(local.check(host, "", "").is_err(), "{host}");
        }
        let open = Access::new("0.0.0.0:80".parse().unwrap(), None);
        let url = open.url("0.0.0.0:80".parse().unwrap());
        let token = url.split("token=").nth(1).unwrap().to_owned();
        assert_eq!(token.len(), 32);
        assert!(open.check("any", "", "").is_err());
        assert!(open.check("any", "", "token=wrong").is_err());
        assert_eq!(open.check("any", "", &format!("a=b&token={token}")), Ok(()));
        assert_eq!(
            open.check("any", &format!("x=y; token={token}"), ""),
            Ok(())
        );
        assert!(
            open.cookie(&format!("token={token}"))
                .unwrap()
                .contains("HttpOnly")
        );
        assert_eq!(open.cookie("token=wrong"), None);
        let given = Access::new("127.0.0.1:80".parse().unwrap(), Some("word"));
        assert!(given.check("localhost", "", "").is_err());
        assert_eq!(given.check("localhost", "token=word", ""), Ok(()));
    }
}
