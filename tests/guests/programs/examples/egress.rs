//! Asks for `?url=` (by `?method=`, GET) `?times=` times (1) at once, and says for each the status and body, or
//! `error: ` and why; with `?fields=` each carries a header of so many bytes. With `?send=yes` the request's own body is sent along, as it arrives.

use test_guests::prelude::*;
use tollgate_sdk::http::{Error, send};

async fn handle(request: Request) -> String {
    let url = query_value(&request, "url").unwrap_or_default();
    let method = query_value(&request, "method").unwrap_or_else(|| "GET".to_owned());
    let fields = "x".repeat(query_number(&request, "fields", 0) as usize);
    let times = query_number(&request, "times", 1) as usize;
    if query_value(&request, "send").as_deref() == Some("yes") {
        return line(ask(&url, &method, &fields, request.into_body()).await);
    }
    let asked = (0..times).map(|_| ask(&url, &method, &fields, Body::empty()));
    futures::future::join_all(asked).await.into_iter().map(line).collect()
}

async fn ask(url: &str, method: &str, fields: &str, body: Body) -> Result<String, Error> {
    let request = Request::builder().method(method).uri(url).header("x-fields", fields).body(body);
    let request = request.map_err(|error| Error::Invalid(error.to_string()))?;
    let response = send(request).await?;
    let status = response.status().as_u16();
    Ok(format!("{status} {}", response.into_body().text().await?))
}

fn line(answer: Result<String, Error>) -> String {
    match answer {
        Ok(text) => format!("{text}\n"),
        Err(error) => format!("error: {error:?}\n"),
    }
}

serve!(handle);
