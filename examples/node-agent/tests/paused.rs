//! An agent that was paused for so long that its machine was given up and its work given to another wakes up, and is not heard.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
use apportion::entity::{InstanceState, Limits, NodeState, TABLES};
use apportion::machine::{FoundGpu, Inventory, MadeInstance};
use apportion::plane::{
    CommandLease, CommandOutcome, LaunchRequest, NewApiKey, NewNode, NewUser, NodeSession,
};
use apportion::time::SystemClock;
use apportion_redb::RedbStore;
use node_agent::control::{Control, Refused, Remote, serve};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;

const ROLE: &str = "NODE_AGENT_TEST_CONTROL";
const KEY: &str = "NODE_AGENT_TEST_KEY";
const LEASE: Duration = Duration::from_secs(5);
const WRITES: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_paused_agent_says_is_accepted_when_it_wakes_up() {
    // Started again by itself, this test is the agent.
    if let (Ok(control), Ok(key)) = (std::env::var(ROLE), std::env::var(KEY)) {
        return agent(&Remote::new(control, key)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let store =
        RedbStore::open(folder.path().join("cloud.redb"), TABLES, Arc::new(SystemClock::new())).unwrap();
    let cloud = Arc::new(ControlPlane::new(Arc::new(store)));
    let limits = Limits { instance_limit: 10, ..Limits::default() };
    let mut ada = cloud.create_user(NewUser::new("ada@example.org", "Ada").limits(limits)).await.unwrap();
    ada.value.activated = true;
    let ada = cloud.repositories().users().update(ada).await.unwrap().id;
    let node = cloud.register_node(NewNode::new(ada, "rack-1")).await.unwrap().id;
    let key = cloud.create_api_key(ada, NewApiKey::agent("rack-1", node)).await.unwrap().secret;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(serve(Arc::clone(&cloud), listener));

    let mut paused = Paused::start(&address, key.expose());
    paused.says("joined").await;
    let whole = |name: &str| LaunchRequest::new(ada, name).gpus(1).cpu(CpuMilli::from_u32(100));
    let lost = cloud.launch(whole("lost")).await.unwrap().id;
    paused.told("take").await;
    paused.says("took 1").await;
    paused.signal(Signal::STOP);

    // Silent for too long; its owner says that it is gone; another agent takes its place, and its GPU is given to another one.
    let silent = async || cloud.sweep_nodes(Duration::from_millis(50)).await.unwrap().silent;
    while silent().await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(cloud.node_status(node).await.unwrap().state, NodeState::Unknown);
    assert_eq!(cloud.mark_node_dead(node, "it does not answer").await.unwrap().instances, 1);
    assert_eq!(cloud.repositories().instances().require(lost).await.unwrap().state, InstanceState::Lost);
    let other = Remote::new(&address, key.expose());
    let session = other.join().await.unwrap();
    let given = cloud.launch(whole("given")).await.unwrap().id;
    let held = other.take(session, 1, LEASE).await.unwrap().remove(0);
    let made = CommandOutcome::made(&MadeInstance::new("of-the-other")).unwrap();
    other.complete(&held, &made).await.unwrap();

    let before = cloud.repositories().instances().require(given).await.unwrap();
    paused.signal(Signal::CONT);
    paused.told("write").await;
    paused.says(&format!("0 of {WRITES} were accepted")).await;
    let after = cloud.repositories().instances().require(given).await.unwrap();
    assert_eq!((after.state, after), (InstanceState::Running, before));
    assert_eq!(cloud.repositories().instances().require(lost).await.unwrap().state, InstanceState::Lost);
    assert!(cloud.audit().await.unwrap().is_clean());
}

/// The agent: it joins, takes what there is, and says what is accepted of what it says afterwards.
async fn agent(control: &Remote) {
    let lines = std::io::stdin().lines();
    let session = control.join().await.unwrap();
    let at = control.begin_report(session).await.unwrap();
    let (cpu, memory) = (CpuMilli::from_u32(1000), MemoryMib::from_u32(1000));
    let inventory = Inventory::taken_at(at)
        .capacity(cpu, memory, StorageMib::ZERO)
        .gpus(vec![FoundGpu::new("GPU-0", "Pretended").memory(MemoryMib::from_u32(80_000))])
        .instances(Vec::new());
    control.report(session, &inventory).await.unwrap();
    say("joined");
    let mut held = Vec::new();
    for line in lines {
        match line.unwrap().as_str() {
            "take" => {
                held = control.take(session, 10, LEASE).await.unwrap();
                say(&format!("took {}", held.len()));
            }
            "write" => {
                let mut accepted = 0;
                for at in 0..WRITES {
                    accepted += usize::from(write(control, session, &held[0], &inventory, at).await);
                }
                say(&format!("{accepted} of {WRITES} were accepted"));
                return;
            }
            other => panic!("{other}"),
        }
    }
}

/// Says one of everything that an agent can say; whether it was accepted.
async fn write(
    control: &Remote,
    session: NodeSession,
    held: &CommandLease,
    inventory: &Inventory,
    at: usize,
) -> bool {
    let made = CommandOutcome::made(&MadeInstance::new("of-the-paused")).unwrap();
    let said = match at % 6 {
        0 => control.heartbeat(session).await,
        1 => control.begin_report(session).await.map(drop),
        2 => control.report(session, inventory).await.map(drop),
        3 => control.take(session, 10, LEASE).await.map(drop),
        4 => control.extend(held, LEASE).await,
        _ => control.complete(held, &made).await,
    };
    match said {
        Ok(()) => true,
        Err(Refused::Unreachable { reason }) => panic!("it was not refused, but not reached: {reason}"),
        Err(_) => false,
    }
}

fn say(text: &str) {
    println!("\nagent: {text}");
    std::io::stdout().flush().unwrap();
}

/// The process of the agent, which is ended however the test ends.
struct Paused {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Paused {
    fn start(address: &str, key: &str) -> Self {
        let name = "nothing_that_a_paused_agent_says_is_accepted_when_it_wakes_up";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(ROLE, address)
            .env(KEY, key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(said) = line.strip_prefix("agent: ") {
                    let _ = send.send(said.to_owned());
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for what it says next.
    async fn says(&mut self, expected: &str) {
        let said = tokio::task::block_in_place(|| self.lines.recv_timeout(Duration::from_secs(120)));
        assert_eq!(said.as_deref(), Ok(expected));
    }

    async fn told(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
