//! What is stored under a batch id: version byte, then either 1, fingerprint, time and position (0 where there is
//! none), or 2 and the time at which the id was voided.

use apportion::store::{Fingerprint, Receipt, Stored};
use uuid::Uuid;

use super::{Malformed, Reader, VERSION, put_i64, put_u64};

const COMMITTED: u8 = 1;
const VOID: u8 = 2;

/// The bytes of what is stored under an id.
pub(crate) fn encode_stored(stored: &Stored) -> Vec<u8> {
    let mut out = Vec::with_capacity(36);
    out.push(VERSION);
    match stored {
        Stored::Void(at) => {
            out.push(VOID);
            put_i64(&mut out, at.as_micros());
        }
        Stored::Committed(receipt) => {
            out.push(COMMITTED);
            out.extend_from_slice(&receipt.fingerprint.0);
            put_i64(&mut out, receipt.at.as_micros());
            put_u64(&mut out, receipt.position.unwrap_or(0));
        }
        // There is no other kind of outcome: an unknown one would not be read back.
        _ => out.push(0),
    }
    out
}

/// What is stored under `batch`.
pub(crate) fn decode_stored(batch: Uuid, bytes: &[u8]) -> Result<Stored, Malformed> {
    let mut reader = Reader::versioned(bytes)?;
    let stored = match reader.byte()? {
        COMMITTED => Stored::Committed(Receipt::new(
            batch,
            Fingerprint(reader.array()?),
            reader.time()?,
            Some(reader.u64()?).filter(|position| *position > 0),
        )),
        VOID => Stored::Void(reader.time()?),
        _ => return Err("an unknown kind of receipt"),
    };
    reader.end()?;
    Ok(stored)
}
