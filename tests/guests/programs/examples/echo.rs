//! Says back what it was asked: method, path and headers, then the body as it arrives.

use test_guests::prelude::*;

async fn handle(request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let mut head = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        head += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    head.push('\n');
    Body::stream(|mut out| async move {
        out.write(head).await?;
        while let Some(piece) = body.chunk().await.map_err(|_| Closed)? {
            out.write(piece).await?;
        }
        Ok(())
    })
    .into_response()
}

serve!(handle);
