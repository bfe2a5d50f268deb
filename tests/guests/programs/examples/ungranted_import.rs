//! Imports `wasi:sockets`, which no app is granted: it must not load.

use std::net::TcpStream;
use test_guests::prelude::*;

async fn handle(request: Request) -> String {
    let address = query_value(&request, "address").unwrap_or_else(|| "127.0.0.1:9".to_owned());
    format!("{:?}\n", TcpStream::connect(address).map(drop))
}

serve!(handle);
