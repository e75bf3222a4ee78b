//! What is taken as an SSH key, and what is not.

use super::*;

// Made for these tests by `ssh-keygen`, with the fingerprints that it printed; what they let in is nowhere.
const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN4vU1slaK0tXpVXtEY3Ggb5kNerhvBqjAK4/kZkxO4+";
const RSA_2048: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCyij/TZORL02MP0sTcbr3dHQ3cfadicvNDqZXdwKJy3VCeLk8tE/FD4N7KDYBi3rS0d4SMCib5HZvuPO0t7Rq02GLSMofJ3R9o0+eJfXmI+6K4RZ3f3cLnHncymYeh05yUi0ZZdixDWcBBKyPeZFVh1iLCtPITwka+7TPpx1C3lM8O3nb/0pQVDtv6lN6LNyj2eUqXR/ukOy8f0VrWhREcaY3+JcVqEMdgN56BG9DqSxtZerKhvAkWbG2xtwOi0FVbkZ06q9kQ8r+wXBO9sqAew+MHmjb7j+HxZfRRUvgxxwCEx7CMFNg+NNLDW9Wh+vnoMa093d1ZPQg0XI8uSC0t";
const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAna8uy1HjSQ4y+GPoPAAH0flIcpaYXlGNYY3zqRT5j803O4z0sK+gstXriMgQPlFnukMav5Ng7Z5STk+qc1qk4=";
const P384: &str = "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBO+TjsAvREmGmNyzGVJW/2hdj4Oo5NL7WMsaidi9BRJOqrA5SdZI41XXew7gFurzwxhqGMrIoiOEIltPW3p8Cix4SJXQpZPpxFw3uGtNte+LmyOvGWziz1Fv/hbiILq+HQ==";
const P521: &str = "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBACPaiGhEC69mQgE3rGUPSmzPHrEAUienJW72jrCYcr+ny7g1ESGL2OCGbiPP9rZNCq/xMxlwiySzWAorp/B7lyJjgFV69LC/a9ZjX0vwnuw21Yp5+WB4G+S34v+L6RR21aY0gjN0GjNqi99tkPoIku/Y4I1gn8UmaAsHFe0oELIAlUECA==";
const DSA: &str = "ssh-dss AAAAB3NzaC1kc3MAAACBALRpoAxvaS8PcDA0L64czEsb7Dycq+lqK11A6mbKadzg21EKgE84MOlw+5bUCzhkJt96+xSGW9oVGHJuvPK42nY5l3izsuKfBfJeImzbN/xuHX5FFkYotTBBk0w1SFAX28FkO0Je9KW3MU3bSeeID6cUEjjFTrPVAde/5shz6scPAAAAFQCwGcQ0k6x60qZ4cIAJzaff3Y4DmQAAAIAVZKdd+jEMFCFYUe8EZoiPbJ0aJQ+32wiiUGeCV+pARHFZmEM4RW+thWJYCx1ilFVIPkMk/Ib+KBhGWrkT2sp8ZXhHp5VLPiRz/O8ARr+luDhNFPT6eV3ugUnJKPfd/3ByjatkO/+0TIlGop5uEW7i3I97ert7M7KFKzD8kwGyHAAAAIBPCGzJfcm1qezMv2td0IWab3Yv+2xq5WiAaR3n7SCuxcc6B5ijCKBYp7xhZEwwz6EJK1aYrLyIEqsSz4x2i/PU5pbU6UpGDvtDUP5PKFAHDf8oYy7twbenzenRl9+HqgikC6ZGr5aSPBcPOKII119JykEPZIJ1m5xsZqSdbNnMTg==";
const RSA_1024: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDJvkHKowsjIurVMMlKnL6/8LHiAKKqnpkeWp6xeTBf1ir5FR21xlN4nUnxuirnEarf3A1sMM8gqhfVF2S1eWc2qyx21j8A1gLjU8Vzq2yQ0qN50tqrI5MvWOzuXxK66eipW2AgSjZ6NWaaxRuRZsLmxd3FGACYu2roU/KoS/xlFw==";
const CERTIFICATE: &str = "ecdsa-sha2-nistp256-cert-v01@openssh.com AAAAKGVjZHNhLXNoYTItbmlzdHAyNTYtY2VydC12MDFAb3BlbnNzaC5jb20AAAAgjxAtZIR/itgJ6HayWZc/miGuJCL3zULq0zl82z+f7B8AAAAIbmlzdHAyNTYAAABBBAna8uy1HjSQ4y+GPoPAAH0flIcpaYXlGNYY3zqRT5j803O4z0sK+gstXriMgQPlFnukMav5Ng7Z5STk+qc1qk4AAAAAAAAAAAAAAAEAAAABeAAAAAUAAAABeQAAAAAAAAAA//////////8AAAAAAAAAggAAABVwZXJtaXQtWDExLWZvcndhcmRpbmcAAAAAAAAAF3Blcm1pdC1hZ2VudC1mb3J3YXJkaW5nAAAAAAAAABZwZXJtaXQtcG9ydC1mb3J3YXJkaW5nAAAAAAAAAApwZXJtaXQtcHR5AAAAAAAAAA5wZXJtaXQtdXNlci1yYwAAAAAAAAAAAAAAMwAAAAtzc2gtZWQyNTUxOQAAACDeL1NbJWitLV6VV7RGNxoG+ZDXq4bwaowCuP5GZMTuPgAAAFMAAAALc3NoLWVkMjU1MTkAAABAODoH/5U10184LJwGKssDN6MYt3MwUZ3J5B3UCpDZezjSWER7k1RcPqWYiN6BFLDw8ZqsuvmpZ6LHBBTRc15QBg==";

