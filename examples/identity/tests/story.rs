//! The story is told to its end.

use std::process::Command;

#[test]
fn whoever_is_refused_is_told_why_and_everything_is_in_the_audit_trail() {
    let output = Command::new(env!("CARGO_BIN_EXE_identity")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "mail to ada@example.org: confirm your address",
        "a login before that: the credentials were refused",
        "10 recovery codes",
        "the password alone: awaiting_second_factor",
        "with a code: full",
        "SHA256:yLRbEKECRqrumbCVcUVE3wP+dxr+nLIoUn/dJhgOpLY",
        "it launches: training running",
        "she herself is not kept out",
        "user.sign_up         from 192.0.2.7",
        "instance.delete      from 198.51.100.9    refused",
        "user.log_in          from 192.0.2.7       refused",
        "api_key.create       from 198.51.100.9    refused",
        " 0 are wrong",
        "while the user is the last administrator",
    ] {
        assert!(said.contains(expected), "{expected:?} is not said in\n{said}");
    }
}
