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

mod machine;
mod value;

pub use value::{only_tensors, Id, Value};

use crate::error::Result;
use machine::Machine;
use value::format;

/// The largest published network needs 0.2 MB; three times that with the state of an optimizer.
pub const SIZE_LIMIT: u64 = 4 << 20;

/// A pickle that has been read to its end.
pub struct Pickle {
    values: Vec<Value>,
    root: Id,
}

impl Pickle {
    /// # Errors
    /// The pickle breaks off, contradicts itself, is larger than [`SIZE_LIMIT`], or names a function that runs
    /// programs.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > SIZE_LIMIT {
            return Err(format(format!("the pickle has {} bytes, expected at most {SIZE_LIMIT}", bytes.len())));
        }
        let mut machine = Machine::new(bytes);
        while !machine.step()? {}
        let root = machine.pop()?;
        Ok(Self { values: machine.values, root })
    }

    pub fn root(&self) -> Id {
        self.root
    }

    pub fn get(&self, id: Id) -> &Value {
        &self.values[id.0 as usize]
    }

    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            Value::Dict(items) => Some(items),
            _ => None,
        }
    }

    /// The name of a called function and its arguments.
    pub fn call(&self, id: Id) -> Option<(&str, &[Id])> {
        let Value::Call { callable, arguments } = self.get(id) else { return None };
        let Value::Global(name) = self.get(*callable) else { return None };
        Some((name, self.tuple(*arguments)?))
    }

    /// For messages: "an integer", "`os.system`" ...
    pub fn describe(&self, id: Id) -> String {
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
