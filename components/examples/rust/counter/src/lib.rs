//! A counter in the key-value store `default`: `GET` shows it, `POST` adds one in one step, `DELETE` clears it.
//!
//! Each path has a counter of its own. Needs a grant for the store.

use tollgate_sdk::http::{IntoResponse, Method, Request, Response, StatusCode};
use tollgate_sdk::kv;

async fn handle(request: Request) -> Result<Response, kv::Error> {
    let store = kv::open("default")?;
    let key = format!("count:{}", request.uri().path());
    let count = match *request.method() {
        // A sum with nothing added reads what `increment` keeps, in whatever form the store keeps it.
        Method::GET | Method::HEAD => store.increment(&key, 0)?,
        Method::POST => store.increment(&key, 1)?,
        Method::DELETE => {
            store.delete(&key)?;
            0
        }
        _ => return Ok((StatusCode::METHOD_NOT_ALLOWED, "GET, POST or DELETE\n").into_response()),
    };
    Ok(format!("{count}\n").into_response())
}

tollgate_sdk::serve!(handle);
