//! What a pickle describes, as plain values.
//!
//! In: the bytes of `data.pkl`. Out: numbers, texts, containers, and calls that were asked for and never made.
//! Knows nothing of tensors or files.
//!
//! candle-core has a pickle reader; it is not used, because a hostile file can make it allocate 4 GB for a text, double
//! its memory with every memo lookup, overflow the stack when nested values are dropped, panic on short argument lists,
//! and because it prints and passes over tensors that it does not understand. Here every value lies once in a list and
//! is named by its number, so nesting costs no stack, a memo lookup copies four bytes, and memory is bounded by
//! [`SIZE_LIMIT`]. A cycle is possible, so readers go down by a fixed number of steps.

use crate::error::{Error, ErrorKind, Result};
use crate::model::weights::is_printable;
use std::collections::HashMap;

/// The largest published network needs 0.2 MB; three times that with the state of an optimizer.
pub(super) const SIZE_LIMIT: u64 = 4 << 20;

/// Modules whose functions run programs. Nothing is called here, but whoever opens such a file elsewhere is attacked, so
/// it is refused wherever in the file they stand.
const PROGRAM_RUNNERS: [&str; 12] = [
    "os",
    "posix",
    "nt",
    "subprocess",
    "sys",
    "runpy",
    "socket",
    "shutil",
    "pty",
    "importlib",
    "webbrowser",
    "commands",
];
const PROGRAM_RUNNING_BUILTINS: [&str; 8] =
    ["eval", "exec", "execfile", "compile", "open", "getattr", "__import__", "apply"];

/// The number of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(u32);

#[derive(Debug)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    /// `module.name`
    Global(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A function that Python would call, with its arguments.
    Call {
        callable: Id,
        arguments: Id,
    },
    /// A reference to data beside the pickle.
    Persistent(Id),
    /// A value that no weights need, by its sort.
    Other(&'static str),
}

/// A pickle that has been read to its end.
pub(super) struct Pickle {
    values: Vec<Value>,
    root: Id,
}

impl Pickle {
    /// # Errors
    /// The pickle breaks off, contradicts itself, is larger than [`SIZE_LIMIT`], or names a function that runs programs.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > SIZE_LIMIT {
            return Err(format(format!("the pickle has {} bytes, expected at most {SIZE_LIMIT}", bytes.len())));
        }
        let mut machine = Machine::new(bytes);
        while !machine.step()? {}
        let root = machine.pop()?;
        Ok(Self { values: machine.values, root })
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    pub(super) fn get(&self, id: Id) -> &Value {
        &self.values[id.0 as usize]
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            Value::Dict(items) => Some(items),
            _ => None,
        }
    }

    /// The name of a called function and its arguments.
    pub(super) fn call(&self, id: Id) -> Option<(&str, &[Id])> {
        let Value::Call { callable, arguments } = self.get(id) else { return None };
        let Value::Global(name) = self.get(*callable) else { return None };
        Some((name, self.tuple(*arguments)?))
    }

    /// For messages: "an integer", "`os.system`" ...
    pub(super) fn describe(&self, id: Id) -> String {
        match self.get(id) {
            Value::Int(_) => "an integer".into(),
            Value::Text(_) => "a text".into(),
            Value::Global(name) => format!("`{name}`"),
            Value::Tuple(_) => "a tuple".into(),
            Value::List(_) => "a list".into(),
            Value::Dict(_) => "a dictionary".into(),
            Value::Call { callable, .. } => match self.get(*callable) {
                Value::Global(name) => format!("`{name}`"),
                _ => "a call".into(),
            },
            Value::Persistent(_) => "a bare storage".into(),
            Value::Other(sort) => (*sort).into(),
        }
    }
}

struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    /// One opcode; true at the end. Opcodes as in CPython's `pickletools.py`, binary ones of protocols 2 to 5.
    fn step(&mut self) -> Result<bool> {
        match self.byte()? {
            0x80 => {
                self.byte()?; // PROTO
            }
            0x95 => {
                self.take(8)?; // FRAME
            }
            b'.' => return Ok(true),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?; // POP
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Value::Other("None"))?,
            0x88 | 0x89 => self.push(Value::Other("a truth value"))?,
            b'K' => {
                let value = i64::from(self.byte()?);
                self.push(Value::Int(value))?;
            }
            b'M' => {
                let value = i64::from(u16::from_le_bytes(self.array()?));
                self.push(Value::Int(value))?;
            }
            b'J' => {
                let value = i64::from(i32::from_le_bytes(self.array()?));
                self.push(Value::Int(value))?;
            }
            0x8a => {
                let size = self.byte()?;
                self.long(usize::from(size))?;
            }
            0x8b => {
                let size = self.size_32()?;
                self.long(size)?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Other("a floating-point number"))?;
            }
            b'X' => {
                let size = self.size_32()?;
                self.push_text(size)?;
            }
            0x8c => {
                let size = self.byte()?;
                self.push_text(usize::from(size))?;
            }
            0x8d => {
                let size = self.size_64()?;
                self.push_text(size)?;
            }
            b'B' | b'T' => {
                let size = self.size_32()?;
                self.bytes(size)?;
            }
            b'C' | b'U' => {
                let size = self.byte()?;
                self.bytes(usize::from(size))?;
            }
            0x8e | 0x96 => {
                let size = self.size_64()?;
                self.bytes(size)?;
            }
            b')' => self.push(Value::Tuple(Vec::new()))?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))?;
            }
            code @ 0x85..=0x87 => {
                let mut items = Vec::with_capacity(3);
                for _ in 0x84..code {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Value::Tuple(items))?;
            }
            b']' => self.push(Value::List(Vec::new()))?,
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set_items(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(items)?;
            }
            0x8f => self.push(Value::Other("a set"))?,
            0x90 => {
                self.pop_to_mark()?; // ADDITEMS
            }
            0x91 => {
                self.pop_to_mark()?;
                self.push(Value::Other("a set"))?;
            }
            b'q' => {
                let slot = u32::from(self.byte()?);
                self.memoize(slot)?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.memoize(slot)?;
            }
            0x94 => self.memoize(self.memo.len() as u32)?,
            b'h' => {
                let slot = u32::from(self.byte()?);
                self.recall(slot)?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.global(&module, &name)?;
            }
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                self.call(arguments)?;
            }
            0x92 => {
                self.pop()?; // NEWOBJ_EX: named arguments, then as NEWOBJ
                let arguments = self.pop()?;
                self.call(arguments)?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))?;
            }
            // BUILD sets attributes. PyTorch hangs a version record (`_metadata`) on a state dict; it holds no weights.
            b'b' => {
                self.pop()?;
                self.top()?;
            }
            code => return Err(format(format!("the pickle has the unknown opcode {code:#04x}"))),
        }
        Ok(false)
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or_else(|| format("the pickle breaks off"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| format("the pickle breaks off"))
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn size_32(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn size_64(&mut self) -> Result<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| format("the pickle breaks off"))
    }

    fn line(&mut self) -> Result<&'a str> {
        let stop = self.rest.iter().position(|&b| b == b'\n').ok_or_else(|| format("the pickle breaks off"))?;
        let line = self.take(stop)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| contradiction())
    }

    fn push(&mut self, value: Value) -> Result<()> {
        let id = u32::try_from(self.values.len()).map_err(|_| contradiction())?;
        self.values.push(value);
        self.stack.push(Id(id));
        Ok(())
    }

    fn pop(&mut self) -> Result<Id> {
        if self.marks.last().is_some_and(|&height| self.stack.len() <= height) {
            return Err(contradiction());
        }
        self.stack.pop().ok_or_else(contradiction)
    }

    fn top(&self) -> Result<Id> {
        self.stack.last().copied().ok_or_else(contradiction)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        let height = self.marks.pop().ok_or_else(contradiction)?;
        Ok(self.stack.split_off(height)) // `pop` never goes below a mark, so the stack is at least this high
    }

    fn pop_text(&mut self) -> Result<String> {
        let id = self.pop()?;
        match &self.values[id.0 as usize] {
            Value::Text(text) if text.len() <= 1000 => Ok(text.clone()),
            _ => Err(contradiction()),
        }
    }

    fn push_text(&mut self, size: usize) -> Result<()> {
        // Python may write lone surrogates, which are no UTF-8; no weight has such a name.
        match std::str::from_utf8(self.take(size)?) {
            Ok(text) => self.push(Value::Text(text.to_owned())),
            Err(_) => self.push(Value::Other("a text outside UTF-8")),
        }
    }

    fn bytes(&mut self, size: usize) -> Result<()> {
        self.take(size)?;
        self.push(Value::Other("bytes"))
    }

    /// Little endian, two's complement, as few bytes as needed.
    fn long(&mut self, size: usize) -> Result<()> {
        let bytes = self.take(size)?;
        if size > 8 {
            return self.push(Value::Other("an integer beyond 64 bits"));
        }
        let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [sign; 8];
        wide[..size].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    fn memoize(&mut self, slot: u32) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<()> {
        let id = *self.memo.get(&slot).ok_or_else(contradiction)?;
        self.stack.push(id);
        Ok(())
    }

    fn append(&mut self, mut items: Vec<Id>) -> Result<()> {
        match self.top_value()? {
            Value::List(list) => list.append(&mut items),
            Value::Call { .. } => {} // an object of some other class, which no weights need
            _ => return Err(contradiction()),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<Id>) -> Result<()> {
        if items.len() % 2 != 0 {
            return Err(contradiction());
        }
        match self.top_value()? {
            Value::Dict(dict) => dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            Value::Call { .. } => {}
            _ => return Err(contradiction()),
        }
        Ok(())
    }

    fn top_value(&mut self) -> Result<&mut Value> {
        let top = self.top()?;
        Ok(&mut self.values[top.0 as usize])
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let package = module.split('.').next().unwrap_or(module);
        let runs_programs = match package {
            "builtins" | "__builtin__" => PROGRAM_RUNNING_BUILTINS.contains(&name),
            _ => PROGRAM_RUNNERS.contains(&package),
        };
        let full = format!("{module}.{name}");
        if !is_printable(&full) {
            return Err(contradiction());
        }
        if runs_programs {
            return Err(only_tensors(&format!("`{full}`")));
        }
        self.push(Value::Global(full))
    }

    fn call(&mut self, arguments: Id) -> Result<()> {
        let callable = self.pop()?;
        let ordered_dict =
            matches!(&self.values[callable.0 as usize], Value::Global(n) if n == "collections.OrderedDict");
        let no_arguments = matches!(&self.values[arguments.0 as usize], Value::Tuple(items) if items.is_empty());
        if ordered_dict && no_arguments {
            self.push(Value::Dict(Vec::new()))
        } else {
            self.push(Value::Call { callable, arguments })
        }
    }
}

/// The refusal of something that Python would run.
pub(super) fn only_tensors(found: &str) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("found {found}: a weights file may only hold tensors"))
}

