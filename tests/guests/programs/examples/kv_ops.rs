//! One operation on a store: `?op=`, `?store=` (default), `?key=`, `?value=`, `?delta=`. Says the result, or
//! `error: ` and why. Lists of keys and values are separated by commas.

use test_guests::prelude::*;
use tollgate_sdk::kv::{self, Bucket, Error, SwapError};

async fn handle(request: Request) -> Response {
    let text = |name: &str| query_value(&request, name).unwrap_or_default();
    let result = kv::open(query_value(&request, "store").as_deref().unwrap_or("default"))
        .and_then(|store| act(&store, &text("op"), &text("key"), &text("value"), &text("delta")));
    match result {
        Ok(Some(line)) => (line + "\n").into_response(),
        Ok(None) => (StatusCode::BAD_REQUEST, "no such op\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("error: {error:?}\n")).into_response(),
    }
}

fn act(store: &Bucket, op: &str, key: &str, value: &str, delta: &str) -> Result<Option<String>, Error> {
    let keys: Vec<&str> = key.split(',').collect();
    let done = || "done".to_owned();
    Ok(Some(match op {
        "get" => shown(store.get(key)?),
        "set" => store.set(key, value).map(|()| done())?,
        "delete" => store.delete(key).map(|()| done())?,
        "exists" => store.exists(key)?.to_string(),
        "keys" => {
            let mut keys = store.keys()?;
            keys.sort();
            keys.join(",")
        }
        "incr" => store.increment(key, delta.parse().unwrap_or(1))?.to_string(),
        "cas" => match store.compare_and_swap(key)?.set(value) {
            Ok(()) => done(),
            Err(SwapError::Changed(newer)) => format!("changed to {}", shown(newer.current()?)),
            Err(SwapError::Store(error)) => return Err(error),
        },
        // Somebody changes the key between the look and the swap: it is us.
        "cas_lost" => {
            let swap = store.compare_and_swap(key)?;
            store.set(key, "theirs")?;
            match swap.set(value) {
                Ok(()) => "swapped".to_owned(),
                Err(SwapError::Changed(newer)) => format!("changed to {}", shown(newer.current()?)),
                Err(SwapError::Store(error)) => return Err(error),
            }
        }
        "append" => {
            store.update(key, |old| [old.unwrap_or_default(), value.as_bytes().to_vec()].concat())?;
            done()
        }
        "double" => {
            store.update(key, |old| old.unwrap_or_default().repeat(2))?;
            done()
        }
        "get_many" => store.get_many(&keys)?.into_iter().map(shown).collect::<Vec<_>>().join(","),
        "set_many" => {
            let pairs: Vec<_> = keys.iter().copied().zip(value.split(',').map(str::as_bytes)).collect();
            store.set_many(&pairs).map(|()| done())?
        }
        "delete_many" => store.delete_many(&keys).map(|()| done())?,
        // Handles that are never given back.
        "hoard" => {
            let looks: Result<Vec<_>, _> =
                (0..delta.parse().unwrap_or(100_000)).map(|_| store.compare_and_swap(key)).collect();
            looks?.len().to_string()
        }
        _ => return Ok(None),
    }))
}

fn shown(value: Option<Vec<u8>>) -> String {
    value.map_or_else(|| "none".to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

serve!(handle);
