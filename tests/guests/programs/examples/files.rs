//! One operation on a file: `?op=` read, write, list, delete; `?path=`; `?text=`. Says the result, or `error: ` and
//! its kind.

use std::fs;
use std::io::Error;
use test_guests::prelude::*;

async fn handle(request: Request) -> Response {
    let text = |name: &str| query_value(&request, name).unwrap_or_default();
    match act(&text("op"), &text("path"), &text("text")) {
        Ok(Some(line)) => (line + "\n").into_response(),
        Ok(None) => (StatusCode::BAD_REQUEST, "no such op\n").into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("error: {:?}\n", error.kind())).into_response()
        }
    }
}

fn act(op: &str, path: &str, text: &str) -> Result<Option<String>, Error> {
    Ok(Some(match op {
        "read" => fs::read_to_string(path)?,
        "write" => fs::write(path, text).map(|()| "done".to_owned())?,
        "delete" => fs::remove_file(path).map(|()| "done".to_owned())?,
        "list" => {
            let mut names = Vec::new();
            for entry in fs::read_dir(path)? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            names.join(",")
        }
        _ => return Ok(None),
    }))
}

serve!(handle);
