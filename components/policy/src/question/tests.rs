use super::*;
use proptest::prelude::*;

#[test]
fn dates_are_right_around_leap_days_and_ends() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399, "2000-02-28T23:59:59.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (951_868_800, "2000-03-01T00:00:00.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        (1_735_689_599, "2024-12-31T23:59:59.000Z"),
    ] {
        assert_eq!(datetime_text(seconds * 1_000_000_000), text);
    }
    assert_eq!(datetime_text(u64::MAX), "2554-07-21T23:34:33.709Z");
}

proptest! {
    #[test]
    fn cedar_reads_every_time_as_the_same_milliseconds(nanoseconds: u64) {
        let constructors = Constructors::new().unwrap();
        let time = construct(constructors.datetime, &datetime_text(nanoseconds)).unwrap();
        let epoch = construct(constructors.datetime, "1970-01-01").unwrap();
        let call = |name: &str, arguments: &[Value]| {
            let name = Name::parse_unqualified_name(name).unwrap();
            let value = Extensions::all_available().func(&name).unwrap().call(arguments).unwrap();
            Value::try_from(value).unwrap()
        };
        let since = call("toMilliseconds", &[call("durationSince", &[time, epoch])]);
        prop_assert_eq!(since, Value::from(i64::try_from(nanoseconds / 1_000_000).unwrap()));
    }

    #[test]
    fn cedar_reads_every_address(v4: u32, v6: u128) {
        let constructors = Constructors::new().unwrap();
        for address in [IpAddr::from(v4.to_be_bytes()), IpAddr::from(v6.to_be_bytes())] {
            construct(constructors.ip, &address_text(address)).unwrap();
        }
    }
}
