//! Answers with what it is asked for: `?status=` (200), any number of `&header=NAME:VALUE`, a body of `&bytes=`, and
//! `&trailers=` trailer fields. A header that the host refuses is named in the body.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types as wasi;
use wasip3::{wit_future, wit_stream};

struct Component;

impl Guest for Component {
    async fn handle(request: wasi::Request) -> Result<wasi::Response, wasi::ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let pairs: Vec<(&str, &str)> = target
            .split_once('?')
            .map_or("", |(_, query)| query)
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let number =
            |name: &str| pairs.iter().find(|pair| pair.0 == name).and_then(|pair| pair.1.parse().ok());
        let fields = wasi::Fields::new();
        let mut body = String::new();
        for (_, header) in pairs.iter().filter(|pair| pair.0 == "header") {
            let (name, value) = header.split_once(':').unwrap_or((header, ""));
            if fields.append(name, value.as_bytes()).is_err() {
                body += &format!("refused {name}\n");
            }
        }
        body += &"x".repeat(number("bytes").unwrap_or(0));
        let (mut stream, reader) = wit_stream::new();
        let (ending, ended) = wit_future::new(|| Ok(None));
        let (response, _sent) = wasi::Response::new(fields, Some(reader), ended);
        if response.set_status_code(number("status").unwrap_or(200) as u16).is_err() {
            body += "refused the status\n";
        }
        let trailers = number("trailers").unwrap_or(0);
        wasip3::spawn(async move {
            stream.write_all(body.into_bytes()).await;
            drop(stream);
            let fields = wasi::Fields::new();
            for number in 0..trailers {
                if fields.append(&format!("x-{number}"), &[b'x'; 100]).is_err() {
                    break;
                }
            }
            // The receiver may have left.
            let _ = ending.write(Ok((trailers > 0).then_some(fields))).await;
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Component);