fn reason(text: &str) -> String {
    match SshPublicKey::parse(text) {
        Err(Error::Invalid { field, reason }) => {
            assert_eq!(field, "key");
            reason.clone()
        }
        other => panic!("{text:?} gave {other:?}"),
    }
}

#[test]
fn a_key_is_kept_in_one_form_with_the_fingerprint_of_openssh() {
    for (text, fingerprint) in [
        (ED25519, "SHA256:yLRbEKECRqrumbCVcUVE3wP+dxr+nLIoUn/dJhgOpLY"),
        (RSA_2048, "SHA256:iZtjziW4skd1ME2UCCGV5xA+UO4E8ROdO1vY0Mr08rs"),
        (P256, "SHA256:3JgzwtgrJkyeyN6xRJUzPNBqYgZGz7dp0HM4zOcWW/A"),
        (P384, "SHA256:3dLAg+GPOtpUMbzZCc8x/WeiK7e6HjheBaF2yJiXFjc"),
        (P521, "SHA256:/+nCc1Qkl31bZ3eN+4KHd4Li+n+FhathZA5Ti0/MMH4"),
    ] {
        let (algorithm, base64) = text.split_once(' ').unwrap();
        for written in [
            text.to_owned(),
            format!("{text} ada@laptop"),
            format!("  {algorithm}\t {base64}  a comment; with $(all) that \"there\" is\r\n"),
        ] {
            let key = SshPublicKey::parse(&written).unwrap();
            let kept = (key.text.as_str(), key.algorithm.as_str(), key.fingerprint.as_str());
            assert_eq!(kept, (text, algorithm, fingerprint));
        }
    }
}