fn format(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

fn contradiction() -> Error {
    format("the pickle contradicts itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        Pickle::parse(bytes).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_dictionary_comes_back_in_its_order() {
        // {"b": 1, "a": -2}
        let pickle =
            Pickle::parse(b"\x80\x02}q\x00(X\x01\x00\x00\x00bK\x01X\x01\x00\x00\x00aJ\xfe\xff\xff\xffu.").unwrap();
        let items: Vec<_> = pickle
            .dict(pickle.root())
            .unwrap()
            .iter()
            .map(|&(key, value)| (pickle.text(key).unwrap(), pickle.int(value).unwrap()))
            .collect();
        assert_eq!(items, [("b", 1), ("a", -2)]);
    }

    #[test]
    fn integers_keep_their_sign() {
        for (bytes, expected) in [
            (&b"\x8a\x00."[..], 0),
            (b"\x8a\x01\xff.", -1),
            (b"\x8a\x02\xff\x00.", 255),
            (b"\x8a\x05\0\0\0\0\x01.", 1 << 32),
        ] {
            let pickle = Pickle::parse(bytes).unwrap();
            assert_eq!(pickle.int(pickle.root()), Some(expected));
        }
    }

    #[test]
    fn every_prefix_of_a_pickle_is_an_error_and_no_panic() {
        let whole = b"\x80\x02}q\x00(X\x01\x00\x00\x00bccollections\nOrderedDict\n)R\x8a\x02\xff\x00\x85\x86u.";
        for stop in 0..whole.len() - 1 {
            assert!(Pickle::parse(&whole[..stop]).is_err(), "prefix of {stop} bytes");
        }
    }

    #[test]
    fn a_million_nested_tuples_cost_no_stack() {
        let mut bytes = b"\x80\x02N".to_vec();
        bytes.resize(1_000_000, 0x85);
        bytes.push(b'.');
        let pickle = Pickle::parse(&bytes).unwrap();
        assert_eq!(pickle.describe(pickle.root()), "a tuple");
    }

    #[test]
    fn doubling_through_the_memo_costs_no_memory() {
        let mut bytes = b"\x80\x02]q\x00".to_vec();
        for slot in 0..100u8 {
            bytes.extend([b'h', slot, b'h', slot, 0x86, b'q', slot + 1]); // (x, x) of (x, x) of ...
        }
        bytes.push(b'.');
        assert!(Pickle::parse(&bytes).is_ok());
    }

    #[test]
    fn a_list_that_contains_itself_is_read_once() {
        assert!(Pickle::parse(b"\x80\x02]q\x00h\x00a.").is_ok());
    }

    #[test]
    fn a_text_longer_than_the_pickle_is_refused_before_it_is_allocated() {
        assert_eq!(message(b"\x80\x02X\xff\xff\xff\xffab."), "the pickle breaks off");
        assert_eq!(message(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffab."), "the pickle breaks off");
    }

    #[test]
    fn functions_that_run_programs_are_refused_by_name_wherever_they_stand() {
        let expected = |name| format!("found `{name}`: a weights file may only hold tensors");
        assert_eq!(message(b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R0}."), expected("os.system"));
        assert_eq!(message(b"\x80\x04\x8c\x05posix\x8c\x06system\x93."), expected("posix.system"));
        assert_eq!(message(b"\x80\x02cbuiltins\neval\n."), expected("builtins.eval"));
    }

    #[test]
    fn stack_underflow_and_unknown_opcodes_are_errors() {
        for bytes in [&b"."[..], b"0.", b"t.", b"(0.", b"NNs.", b"h\x05.", b"R.", b"N\x93.", b"q\x00.", b"b.", b"N)a."]
        {
            assert_eq!(message(bytes), "the pickle contradicts itself", "{bytes:?}");
        }
        assert_eq!(message(b"\xf0"), "the pickle has the unknown opcode 0xf0");
    }
}
