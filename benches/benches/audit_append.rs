//! What a group of records costs to append, durably, through the audit component; beside the disk's own `fdatasync`.
//!
//! `cargo xtask bench audit_append`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark stops and prints here"
)]

use benchkit::{Samples, block_on, rig};
use std::io::Write;

fn main() {
    block_on(async {
        let rig = rig().await;
        let dir = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        let mut file = std::fs::File::create(dir.path().join("bare")).unwrap();
        let bare = Samples::take(500, async || {
            file.write_all(&[7; 16 << 10]).unwrap();
            file.sync_data().unwrap();
        })
        .await;
        bare.print("bare disk: 16 KiB written, fdatasync", None);
        let mut log = rig.audit(dir.path()).await;
        for group in [1, 32, 256] {
            let mut number = 0;
            let samples = Samples::take(300, async || {
                let entries: Vec<_> = (0..group)
                    .map(|_| {
                        number += 1;
                        rig.entry(group * 1_000_000 + number)
                    })
                    .collect();
                log.append(&entries).await.unwrap();
            })
            .await;
            samples.print(&format!("append, groups of {group}"), Some(&bare));
        }
    });
}
