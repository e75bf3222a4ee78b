//! Secrets through every operation: they are in nothing that is printed, logged, answered as an error, serialized or kept.

use std::fmt::{Debug, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD, HEXLOWER};
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::ControlPlane;
use crate::entity::{
    ApiKeyFilter, ListPage, LogFilter, PageRequest, SecretText, SessionFilter, SshKeyFilter, TABLES,
    TotpAlgorithm, UserFilter, UserId,
};
use crate::error::Result;
use crate::id::TimeOrderedIds;
use crate::identity::{
    Caller, HostKey, IdentityOptions, KeyRing, Origin, PasswordPolicy, TotpParameters, TotpPolicy,
};
use crate::plane::{
    Confirmation, LogIn, Message, NewAdministrator, NewApiKey, Options, SecondFactor, SignUp,
};
use crate::store::{Cursor, MAX_CHANGES, Scan, Store, StoreExt as _};
use crate::time::{Clock as _, ManualClock};

/// What was said while secrets went through every operation, and the secrets.
pub struct Overheard {
    secrets: Vec<(String, Vec<u8>)>,
    said: Arc<Mutex<String>>,
}

impl Debug for Overheard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overheard").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

/// Puts secrets through every operation of identity, on a store that was opened with [`TABLES`] and with this clock, and listens
/// to everything that is logged at trace level. It makes itself the subscriber of the process, so it has to be alone in it.
///
/// # Panics
/// Where a secret was printed, logged, part of an error, or serialized; or where an operation fails that should not.
pub async fn check_secrets(store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Overheard {
    let said = Arc::new(Mutex::new(String::new()));
    let listening = Listening { said: Arc::clone(&said), spans: AtomicU64::new(1) };
    tracing::subscriber::set_global_default(listening).unwrap();
    let mut told = Story::new(store, clock, said);
    told.accounts().await;
    told.second_factor().await;
    told.keys().await;
    told.other_ways().await;
    told.what_is_kept().await;
    let overheard = Overheard { secrets: told.secrets, said: told.said };
    let said = overheard.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(said.contains("check_session") && said.contains("(secret)"), "nothing was overheard");
    overheard.is_nowhere_in("what was said", said.as_bytes());
    overheard
}

impl Overheard {
    /// Looks for the secrets among bytes, such as those of a file of the store.
    ///
    /// # Panics
    /// Where one is there.
    pub fn is_nowhere_in(&self, what: &str, bytes: &[u8]) {
        let text = as_text(bytes);
        for (name, secret) in &self.secrets {
            if let Some(at) = text.find(&as_text(secret)) {
                let before: String = text[..at].chars().rev().take(200).collect();
                panic!("{name} is in {what}, behind {:?}", before.chars().rev().collect::<String>());
            }
        }
    }
}

/// Each byte as a character: texts are searched faster.
fn as_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// A control plane, and everything secret that went in or came out.
struct Story {
    cloud: Arc<ControlPlane>,
    clock: Arc<ManualClock>,
    secrets: Vec<(String, Vec<u8>)>,
    said: Arc<Mutex<String>>,
}

const EMAIL: &str = "ada@example.org";
const HOST_KEY: [u8; 32] = *b"a host key of thirty-two bytes!!";

fn origin() -> Origin {
    Origin::ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))).agent("a browser")
}

impl Story {
    fn new(store: Arc<dyn Store>, clock: Arc<ManualClock>, said: Arc<Mutex<String>>) -> Self {
        // Codes so long that none is anywhere by chance.
        let codes = TotpParameters::default().digits(10).char_set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567");
        let totp = TotpPolicy::default().parameters(codes.algorithm(TotpAlgorithm::Sha256)).unwrap();
        let identity = IdentityOptions::default()
            .keys(KeyRing::new(HostKey::new(1, HOST_KEY)))
            .passwords(PasswordPolicy::default().cost(64, 1, 1))
            .totp(totp);
        let ids = Arc::new(TimeOrderedIds::new(Arc::<ManualClock>::clone(&clock)));
        let options = Options::default().identity(identity).ids(ids);
        let mut secrets = vec![
            ("the host's key".to_owned(), HOST_KEY.to_vec()),
            ("the host's key in hexadecimal".to_owned(), HEXLOWER.encode(&HOST_KEY).into_bytes()),
        ];
        let numbers = format!("{HOST_KEY:?}");
        secrets.push(("the host's key as numbers".to_owned(), numbers.as_bytes()[1..40].to_vec()));
        let told = Self { cloud: Arc::new(ControlPlane::with(store, options)), clock, secrets, said };
        told.prints(&told.cloud);
        told
    }

