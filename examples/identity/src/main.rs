//! From the sign-up to the audit: accounts, logins and keys of a cloud.
//!
//! `cargo run -p identity` keeps everything in a temporary folder.

mod cloud;
mod mail;
mod phone;
mod requests;

use std::net::{IpAddr, Ipv4Addr};

use apportion::amount::CpuMilli;
use apportion::entity::{LogFilter, LogOutcome, PageRequest, SecretText};
use apportion::error::Error;
use apportion::identity::Origin;
use apportion::plane::{LaunchRequest, NewAdministrator, NewApiKey, NewNode};

/// What a step of the story comes to.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ADA: &str = "ada@example.org";
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN4vU1slaK0tXpVXtEY3Ggb5kNerhvBqjAK4/kZkxO4+ ada@laptop";

fn password() -> SecretText {
    SecretText::new("a long enough password")
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let cloud = &*cloud::open(&folder.path().join("identity.redb"))?;
    let laptop = Origin::ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))).agent("a browser");
    let elsewhere = Origin::ip(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9)));

    // Whoever installs the cloud makes its first administrator. There is one first one, however many try.
    let first = NewAdministrator::new("grace@example.org", "Grace", password());
    let grace = cloud.create_first_administrator(first).await?;
    cloud.seed_roles().await?;

    println!("Ada signs up, and confirms her address:");
    let messages = requests::sign_up(cloud, ADA, "Ada", password(), &laptop).await?;
    let too_early = requests::log_in(cloud, ADA, password(), None, &laptop).await;
    refused("  a login before that", too_early)?;
    let link = mail::link(&messages).ok_or("no mail came")?;
    requests::confirm(cloud, link, password(), &laptop).await?;

    println!("She logs in, and sets up an authenticator:");
    let login = requests::log_in(cloud, ADA, password(), None, &laptop).await?;
    let (ada, session) = (login.session.user_id, login.session.id);
    let browser = requests::acting(cloud, &login.token, &laptop).await?;
    let enrolment = browser.begin_totp(ada).await?;
    let phone = phone::scan(&enrolment)?;
    let recovery_codes = browser.confirm_totp(ada, &phone.code(0)).await?;
    println!("  {} recovery codes to keep on paper", recovery_codes.len());
    browser.end_session(ada, session).await?;
    refused("  the old session", requests::acting(cloud, &login.token, &laptop).await)?;

    println!("From now on a password is half a login:");
    let half = requests::log_in(cloud, ADA, password(), None, &laptop).await?;
    println!("  the password alone: {}", half.session.state);
    refused("  its token", requests::acting(cloud, &half.token, &laptop).await)?;
    // A code works once, and that of now was spent on the confirmation; the next one is good half a minute early.
    let login = requests::log_in(cloud, ADA, password(), Some(phone.code(1)), &laptop).await?;
    println!("  with a code: {}", login.session.state);
    let browser = requests::acting(cloud, &login.token, &laptop).await?;
    let key = browser.add_ssh_key(ada, "laptop", SSH_KEY).await?;
    println!("  an SSH key: {} {}", key.algorithm, key.fingerprint);

    println!("She makes an API key for her scripts:");
    browser.register_node(NewNode::new(ada, "rack-1").cpu(CpuMilli::from_u32(32_000))).await?;
    let scopes = ["create:instance", "read:instance", "use:compute_node"];
    let made = browser.create_api_key(ada, NewApiKey::new("scripts", scopes)).await?;
    println!("  {}…, shown once", made.key.hint);
    let script = requests::acting(cloud, &made.secret, &elsewhere).await?;
    let request =
        LaunchRequest::new(ada, "training").cpu(CpuMilli::from_u32(8_000)).ssh_key("laptop", SSH_KEY);
    let training = script.launch(request).await?;
    println!("  it launches: {} {}", training.name, training.state);
    refused("  it deletes", script.delete(training.id).await)?;
    refused(
        "  it makes a key that may more",
        script.create_api_key(ada, NewApiKey::new("more", ["*:*"])).await,
    )?;
    refused("  it looks at Grace", script.user(grace.id).await)?;

    println!("Somebody guesses at her password:");
    for _ in 0..4 {
        let guess = SecretText::new("a wrong enough password");
        refused("  a guess", requests::log_in(cloud, ADA, guess, None, &elsewhere).await)?;
    }
    requests::log_in(cloud, ADA, password(), None, &laptop).await?;
    println!("  she herself is not kept out");

    println!("She looks at what happened:");
    cloud.flush_refusals().await?;
    for line in browser.list_logs(LogFilter::default(), PageRequest::default()).await?.entries.iter().rev() {
        let outcome = if line.outcome == LogOutcome::Refused { "refused" } else { "" };
        let from = line.ip.map_or_else(|| "the application".to_owned(), |ip| ip.to_string());
        println!("  {:<20} from {from:<15} {outcome}", line.title);
    }
    while cloud.seal_audit(1000).await?.lag > 0 {}
    let verified = cloud.verify_audit(Some(cloud.audit_head().await?)).await?;
    println!("  {} lines are sealed, {} are wrong", verified.lines, verified.found);

    println!("Grace, the administrator, suspends her:");
    let login = requests::log_in(cloud, "grace@example.org", password(), None, &laptop).await?;
    let office = requests::acting(cloud, &login.token, &laptop).await?;
    office.deactivate(ada).await?;
    refused("  her session", browser.list_sessions(ada).await)?;
    refused("  her key", requests::acting(cloud, &made.secret, &elsewhere).await)?;
    refused("  leaving as the last administrator", office.demote(grace.id).await)?;
    Ok(())
}

/// Says why something was refused; an error where it was not.
fn refused<T>(what: &str, answer: Result<T, Error>) -> Outcome<()> {
    match answer {
        Ok(_) => Err(format!("{what} was not refused").into()),
        Err(refusal) => {
            println!("{what}: {refusal}");
            Ok(())
        }
    }
}
