//! A socket that answers as Docker would: [`Fake`].

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::DockerDriver;

/// A request that came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Its method and path, without the version of the protocol.
    pub(super) what: String,
    pub(super) query: String,
    pub(super) body: Value,
}

/// Answers by method and path, in the order in which they were given; the last one again and again.
#[derive(Default)]
struct Script {
    answers: HashMap<String, VecDeque<(u16, Value)>>,
    asked: Vec<Request>,
}

pub(super) struct Fake {
    folder: TempDir,
    script: Arc<Mutex<Script>>,
}

impl Fake {
    pub(super) fn new() -> Self {
        let fake = Self { folder: tempfile::tempdir().unwrap(), script: Arc::default() };
        fake.on("GET /version", 200, json!({ "ApiVersion": "1.43" }))
    }

    pub(super) fn on(self, what: &str, status: u16, body: Value) -> Self {
        self.script.lock().unwrap().answers.entry(what.to_owned()).or_default().push_back((status, body));
        self
    }

    /// A driver that talks to it.
    pub(super) async fn driver(&self) -> DockerDriver {
        let socket = self.folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let script = Arc::clone(&self.script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&script)));
            }
        });
        DockerDriver::connect_to(socket.to_str().unwrap()).await.unwrap()
    }

    /// What was asked for since the version.
    pub(super) fn asked(&self) -> Vec<Request> {
        self.script.lock().unwrap().asked.clone().split_off(1)
    }
}

async fn answer(stream: UnixStream, script: Arc<Mutex<Script>>) {
    let mut stream = BufReader::new(stream);
    let request = receive(&mut stream).await;
    let (status, body) = {
        let mut script = script.lock().unwrap();
        let unknown = (500, json!({ "message": format!("the test did not expect {}", request.what) }));
        let answer = match script.answers.get_mut(&request.what) {
            Some(answers) if answers.len() > 1 => answers.pop_front().unwrap(),
            Some(answers) => answers[0].clone(),
            None => unknown,
        };
        script.asked.push(request);
        answer
    };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = if matches!(status, 204 | 304) {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    let head =
        format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\n{length}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

async fn receive(stream: &mut BufReader<UnixStream>) -> Request {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let length = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.unwrap();
    let mut words = lines[0].split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // `/v1.43/containers/json`
    let path = match path.strip_prefix("/v").and_then(|rest| rest.split_once('/')) {
        Some((version, rest)) if version.starts_with(|c: char| c.is_ascii_digit()) => format!("/{rest}"),
        _ => path.to_owned(),
    };
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Request { what: format!("{method} {path}"), query: query.to_owned(), body }
}
