//! Does the steps of `?do=`, answers, and then does those of `?then=` while its body is open. Steps are parted by
//! commas: `wait-20` (milliseconds, on a clock), `sleep-20` (blocking the instance), `work-1000` (rounds), `grow-4`
//! (megabytes, given back), `say-hello` (a line of log), `call-9` (calls into the host), `spin`, `trap`. Says how many
//! requests this instance had before, and how many it had at one time so far.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use test_guests::prelude::*;
use test_guests::spin;
use wasip3::clocks::monotonic_clock::{now, wait_for};

static BEFORE: AtomicU32 = AtomicU32::new(0);
static HERE: AtomicU32 = AtomicU32::new(0);
static MOST: AtomicU32 = AtomicU32::new(0);

async fn step(step: &str) {
    let (what, text) = step.split_once('-').unwrap_or((step, ""));
    let number: u64 = text.parse().unwrap_or(0);
    match what {
        "wait" => wait_for(number * 1_000_000).await,
        "sleep" => std::thread::sleep(Duration::from_millis(number)),
        "work" => {
            let mut state = 0x9e37_79b9_7f4a_7c15_u64;
            for round in 0..number {
                state = black_box(state ^ round).rotate_left(23).wrapping_mul(0xd134_2543_de82_ef95);
            }
        }
        "grow" => drop(black_box(vec![1_u8; number as usize * 1_000_000])),
        "say" => eprintln!("{text}"),
        "call" => (0..number).for_each(|_| _ = black_box(now())),
        "spin" => spin(),
        "trap" => panic!("trapped on purpose"),
        _ => {}
    }
}

async fn steps(all: &str) {
    for one in all.split(',') {
        step(one).await;
    }
}

async fn handle(request: Request) -> Body {
    let before = BEFORE.fetch_add(1, Relaxed);
    let here = HERE.fetch_add(1, Relaxed) + 1;
    let most = MOST.fetch_max(here, Relaxed).max(here);
    steps(&query_value(&request, "do").unwrap_or_default()).await;
    let then = query_value(&request, "then").unwrap_or_default();
    Body::stream(move |mut out| async move {
        out.write(format!("{before} {most}\n")).await?;
        steps(&then).await;
        HERE.fetch_sub(1, Relaxed);
        Ok(())
    })
}

serve!(handle);
