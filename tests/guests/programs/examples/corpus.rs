//! Work for the processor, of the kind that `?kind=` names, `?rounds=` times (1); says how it came out. No call into the
//! host: what a run takes is the guest's own code, and the same each time.

use std::collections::BTreeMap;
use test_guests::prelude::*;

async fn handle(request: Request) -> Response {
    let rounds = query_number(&request, "rounds", 1);
    let work: fn(u64) -> u64 = match query_value(&request, "kind").as_deref() {
        Some("hash") => hash,
        Some("sort") => sort,
        Some("matrix") => matrix,
        Some("json") => json,
        Some("words") => words,
        Some("calls") => calls,
        Some("sieve") => sieve,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let result = (0..rounds).fold(0_u64, |sum, round| sum.rotate_left(7) ^ work(round));
    format!("{result:016x}\n").into_response()
}

serve!(handle);

/// Numbers without pattern, the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn numbers(round: u64) -> Numbers {
    Numbers(0x9e37_79b9_7f4a_7c15 ^ (round << 1))
}

/// Words of 32 bits, rotated and added: the rounds of ChaCha over 64 KiB of counters.
fn hash(round: u64) -> u64 {
    let mut sum = 0_u64;
    for block in 0..1_024_u32 {
        let mut words = [0x6170_7865_u32; 16];
        (words[3], words[12], words[13]) = (round as u32, block, block ^ 0x5555_5555);
        for _ in 0..10 {
            for [a, b, c, d] in [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]] {
                mix(&mut words, a, b, c, d);
            }
            for [a, b, c, d] in [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]] {
                mix(&mut words, a, b, c, d);
            }
        }
        sum = words.iter().fold(sum, |sum, word| sum.rotate_left(5) ^ u64::from(*word));
    }
    sum
}

fn mix(words: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    for (left, right) in [(16, 12), (8, 7)] {
        words[a] = words[a].wrapping_add(words[b]);
        words[d] = (words[d] ^ words[a]).rotate_left(left);
        words[c] = words[c].wrapping_add(words[d]);
        words[b] = (words[b] ^ words[c]).rotate_left(right);
    }
}

/// 20,000 numbers, sorted by comparison.
fn sort(round: u64) -> u64 {
    let mut source = numbers(round);
    let mut all: Vec<u64> = (0..20_000).map(|_| source.next()).collect();
    all.sort_unstable();
    all.iter().step_by(97).fold(0, |sum, number| sum ^ number)
}

/// Two matrices of 96 × 96 numbers with fractions, multiplied.
fn matrix(round: u64) -> u64 {
    const SIDE: usize = 96;
    let mut source = numbers(round);
    let mut filled =
        || -> Vec<f64> { (0..SIDE * SIDE).map(|_| (source.next() >> 40) as f64 / 1_024.0).collect() };
    let (one, other) = (filled(), filled());
    let mut product = vec![0.0; SIDE * SIDE];
    for (row, out) in one.chunks(SIDE).zip(product.chunks_mut(SIDE)) {
        for (factor, line) in row.iter().zip(other.chunks(SIDE)) {
            for (sum, number) in out.iter_mut().zip(line) {
                *sum += factor * number;
            }
        }
    }
    product.iter().fold(0, |sum: u64, number| sum.rotate_left(1) ^ number.to_bits())
}

/// A document of 400 records, written, read again, and added up.
fn json(round: u64) -> u64 {
    let mut source = numbers(round);
    let records: Vec<serde_json::Value> = (0..400)
        .map(|index| {
            let number = source.next();
            serde_json::json!({
                "id": index,
                "name": format!("record-{number:x}"),
                "tags": ["a", "list", "of \"quoted\" words"],
                "place": { "x": number % 1_000, "y": (number >> 32) % 1_000 },
            })
        })
        .collect();
    let text = serde_json::to_string(&records).unwrap_or_default();
    let read: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap_or_default();
    let sum: u64 = read.iter().filter_map(|record| record["place"]["x"].as_u64()).sum();
    sum ^ text.len() as u64
}

/// Words, counted in an ordered map: allocations, comparisons, copies.
fn words(round: u64) -> u64 {
    let mut source = numbers(round);
    let text: Vec<String> = (0..20_000).map(|_| format!("word{}", source.next() % 2_000)).collect();
    let text = text.join(" ");
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for word in text.split(' ') {
        *counts.entry(word).or_default() += 1;
    }
    counts.iter().fold(0, |sum, (word, count)| sum.rotate_left(3) ^ count ^ word.len() as u64)
}

/// Nothing but calls.
fn calls(round: u64) -> u64 {
    fn fibonacci(n: u64) -> u64 {
        if n < 2 {
            n
        } else {
            fibonacci(std::hint::black_box(n - 1)) + fibonacci(std::hint::black_box(n - 2))
        }
    }
    fibonacci(23 + round % 2)
}

/// Primes below 200,000: short loops over bytes.
fn sieve(round: u64) -> u64 {
    let most = 200_000 + (round % 7) as usize;
    let mut composite = vec![false; most];
    let mut count = 0;
    for number in 2..most {
        if !composite[number] {
            count += 1;
            composite.iter_mut().skip(number * number).step_by(number).for_each(|mark| *mark = true);
        }
    }
    count
}
