//! What a version's code is to a stand-in: lines that say what it answers.
//!
//! | line | what it does |
//! |---|---|
//! | `answers STATUS BODY` | the answer, and the code's name in histories |
//! | `fails-with-traffic` | 500 once it has a share of traffic |
//! | `fails-each N` | 500 at each Nth request |
//! | `asks ADDRESS` | the answer is that of the server there, which runs the real thing |

use super::{Break, State};
use crate::answer::Body;
use crate::client::exchange;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use parking_lot::Mutex;
use std::net::SocketAddr;

pub(super) struct Script {
    pub(super) status: StatusCode,
    pub(super) body: String,
    fails_with_traffic: bool,
    fails_each: Option<u64>,
    asks: Option<SocketAddr>,
}

impl Script {
    pub(super) fn of(code: &str) -> Self {
        let words = |line: &str, word: &str| line.strip_prefix(word).map(|rest| rest.trim().to_owned());
        let find = |word: &str| code.lines().find_map(|line| words(line, word));
        let answers = find("answers ").unwrap_or_else(|| "200 ".into());
        let (status, body) = answers.split_once(' ').unwrap_or((&answers, ""));
        Self {
            status: status.parse().unwrap(),
            body: body.to_owned(),
            fails_with_traffic: find("fails-with-traffic").is_some(),
            fails_each: find("fails-each ").map(|each| each.parse().unwrap()),
            asks: find("asks ").map(|address| address.parse().unwrap()),
        }
    }
}

/// Answers a client by the version that is to.
pub(super) async fn serve(
    state: &Mutex<State>,
    headers: &HeaderMap,
    path: &str,
    staging: bool,
) -> Result<Response<Full<Bytes>>, Break> {
    let (picked, nth) = {
        let mut state = state.lock();
        state.served += 1;
        (state.contract.pick(headers, staging), state.served)
    };
    let Some(picked) = picked else {
        return Ok(Response::builder().status(404).body(Full::from("nothing is deployed here")).unwrap());
    };
    let script = Script::of(&picked.code);
    let fails = script.fails_with_traffic && picked.percent > 0
        || script.fails_each.is_some_and(|each| nth.is_multiple_of(each));
    let mut answer = match script.asks {
        _ if fails => Response::builder().status(500).body(Full::from("it fails")).unwrap(),
        None => Response::builder().status(script.status).body(Full::from(script.body)).unwrap(),
        Some(address) => {
            let request = Request::get(path).body(Full::default()).unwrap();
            let (parts, body) = exchange(address, request).await.ok_or(Break)?;
            let Body::Whole(bytes) = body else { return Err(Break) };
            Response::from_parts(parts, Full::from(bytes))
        }
    };
    // As the worker does, by the platform's binding.
    if headers.contains_key("tollgate-version") {
        answer.headers_mut().insert("tollgate-version", picked.version.parse().unwrap());
    }
    Ok(answer)
}
