//! Components that are made to be hard on a compiler. Each is a guest that answers, and something beside it.

use testkit::guest;

/// Bombs that are refused or served at once.
pub(super) fn quick() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nested-1000", nested(1_000)),
        ("nested-10000", nested(10_000)),
        ("nested-31", echo_and(COMPONENT, &nested(31))),
        ("functions-100k", echo_and(MODULE, &functions(100_000))),
        ("types-50k", echo_and(MODULE, &types(50_000))),
        ("component-types-50k", echo_and(TYPES, &component_types(50_000))),
        ("type-doubling", echo_and(COMPONENT, &doubling(60))),
        ("exports-100k", echo_and(MODULE, &exports(100_000))),
        ("globals-20k", echo_and(MODULE, &globals(20_000))),
        ("noise", [guest_bytes(), vec![0xff; 1 << 20]].concat()),
    ]
}

/// Bombs that a compiler works on for seconds: as much of one thing as is allowed.
pub(super) fn large() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("modules-900", modules(900)),
        ("functions-45k", echo_and(MODULE, &functions(45_000))),
        ("types-20k", echo_and(MODULE, &types(20_000))),
        ("component-types-20k", echo_and(TYPES, &component_types(20_000))),
        ("exports-25k", echo_and(MODULE, &exports(25_000))),
        ("br-table", echo_and(MODULE, &jumps(50, 60_000))),
        ("blocks-deep", echo_and(MODULE, &blocks(50_000))),
        ("locals-49k", echo_and(MODULE, &locals(20))),
        ("data-48m", echo_and(MODULE, &data(48 << 20))),
    ]
}

/// Bombs that take all that a compilation may take.
pub(super) fn slow() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("one-function", echo_and(MODULE, &long_function(1, 7 << 20))),
        ("long-functions", echo_and(MODULE, &long_function(40, 1 << 20))),
        ("br-table-30m", echo_and(MODULE, &jumps(500, 60_000))),
    ]
}

const MODULE: u8 = 1;
const COMPONENT: u8 = 4;
const TYPES: u8 = 7;

const COMPONENT_HEAD: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE_HEAD: &[u8] = b"\0asm\x01\0\0\0";

fn guest_bytes() -> Vec<u8> {
    std::fs::read(guest("echo")).unwrap()
}

/// The guest, a section with this content, and a mark that no run before this one had: or its code would be there.
fn echo_and(id: u8, content: &[u8]) -> Vec<u8> {
    let nanoseconds = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let mark = [b"\x04mark", nanoseconds.to_le_bytes().as_slice()].concat();
    [guest_bytes(), section(id, content), section(0, &mark)].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &number(content.len()), content].concat()
}

/// LEB128.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 127 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A section of so many items.
fn items(id: u8, count: usize, item: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let all = (0..count).flat_map(item);
    section(id, &number(count).into_iter().chain(all).collect::<Vec<u8>>())
}

/// A function's body, with its length.
fn body(code: &[u8]) -> Vec<u8> {
    [number(code.len()), code.to_vec()].concat()
}

/// Components in components.
fn nested(depth: usize) -> Vec<u8> {
    let mut component = COMPONENT_HEAD.to_vec();
    for _ in 0..depth {
        component = [COMPONENT_HEAD, &section(COMPONENT, &component)].concat();
    }
    component
}

fn modules(count: usize) -> Vec<u8> {
    let one = module_of(1, &body(&[0, 0x0b]));
    let all = vec![section(MODULE, &one); count].concat();
    [echo_and(0, b"\x04many"), all].concat()
}

/// A module of so many functions `i32 -> nothing` with the same body.
fn module_of(count: usize, body: &[u8]) -> Vec<u8> {
    let types = items(1, 1, |_| vec![0x60, 1, 0x7f, 0]);
    let declared = items(3, count, |_| vec![0]);
    let code = items(10, count, |_| body.to_vec());
    [MODULE_HEAD, &types, &declared, &code].concat()
}

fn functions(count: usize) -> Vec<u8> {
    module_of(count, &body(&[0, 0x0b]))
}

/// Types of functions, no two alike.
fn types(count: usize) -> Vec<u8> {
    let alike = |number: usize| (0..16).map(move |bit| if number >> bit & 1 == 1 { 0x7e } else { 0x7f });
    let types = items(1, count, |number| [0x60, 16].into_iter().chain(alike(number)).chain([0]).collect());
    [MODULE_HEAD, &types].concat()
}

/// Types of components: lists of bytes.
fn component_types(count: usize) -> Vec<u8> {
    let one: &[u8] = &[0x70, 0x7d];
    [number(count), one.repeat(count)].concat()
}

/// A component with pairs of pairs of pairs: each type is twice as large as the one before.
fn doubling(times: usize) -> Vec<u8> {
    // The first is of bytes, and each other of the one before it.
    let of = |place: usize| place.checked_sub(1).map_or(vec![0x7d], number);
    let types = items(TYPES, times, |place| [&[0x6f, 2][..], &of(place), &of(place)].concat());
    [COMPONENT_HEAD, &types].concat()
}

/// Functions that jump to one of very many places.
fn jumps(functions: usize, targets: usize) -> Vec<u8> {
    let table = [&[0, 0x02, 0x40, 0x20, 0, 0x0e][..], &number(targets), &vec![0; targets + 1], &[0x0b, 0x0b]]
        .concat();
    module_of(functions, &body(&table))
}

/// Functions of so many bytes, each of additions to what came before.
fn long_function(functions: usize, bytes: usize) -> Vec<u8> {
    let add = [0x20, 0, 0x41, 7, 0x6a, 0x21, 0];
    let code = [&[0][..], &add.repeat(bytes / add.len()), &[0x0b]].concat();
    module_of(functions, &body(&code))
}

/// A function of blocks in blocks.
fn blocks(depth: usize) -> Vec<u8> {
    let code = [vec![0], [0x02, 0x40].repeat(depth), vec![0x0b; depth + 1]].concat();
    module_of(1, &body(&code))
}

/// Functions of 50,000 locals each.
fn locals(functions: usize) -> Vec<u8> {
    let code = [&[1][..], &number(49_000), &[0x7e, 0x0b]].concat();
    module_of(functions, &body(&code))
}

/// A module with so many bytes of passive data.
fn data(bytes: usize) -> Vec<u8> {
    let passive = |_| [&[1][..], &number(bytes), &vec![7; bytes]].concat();
    [MODULE_HEAD, &items(11, 1, passive)].concat()
}

/// A function under very many names.
fn exports(count: usize) -> Vec<u8> {
    let module = module_of(1, &body(&[0, 0x0b]));
    let (before, code) = module.split_at(module.len() - section(10, &[1, 2, 0, 0x0b]).len());
    let export = |number: usize| {
        let name = format!("{number:06}");
        [&[6][..], name.as_bytes(), &[0, 0]].concat()
    };
    [before, &items(7, count, export), code].concat()
}

fn globals(count: usize) -> Vec<u8> {
    [MODULE_HEAD, &items(6, count, |_| vec![0x7f, 1, 0x41, 0, 0x0b])].concat()
}
