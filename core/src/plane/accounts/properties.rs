//! Whatever is done to accounts, in whatever order: an administrator is left, what was ended stays ended, no code works twice,
//! and nobody loses the last way in.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::ControlPlane;
use crate::entity::{
    AccessState, ConnectionFilter, LOGIN_WAYS, PageRequest, SecretText, SessionState, TABLES, UserFilter,
    UserId, UserPermission,
};
use crate::error::{Error, Result};
use crate::id::TimeOrderedIds;
use crate::identity::{
    ConnectionPolicy, HostKey, IdentityOptions, KeyRing, Origin, PasswordPolicy, SeededEntropy,
    TotpParameters,
};
use crate::plane::{
    Confirmation, LogIn, LogInThrough, Message, NewAdministrator, Options, ProviderAccount, SecondFactor,
    SignUp,
};
use crate::store::StoreExt as _;
use crate::store::memory::MemoryStore;
use crate::time::{Clock as _, ManualClock, Timestamp};

/// What may happen next; a number says to which person, session or account.
#[derive(Clone, Copy, Debug)]
enum Step {
    SignUp(u8),
    Confirm(u8),
    LogIn(u8),
    LogInThrough(u8),
    Rotate(u8),
    EndSession(u8),
    EndOthers(u8),
    EndAll(u8),
    ChangePassword(u8),
    RequestReset(u8),
    Reset(u8),
    RemovePassword(u8),
    Link(u8, u8),
    Unlink(u8, u8),
    SetUpTotp(u8),
    DisableTotp(u8),
    Deactivate(u8),
    Activate(u8),
    Promote(u8),
    Demote(u8),
    Delete(u8),
    ReplayCodes,
    Wait(u16),
}

const PEOPLE: u8 = 4;

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..PEOPLE;
    prop_oneof![
        3 => who().prop_map(Step::SignUp),
        4 => who().prop_map(Step::Confirm),
        6 => who().prop_map(Step::LogIn),
        3 => who().prop_map(Step::LogInThrough),
        2 => any::<u8>().prop_map(Step::Rotate),
        2 => any::<u8>().prop_map(Step::EndSession),
        1 => any::<u8>().prop_map(Step::EndOthers),
        1 => who().prop_map(Step::EndAll),
        2 => who().prop_map(Step::ChangePassword),
        2 => who().prop_map(Step::RequestReset),
        2 => who().prop_map(Step::Reset),
        2 => who().prop_map(Step::RemovePassword),
        4 => (who(), who()).prop_map(|(who, account)| Step::Link(who, account)),
        3 => (who(), any::<u8>()).prop_map(|(who, at)| Step::Unlink(who, at)),
        2 => who().prop_map(Step::SetUpTotp),
        1 => who().prop_map(Step::DisableTotp),
        2 => who().prop_map(Step::Deactivate),
        2 => who().prop_map(Step::Activate),
        2 => who().prop_map(Step::Promote),
        3 => who().prop_map(Step::Demote),
        1 => who().prop_map(Step::Delete),
        2 => Just(Step::ReplayCodes),
        2 => any::<u16>().prop_map(Step::Wait),
    ]
}

/// A code that was accepted, which must never be again.
#[derive(Clone, Debug)]
enum Spent {
    Link(SecretText, u8),
    Reset(SecretText, u8),
    Totp(SecretText, UserId),
}

/// A person, as they know themselves.
#[derive(Clone, Debug, Default)]
struct Person {
    id: Option<UserId>,
    password: u32,
    link: Option<SecretText>,
    reset: Option<SecretText>,
    totp: Option<Vec<u8>>,
    /// Whether there was a way in at some time.
    had_a_way: bool,
}

/// A token that somebody has, of the person with this id.
#[derive(Clone, Debug)]
struct Held {
    token: SecretText,
    user: UserId,
    ended: bool,
}

