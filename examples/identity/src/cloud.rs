//! How the control plane is opened.

use std::path::Path;
use std::sync::Arc;

use apportion::ControlPlane;
use apportion::entity::{SecretText, TABLES};
use apportion::identity::{HostKey, IdentityOptions, KeyRing, OsEntropy, TotpPolicy};
use apportion::plane::Options;
use apportion::time::SystemClock;
use apportion_redb::RedbStore;

use crate::Outcome;

/// Opens the control plane on a file, with the key of the host.
pub fn open(file: &Path) -> Outcome<Arc<ControlPlane>> {
    let store = RedbStore::open(file, TABLES, Arc::new(SystemClock::new()))?;
    let identity = IdentityOptions::default()
        .keys(KeyRing::new(host_key()?))
        // What an authenticator app shows beside the code.
        .totp(TotpPolicy::default().issuer("Example Cloud"));
    Ok(Arc::new(ControlPlane::with(Arc::new(store), Options::default().identity(identity))))
}

/// The key under which secrets are kept. It is not in the database: whoever has a copy of that has no authenticator.
fn host_key() -> Outcome<HostKey> {
    if let Ok(hex) = std::env::var("CLOUD_KEY") {
        return Ok(HostKey::from_hex(1, &SecretText::new(hex))?);
    }
    println!("(no CLOUD_KEY: a new key, for this demonstration)");
    Ok(HostKey::random(1, &OsEntropy))
}
