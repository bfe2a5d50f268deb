//! Division of 128 bits by 64, which wasm has no instruction for.

/// The quotient, at most the largest u64, and the remainder. The divisor is not 0.
///
/// In wasm the compiler's own division of 128 bits made up a quarter of a take. Here a number that fits 64 bits is
/// divided as such, and any other by schoolbook, in two digits of 32 bits.
pub(crate) fn divide(number: u128, divisor: u64) -> (u64, u64) {
    let (high, low) = (upper(number), lower(number));
    if high == 0 {
        return (low / divisor, low % divisor);
    }
    if high >= divisor {
        return (u64::MAX, lower(number % u128::from(divisor)));
    }
    // With the divisor's top bit set, a digit guessed from the divisor's upper half is at most two too large.
    let shift = divisor.leading_zeros();
    let (divisor, number) = (divisor << shift, number << shift);
    let (first, rest) = digit(upper(number), lower(number) >> 32, divisor);
    let (second, rest) = digit(rest, lower(number) & u64::from(u32::MAX), divisor);
    ((first << 32) | second, rest >> shift)
}

/// One digit of the quotient, and the rest: `rest · 2^32 + next` by `divisor`, where `rest` is less than `divisor`.
fn digit(rest: u64, next: u64, divisor: u64) -> (u64, u64) {
    let number = (u128::from(rest) << 32) | u128::from(next);
    let mut guess = (rest / (divisor >> 32)).min(u64::from(u32::MAX));
    let mut product = u128::from(guess) * u128::from(divisor);
    while product > number {
        guess -= 1;
        product -= u128::from(divisor);
    }
    (guess, lower(number - product))
}

fn upper(number: u128) -> u64 {
    lower(number >> 64)
}

fn lower(number: u128) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers of every length, and those at the edges of 32 and 64 bits.
    fn numbers() -> impl Strategy<Value = u128> {
        let edge =
            (0..128u32, 0..3u128).prop_map(|(bit, off)| (1u128 << bit).wrapping_add(off).wrapping_sub(1));
        prop_oneof![(any::<u128>(), 0..128u32).prop_map(|(number, bits)| number >> bits), edge]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn it_divides_as_the_compiler_does(number in numbers(), divisor in numbers()) {
            let divisor = lower(divisor).max(1);
            let (quotient, rest) = (number / u128::from(divisor), number % u128::from(divisor));
            prop_assert_eq!(divide(number, divisor), (u64::try_from(quotient).unwrap_or(u64::MAX), lower(rest)));
        }
    }
}