#[test]
fn what_is_no_key_is_refused_with_a_reason_that_does_not_repeat_it() {
    let (algorithm, base64) = ED25519.split_once(' ').unwrap();
    let other = base64.replacen("N4v", "N4w", 1);
    let long = format!("{ED25519} {}", "x".repeat(4096));
    let table: &[(&str, &str)] = &[
        ("", "empty"),
        (" \n\t ", "empty"),
        ("ada", "has to begin with its algorithm"),
        ("ssh-ed25519", "nothing behind the algorithm"),
        (algorithm, "nothing behind the algorithm"),
        ("ssh-ed25519 AAAA", "no such key"),
        ("ssh-ed25519 ada@laptop", "no such key"),
        (&format!("ssh-ed25519 {}", &base64[..base64.len() - 4]), "no such key"),
        (&format!("ssh-ed25519 {base64}AAAA"), "no such key"),
        (&format!("ssh-ed25519 {base64}="), "no such key"),
        (&format!("ssh-rsa {base64}"), "no such key"),
        (&format!("ssh-dss {base64}"), "too weak"),
        (DSA, "too weak"),
        (RSA_1024, "1024 bits"),
        (CERTIFICATE, "certificate"),
        (base64, "has to begin with its algorithm"),
        (&format!("SSH-ED25519 {base64}"), "has to begin with its algorithm"),
        (&format!("command=\"/bin/sh\" {ED25519}"), "options"),
        (&format!("no-pty,from=\"10.0.0.0/8\" {ED25519}"), "options"),
        (&format!("restrict\t{ED25519}"), "options"),
        (&format!("{ED25519}\n{P256}"), "one line"),
        (&format!("{ED25519} ada\nssh-ed25519 {other}"), "one line"),
        (&format!("{ED25519} ada\rssh-ed25519 {other}"), "one line"),
        (&format!("{ED25519} ada\0"), "one line"),
        (&format!("{ED25519} ada\u{85}"), "one line"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----",
            "private key",
        ),
        ("---- BEGIN SSH2 PUBLIC KEY ----", "has to begin with its algorithm"),
        (&long, "4177 bytes"),
        ("ssh-ed25519\u{a0}AAAA", "has to begin with its algorithm"),
    ];
    for (text, expected) in table {
        let reason = reason(text);
        assert!(reason.contains(expected), "{text:?} was refused with {reason:?}");
        assert!(!reason.contains("AAAA") && !reason.contains("b3Bl"), "{reason:?} repeats what was sent");
    }
}

/// A key of RSA with such an exponent and modulus, as RFC 4253 writes it.
fn rsa(exponent: &[u8], modulus: &[u8]) -> String {
    let mut bytes = Vec::new();
    for part in [b"ssh-rsa".as_slice(), exponent, modulus] {
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(part);
    }
    format!("ssh-rsa {}", data_encoding::BASE64.encode(&bytes))
}

#[test]
fn an_rsa_key_has_a_modulus_and_an_exponent_that_there_can_be() {
    let modulus = |bytes: usize, last: u8| {
        // Its highest bit is set, so it begins with a zero: it is a positive number.
        let mut modulus = vec![0xC5; bytes];
        modulus[0] = 0;
        modulus[bytes - 1] = last;
        modulus
    };
    let exponent = [1, 0, 1];
    assert!(SshPublicKey::parse(&rsa(&exponent, &modulus(257, 7))).is_ok());
    let mut short = modulus(257, 7);
    short[1] = 0x7F;
    assert!(reason(&rsa(&exponent, &short[1..])).contains("2047 bits"));
    assert!(reason(&rsa(&exponent, &modulus(257, 8))).contains("such a modulus"));
    assert!(reason(&rsa(&[1], &modulus(257, 7))).contains("such a modulus"));
    assert!(reason(&rsa(&[2], &modulus(257, 7))).contains("such a modulus"));
    // The same number written in two ways would be two keys.
    let mut padded = vec![0, 0];
    padded.extend(modulus(257, 7));
    assert!(reason(&rsa(&exponent, &padded)).contains("no such key"));
    assert!(reason(&rsa(&exponent, &modulus(257, 7)[1..])).contains("above zero"));
    assert!(reason(&rsa(&exponent, &modulus(2050, 7))).contains("16392 bits"));
}
