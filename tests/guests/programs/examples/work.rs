//! Does `?rounds=` rounds (1,000) of the same arithmetic and says the result: fuel must be the same each time.

use test_guests::prelude::*;

async fn handle(request: Request) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..query_number(&request, "rounds", 1_000) {
        state = (state ^ round).rotate_left(23).wrapping_mul(0xd134_2543_de82_ef95);
    }
    format!("{state:016x}\n")
}

serve!(handle);