struct World {
    cloud: ControlPlane,
    clock: Arc<ManualClock>,
    people: Vec<Person>,
    tokens: Vec<Held>,
    spent: Vec<Spent>,
}

fn password(number: u32) -> SecretText {
    SecretText::new(format!("correct horse battery {number}"))
}

fn email(who: u8) -> String {
    format!("person-{who}@example.org")
}

fn account(number: u8) -> ProviderAccount {
    ProviderAccount::new("github", format!("account-{number}")).verified_email(email(number))
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
        let store = Arc::new(MemoryStore::new(TABLES, Arc::<ManualClock>::clone(&clock)).unwrap());
        let identity = IdentityOptions::default()
            .keys(KeyRing::new(HostKey::new(1, [7; 32])))
            .entropy(Arc::new(SeededEntropy::new(1)))
            .connections(ConnectionPolicy::default().vouching("github"))
            .passwords(PasswordPolicy::default().cost(64, 1, 1));
        let ids = Arc::new(TimeOrderedIds::new(Arc::<ManualClock>::clone(&clock)));
        let cloud = ControlPlane::with(store, Options::default().identity(identity).ids(ids));
        let first = NewAdministrator::new(email(0), "Person", password(0));
        let first = cloud.create_first_administrator(first).await.unwrap().id;
        let mut people = vec![Person::default(); usize::from(PEOPLE)];
        (people[0].id, people[0].had_a_way) = (Some(first), true);
        Self { cloud, clock, people, tokens: Vec::new(), spent: Vec::new() }
    }

    fn person(&mut self, who: u8) -> &mut Person {
        &mut self.people[usize::from(who)]
    }

    /// Every token of a user has ended, but one.
    fn ended(&mut self, user: UserId, but: Option<&SecretText>) {
        for token in &mut self.tokens {
            token.ended |= token.user == user && Some(&token.token) != but;
        }
    }

    fn code(&self, secret: &[u8]) -> SecretText {
        let totp = TotpParameters::default();
        totp.code(secret, totp.step(self.clock.now()))
    }

    /// A login that was let in becomes a token, by the authenticator where there is one.
    async fn enter(&mut self, who: u8, login: crate::plane::LoggedIn) -> Result<()> {
        let user = login.session.user_id;
        let mut login = login;
        if login.session.state == SessionState::AwaitingSecondFactor {
            let secret = self.person(who).totp.clone().unwrap();
            let code = self.code(&secret);
            let factor = SecondFactor::Totp(code.clone());
            let half = login.token.clone();
            login = self.cloud.finish_log_in(&half, &factor, &Origin::unknown()).await?;
            self.spent.push(Spent::Totp(code, user));
            self.tokens.push(Held { token: half, user, ended: true });
        }
        self.tokens.push(Held { token: login.token, user, ended: false });
        Ok(())
    }

    #[expect(clippy::too_many_lines, reason = "a step is a line or two, and there are many")]
    async fn take(&mut self, step: Step) -> Result<()> {
        let id = |world: &Self, who: u8| world.people[usize::from(who)].id.ok_or(Error::Unauthenticated);
        match step {
            Step::SignUp(who) => {
                let number = self.person(who).password + 1;
                let request = SignUp::new(email(who), "Person", password(number));
                let sent = self.cloud.sign_up(request).await?;
                if let Some(Message::ConfirmEmail { link_token, .. }) = sent.into_iter().next() {
                    let found = self.cloud.repositories().users().find_by_email(&email(who)).await?;
                    let person = self.person(who);
                    (person.link, person.password) = (Some(link_token), number);
                    (person.id, person.had_a_way) = (found.map(|user| user.id), true);
                }
            }
            Step::Confirm(who) => {
                let link = self.person(who).link.clone().ok_or(Error::Unauthenticated)?;
                let known = password(self.person(who).password);
                self.cloud.confirm_email(&Confirmation::Link(link.clone()), known).await?;
                self.spent.push(Spent::Link(link, who));
            }
            Step::LogIn(who) => {
                let known = password(self.person(who).password);
                let login = self.cloud.log_in(LogIn::new(email(who), known, Origin::unknown())).await?;
                self.enter(who, login).await?;
            }
            Step::LogInThrough(number) => {
                let login = self.cloud.log_in_through(account(number), Origin::unknown()).await?;
                if let LogInThrough::LoggedIn(login, _) = login {
                    let user = login.session.user_id;
                    let who = self.people.iter().position(|person| person.id == Some(user)).unwrap();
                    self.enter(u8::try_from(who).unwrap(), login).await?;
                }
            }
            Step::Rotate(at) => {
                let Some(old) = self.pick(at) else { return Ok(()) };
                let new = self.cloud.rotate_session(&self.tokens[old].token.clone()).await?;
                assert!(!self.tokens[old].ended, "what was ended was given another token");
                self.tokens[old].ended = true;
                let user = self.tokens[old].user;
                self.tokens.push(Held { token: new.token, user, ended: false });
            }
            Step::EndSession(at) | Step::EndOthers(at) => {
                let Some(at) = self.pick(at) else { return Ok(()) };
                let Held { token, user, .. } = self.tokens[at].clone();
                let caller = self.cloud.check_session(&token, Origin::unknown()).await?;
                let session = caller.session().unwrap();
                if matches!(step, Step::EndSession(_)) {
                    self.cloud.end_session(user, session).await?;
                    self.tokens[at].ended = true;
                } else {
                    self.cloud.end_other_sessions(user, session).await?;
                    self.ended(user, Some(&token));
                }
            }
            Step::EndAll(who) => {
                let user = id(self, who)?;
                self.cloud.end_all_sessions(user).await?;
                self.ended(user, None);
            }
            Step::ChangePassword(who) => {
                let (user, old) = (id(self, who)?, self.person(who).password);
                self.cloud.change_password(user, password(old), password(old + 1), None).await?;
                self.person(who).password = old + 1;
                self.ended(user, None);
            }
            Step::RequestReset(who) => {
                let sent = self.cloud.request_password_reset(&email(who)).await?;
                if let Some(Message::ResetPassword { code, .. }) = sent.into_iter().next() {
                    self.person(who).reset = Some(code);
                }
            }
            Step::Reset(who) => {
                let code = self.person(who).reset.clone().ok_or(Error::Unauthenticated)?;
                let number = self.person(who).password + 1;
                self.cloud.reset_password(&email(who), &code, password(number)).await?;
                self.person(who).password = number;
                self.spent.push(Spent::Reset(code, who));
                let user = id(self, who)?;
                self.ended(user, None);
            }
            Step::RemovePassword(who) => {
                let user = id(self, who)?;
                self.cloud.remove_password(user, None).await?;
                self.ended(user, None);
            }
            Step::Link(who, number) => {
                let user = id(self, who)?;
                self.cloud.link(user, account(number)).await?;
                self.person(who).had_a_way = true;
            }
            Step::Unlink(who, at) => {
                let user = id(self, who)?;
                let all = self.cloud.list_connections(user).await?;
                if let Some(one) = all.get(usize::from(at) % all.len().max(1)) {
                    self.cloud.unlink(user, one.id).await?;
                }
            }
            Step::SetUpTotp(who) => {
                let user = id(self, who)?;
                let enrolment = self.cloud.begin_totp(user).await?;
                let secret =
                    data_encoding::BASE32_NOPAD.decode(enrolment.secret.expose().as_bytes()).unwrap();
                let code = self.code(&secret);
                self.cloud.confirm_totp(user, &code, None).await?;
                self.person(who).totp = Some(secret);
                self.spent.push(Spent::Totp(code, user));
                self.ended(user, None);
            }
            Step::DisableTotp(who) => {
                let user = id(self, who)?;
                self.cloud.disable_totp(user, None).await?;
                self.person(who).totp = None;
                self.ended(user, None);
            }
            Step::Deactivate(who) => {
                let user = id(self, who)?;
                self.cloud.deactivate(user).await?;
                self.ended(user, None);
            }
            Step::Activate(who) => {
                let user = id(self, who)?;
                self.cloud.activate(user).await?;
            }
            Step::Promote(who) => drop(self.cloud.promote(id(self, who)?).await?),
            Step::Demote(who) => drop(self.cloud.demote(id(self, who)?).await?),
            Step::Delete(who) => {
                let user = id(self, who)?;
                self.cloud.delete_user(user).await?;
                self.ended(user, None);
                let number = self.person(who).password;
                *self.person(who) = Person { password: number, ..Person::default() };
            }
            Step::ReplayCodes => self.replay().await,
            Step::Wait(seconds) => self.clock.advance(Duration::from_secs(u64::from(seconds))),
        }
        Ok(())
    }

    fn pick(&self, at: u8) -> Option<usize> {
        (!self.tokens.is_empty()).then(|| usize::from(at) % self.tokens.len())
    }

    /// Nothing that was accepted is accepted again.
    async fn replay(&mut self) {
        for spent in self.spent.clone() {
            let again = match &spent {
                Spent::Link(link, who) => {
                    let known = password(self.people[usize::from(*who)].password);
                    self.cloud.confirm_email(&Confirmation::Link(link.clone()), known).await.is_ok()
                }
                Spent::Reset(code, who) => {
                    self.cloud.reset_password(&email(*who), code, password(9999)).await.is_ok()
                }
                Spent::Totp(code, user) => self.totp_is_taken(*user, code).await,
            };
            assert!(!again, "{spent:?} worked twice");
        }
    }

    /// Whether a code proves the second factor in some session of a user that is not ended.
    async fn totp_is_taken(&self, user: UserId, code: &SecretText) -> bool {
        let factor = SecondFactor::Totp(code.clone());
        for token in self.tokens.iter().filter(|token| token.user == user && !token.ended) {
            if self.cloud.verify_again(&token.token, &factor).await.is_ok() {
                return true;
            }
        }
        false
    }

    async fn holds(&self) {
        let repositories = self.cloud.repositories();
        let filter = UserFilter { permission: Some(UserPermission::Administrator), activated: None };
        let administrators = repositories.users().list(filter, PageRequest::default()).await.unwrap().entries;
        let mut acting = 0;
        for one in &administrators {
            let access = repositories.user_access().require(one.id).await.unwrap();
            acting += usize::from(access.state == AccessState::Active);
        }
        assert!(acting > 0, "no administrator is left");
        for token in self.tokens.iter().filter(|token| token.ended) {
            let checked = self.cloud.check_session(&token.token, Origin::unknown()).await;
            assert!(matches!(checked, Err(Error::Unauthenticated)), "a session outlives its end");
        }
        for person in &self.people {
            let Some(user) = person.id else { continue };
            let counted = self.cloud.store().get(&LOGIN_WAYS, user).await.unwrap().value;
            let counted = counted.map_or(0, |row| row.int("ways").unwrap());
            let of = ConnectionFilter { user_id: Some(user) };
            let connections =
                repositories.connections().list(of, PageRequest::default()).await.unwrap().entries;
            let password = repositories.passwords().get(user).await.unwrap().is_some();
            let there = connections.len() + usize::from(password);
            assert_eq!(counted, i64::try_from(there).unwrap(), "the ways in are counted wrongly");
            assert!(there > 0 || !person.had_a_way, "the last way in was lost");
        }
        let audit = self.cloud.audit().await.unwrap();
        assert!(audit.is_clean(), "{audit:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_to_accounts_keeps_what_is_promised(
        steps in prop::collection::vec(step(), 10..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                // Much of it is refused: what matters is what holds afterwards.
                let _ = world.take(step).await;
                world.holds().await;
            }
            world.replay().await;
        });
    }
}
