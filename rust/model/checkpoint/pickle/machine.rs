//! Python's stack machine: opcodes become values, and nothing is called.

use super::value::{contradiction, format, only_tensors, Id, Value};
use crate::error::Result;
use crate::model::weights::is_printable;
use std::collections::HashMap;

/// Modules whose functions run programs. Nothing is called here, but whoever opens such a file elsewhere is attacked,
/// so it is refused wherever in the file they stand.
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

/// A pickle that is being read.
pub struct Machine<'a> {
    rest: &'a [u8],
    pub values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() }
    }

    /// One opcode; true at the end. Opcodes as in CPython's `pickletools.py`, binary ones of protocols 2 to 5.
    pub fn step(&mut self) -> Result<bool> {
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

    pub fn pop(&mut self) -> Result<Id> {
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