    /// Something that must not be anywhere.
    fn secret(&mut self, name: &str, secret: &SecretText) -> SecretText {
        self.secrets.push((name.to_owned(), secret.expose().as_bytes().to_vec()));
        // Of a token the random part, too, as it would be kept in a column of bytes.
        if let Some(body) = secret.expose().strip_prefix("aps_")
            && let Ok(bytes) = BASE64URL_NOPAD.decode(body.as_bytes())
        {
            self.secrets.push((format!("the bits of {name}"), bytes[16..].to_vec()));
        }
        secret.clone()
    }

    fn password(&mut self, name: &str) -> SecretText {
        self.secret(name, &SecretText::new(format!("{name}, correct horse")))
    }

    /// Prints a value.
    fn prints(&self, value: &impl Debug) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(said, "{value:?} {value:#?}").unwrap();
    }

    /// An answer, with what an error says.
    fn answered<T: Debug>(&self, answer: Result<T>) -> Option<T> {
        self.prints(&answer);
        if let Err(error) = &answer {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(said, "{error} {:?}", std::error::Error::source(error).map(ToString::to_string))
                .unwrap();
        }
        answer.ok()
    }

    /// The answer of something that succeeds.
    fn done<T: Debug>(&self, answer: Result<T>) -> T {
        self.answered(answer).unwrap()
    }

    /// Checks that something was refused.
    fn refused<T: Debug>(&self, answer: Result<T>) {
        assert!(self.answered(answer).is_none(), "it was not refused");
    }

    /// The secrets in messages.
    fn mailed(&mut self, messages: Vec<Message>) -> SecretText {
        self.prints(&messages);
        let mut last = SecretText::new("");
        for message in messages {
            last = match &message {
                Message::ConfirmEmail { link_token, code, .. } => {
                    self.secret("a mailed link", link_token);
                    self.secret("a mailed code", code);
                    link_token.clone()
                }
                Message::Invitation { code, .. }
                | Message::ResetPassword { code, .. }
                | Message::ConfirmNewEmail { code, .. } => self.secret("a mailed code", code),
                _ => last,
            };
        }
        last
    }

    async fn log_in(&mut self, email: &str, password: &SecretText) -> SecretText {
        let request = LogIn::new(email, password.clone(), origin());
        self.prints(&request);
        let login = self.done(self.cloud.log_in(request).await);
        self.secret("a session's token", &login.token)
    }

    async fn accounts(&mut self) {
        let cloud = Arc::clone(&self.cloud);
        let (first, wrong) = (self.password("the first password"), self.password("a wrong password"));
        let request = NewAdministrator::new("root@example.org", "Root", first.clone());
        self.prints(&request);
        self.done(cloud.create_first_administrator(request).await);
        let request = SignUp::new(EMAIL, "Ada", first.clone());
        self.prints(&request);
        let link = self.mailed(cloud.sign_up(request).await.unwrap());
        let false_link = self.secret("a false link", &SecretText::new("apl_a false link of a stranger"));
        let code = self.secret("a false code", &SecretText::new("FALSECODE"));
        let by_code = Confirmation::Code { email: EMAIL.into(), code };
        self.prints(&by_code);
        self.refused(cloud.confirm_email(&Confirmation::Link(false_link), first.clone()).await);
        self.refused(cloud.confirm_email(&by_code, first.clone()).await);
        let by_link = Confirmation::Link(link);
        self.prints(&by_link);
        self.refused(cloud.confirm_email(&by_link, wrong.clone()).await);
        let user = self.done(cloud.confirm_email(&by_link, first.clone()).await).id;
        self.refused(cloud.log_in(LogIn::new(EMAIL, wrong.clone(), origin())).await);
        let short = self.secret("a short password", &SecretText::new("sHoRt!"));
        self.refused(cloud.sign_up(SignUp::new("eve@example.org", "Eve", short)).await);
        let token = self.log_in(EMAIL, &first).await;
        self.prints(&self.done(cloud.authenticate(&token, origin()).await));
        let rotated = self.done(cloud.rotate_session(&token).await);
        let rotated = self.secret("a rotated token", &rotated.token);
        self.refused(cloud.check_session(&token, origin()).await);
        self.prints(&cloud.acting(self.done(cloud.check_session(&rotated, origin()).await)));
        self.done(cloud.list_sessions(user).await);
        let second = self.password("the second password");
        self.refused(cloud.change_password(user, wrong, second.clone(), None).await);
        self.done(cloud.change_password(user, first, second, None).await);
        let code = self.mailed(cloud.request_password_reset(EMAIL).await.unwrap());
        let third = self.password("the third password");
        let false_code = self.secret("another false code", &SecretText::new("NOTTHATCODE"));
        self.refused(cloud.reset_password(EMAIL, &false_code, third.clone()).await);
        self.done(cloud.reset_password(EMAIL, &code, third).await);
        let code = self.mailed(cloud.request_email_change(user, "ada@example.net").await.unwrap());
        self.refused(cloud.change_email(user, &false_code).await);
        self.done(cloud.change_email(user, &code).await);
        let code = self.mailed(cloud.invite("guest@example.org").await.unwrap());
        let request = SignUp::new("guest@example.org", "Guest", self.password("a guest's password"));
        self.refused(cloud.accept_invitation(request.clone(), &false_code).await);
        self.done(cloud.accept_invitation(request, &code).await);
    }

    async fn ada(&self) -> UserId {
        self.cloud.repositories().users().find_by_email("ada@example.net").await.unwrap().unwrap().id
    }

    async fn second_factor(&mut self) {
        let (cloud, user) = (Arc::clone(&self.cloud), self.ada().await);
        let third = SecretText::new("the third password, correct horse");
        let enrolment = self.done(cloud.begin_totp(user).await);
        self.secret("the secret of an authenticator", &enrolment.secret);
        self.secret("the uri of an authenticator", &enrolment.uri);
        let key = BASE32_NOPAD.decode(enrolment.secret.expose().as_bytes()).unwrap();
        self.secrets.push(("the key of an authenticator".to_owned(), key.clone()));
        let totp = enrolment.parameters;
        let code = |clock: &ManualClock, later| totp.code(&key, totp.step(clock.now()) + later);
        let false_code = self.secret("a false code of an authenticator", &SecretText::new("FALSEFALSE"));
        self.refused(cloud.confirm_totp(user, &false_code, None).await);
        let now = self.secret("a code of an authenticator", &code(&self.clock, 0));
        for recovery in self.done(cloud.confirm_totp(user, &now, None).await) {
            self.secret("a recovery code", &recovery);
        }
        self.clock.advance(Duration::from_mins(1));
        let token = self.log_in("ada@example.net", &third).await;
        let wrong = SecondFactor::Totp(false_code.clone());
        self.prints(&wrong);
        self.refused(cloud.finish_log_in(&token, &wrong, &origin()).await);
        let right = SecondFactor::Totp(self.secret("another code", &code(&self.clock, 0)));
        let full = self.done(cloud.finish_log_in(&token, &right, &origin()).await);
        let full = self.secret("a full session's token", &full.token);
        self.clock.advance(Duration::from_mins(1));
        let again = SecondFactor::Totp(self.secret("a third code", &code(&self.clock, 0)));
        self.done(cloud.verify_again(&full, &again).await);
        let mut codes = self.done(cloud.renew_recovery_codes(user).await);
        for recovery in &codes {
            self.secret("a new recovery code", recovery);
        }
        let token = self.log_in("ada@example.net", &third).await;
        let recovery = SecondFactor::Recovery(codes.remove(0));
        self.prints(&recovery);
        let full = self.done(cloud.finish_log_in(&token, &recovery, &origin()).await);
        self.secret("a recovered session's token", &full.token);
        self.refused(cloud.verify_again(&full.token, &SecondFactor::Recovery(false_code)).await);
        self.done(cloud.reseal_secrets(None).await);
    }

    async fn keys(&mut self) {
        let (cloud, user) = (Arc::clone(&self.cloud), self.ada().await);
        let made = self.done(cloud.create_api_key(user, NewApiKey::new("ci", ["*:*"])).await);
        let secret = self.secret("an API key", &made.secret);
        let caller = self.done(cloud.authenticate(&secret, origin()).await);
        self.prints(&cloud.acting(caller));
        let new = self.done(cloud.rotate_api_key(user, made.key.id, Duration::from_mins(1)).await);
        self.secret("a rotated API key", &new.secret);
        self.done(cloud.list_api_keys(user).await);
        self.done(cloud.revoke_api_key(user, made.key.id).await);
        self.refused(cloud.authenticate(&secret, origin()).await);
        let stranger =
            self.secret("a key of a stranger", &SecretText::new("apk_a key that a stranger has made up"));
        self.refused(cloud.authenticate(&stranger, origin()).await);
        let pasted =
            "-----BEGIN OPENSSH PRIVATE KEY-----\nbm90IG9uZSBvZiBvdXJz\n-----END OPENSSH PRIVATE KEY-----";
        self.secret("a private key", &SecretText::new("bm90IG9uZSBvZiBvdXJz"));
        self.refused(cloud.add_ssh_key(user, "laptop", pasted).await);
    }

    async fn other_ways(&mut self) {
        let (cloud, user) = (Arc::clone(&self.cloud), self.ada().await);
        let acting = cloud.acting(Caller::trusted(user));
        let made = self.done(acting.create_api_key(user, NewApiKey::new("ci", ["read:*"])).await);
        self.secret("an API key on behalf", &made.secret);
        let (wrong, new) = (self.password("another wrong password"), self.password("the fourth password"));
        self.refused(acting.change_password(user, wrong, new.clone()).await);
        let third = SecretText::new("the third password, correct horse");
        self.done(acting.change_password(user, third, new).await);
        self.done(acting.disable_totp(user).await);
        self.done(cloud.link(user, crate::plane::ProviderAccount::new("github", "1")).await);
        self.done(acting.remove_password(user).await);
        self.done(cloud.flush_refusals().await);
        self.done(cloud.seal_audit(1000).await);
        self.done(cloud.verify_audit(None).await);
    }

    /// Prints every row, every record of the feed, and everything that can be serialized.
    async fn what_is_kept(&mut self) {
        let (store, repositories) = (self.cloud.store(), self.cloud.repositories());
        for table in TABLES {
            self.prints(&store.scan_all(Scan::of(table).limit(1000)).await.unwrap());
        }
        let mut after = Cursor::START;
        loop {
            let changes = store.changes(after, MAX_CHANGES).await.unwrap();
            self.prints(&changes);
            after = changes.next;
            if changes.lag == 0 {
                break;
            }
        }
        let page = PageRequest::default().limit(1000);
        self.serialized(repositories.users().list(UserFilter::default(), page.clone()).await);
        self.serialized(repositories.passwords().list(page.clone()).await);
        self.serialized(repositories.sessions().list(SessionFilter::default(), page.clone()).await);
        self.serialized(repositories.api_keys().list(ApiKeyFilter::default(), page.clone()).await);
        self.serialized(repositories.ssh_keys().list(SshKeyFilter::default(), page.clone()).await);
        self.serialized(repositories.logs().list(LogFilter::default(), page).await);
    }

    fn serialized<T: Serialize + Debug>(&self, listed: Result<ListPage<T>>) {
        let listed = self.done(listed);
        for entry in &listed.entries {
            let json = serde_json::to_string(&entry.value).unwrap();
            self.prints(&json);
        }
    }
}

/// Keeps everything that is logged.
struct Listening {
    said: Arc<Mutex<String>>,
    spans: AtomicU64,
}

struct Words<'s>(&'s mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Listening {
    fn hear(&self, metadata: Option<&Metadata<'_>>, record: impl FnOnce(&mut Words<'_>)) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metadata) = metadata {
            said.push_str(metadata.name());
        }
        record(&mut Words(&mut said));
        said.push('\n');
    }
}

impl Subscriber for Listening {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.hear(Some(span.metadata()), |words| span.record(words));
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.hear(None, |words| values.record(words));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.hear(Some(event.metadata()), |words| event.record(words));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
