//! Destructors that libtorch registers while it computes.
//!
//! In: the libraries of libtorch that are loaded. Out: nothing; their late destructors wait until nobody computes.
//! Knows nothing of who computes.
//!
//! A variable inside a function is made when the function first runs, and its destructor is registered then: after any
//! handler of ours, so that at exit it would be destroyed before that handler runs. So where libtorch's libraries keep
//! the address of `__cxa_atexit`, ours takes its place: it registers a destructor that waits first. Only tables of
//! libtorch and of this library are changed, none of the host's.

/// Sees to it that destructors that libtorch's libraries register from now on wait for `everyone_has_left`, which gets
/// the process's status. Libraries that were loaded meanwhile are found by calling it again.
pub(super) fn destructors_wait_for(everyone_has_left: fn(status: i32)) {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    elf::destructors_wait_for(everyone_has_left);
    #[cfg(not(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")))]
    let _ = everyone_has_left;
}

#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod elf {
    use libc::{c_char, c_int, c_void};
    use once_cell::sync::OnceCell;
    use std::ffi::CStr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// How the names of their files begin.
    const LIBRARIES: [&[u8]; 3] = [b"libtorch", b"libc10", b"libpromem"];

    type Destructor = unsafe extern "C" fn(object: *mut c_void, status: c_int);
    type Register = unsafe extern "C" fn(destructor: Destructor, object: *mut c_void, library: *mut c_void) -> c_int;

    struct Hook {
        register: Register,
        everyone_has_left: fn(status: i32),
    }

    static HOOK: OnceCell<Hook> = OnceCell::new();

    struct Late {
        destructor: Destructor,
        object: *mut c_void,
    }

    /// What libtorch calls instead of `__cxa_atexit`.
    unsafe extern "C" fn register_late(destructor: Destructor, object: *mut c_void, library: *mut c_void) -> c_int {
        let Some(hook) = HOOK.get() else { return -1 };
        let late = Box::into_raw(Box::new(Late { destructor, object }));
        // SAFETY: the C library's own function; `destroy_late` frees `late`.
        unsafe { (hook.register)(destroy_late, late.cast(), library) }
    }

    /// The C library passes the process's status to every destructor.
    unsafe extern "C" fn destroy_late(late: *mut c_void, status: c_int) {
        // SAFETY: `register_late` made it, and the C library calls this once.
        let late = unsafe { Box::from_raw(late.cast::<Late>()) };
        if let Some(hook) = HOOK.get() {
            (hook.everyone_has_left)(status);
        }
        // SAFETY: what libtorch registered, called once and as it would have been.
        unsafe { (late.destructor)(late.object, status) }
    }

    pub fn destructors_wait_for(everyone_has_left: fn(status: i32)) {
        let found = HOOK.get_or_try_init(|| {
            // SAFETY: the name is NUL-terminated.
            let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__cxa_atexit".as_ptr()) };
            if address.is_null() {
                return Err(());
            }
            // SAFETY: the function of that name has this type.
            let register = unsafe { std::mem::transmute::<*mut c_void, Register>(address) };
            Ok(Hook { register, everyone_has_left })
        });
        if found.is_ok() {
            // SAFETY: the function below takes what it is given and keeps nothing.
            unsafe { libc::dl_iterate_phdr(Some(replace_in), std::ptr::null_mut()) };
        }
    }

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Dynamic {
        tag: i64,
        value: u64,
    }

    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Relocation {
        offset: u64,
        info: u64,
        addend: i64,
    }

    const DT_PLTRELSZ: i64 = 2;
    const DT_STRTAB: i64 = 5;
    const DT_SYMTAB: i64 = 6;
    const DT_RELA: i64 = 7;
    const DT_RELASZ: i64 = 8;
    const DT_PLTREL: i64 = 20;
    const DT_JMPREL: i64 = 23;

    /// Called for each file that the process has loaded.
    unsafe extern "C" fn replace_in(info: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
        // SAFETY: the loader describes a file that stays loaded during the call: name, headers, dynamic section,
        // tables.
        unsafe {
            let info = &*info;
            if info.dlpi_name.is_null() || info.dlpi_phdr.is_null() {
                return 0;
            }
            let name = CStr::from_ptr(info.dlpi_name).to_bytes();
            let name = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
            if !LIBRARIES.iter().any(|library| name.starts_with(library)) {
                return 0;
            }
            let headers = std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
            let header = |kind: u32| headers.iter().find(|header| header.p_type == kind);
            let Some(dynamic) = header(libc::PT_DYNAMIC) else { return 0 };
            let base = info.dlpi_addr;
            let mut entry = (base + dynamic.p_vaddr) as *const Dynamic;
            let mut values = [0u64; 24];
            while (*entry).tag != 0 {
                if let Some(value) = usize::try_from((*entry).tag).ok().and_then(|tag| values.get_mut(tag)) {
                    *value = (*entry).value;
                }
                entry = entry.add(1);
            }
            let value = |tag: i64| values[tag as usize];
            // The loader has made addresses of them, on most processors.
            let table = |tag: i64| if value(tag) < base { value(tag) + base } else { value(tag) };
            if [DT_STRTAB, DT_SYMTAB].iter().any(|&tag| value(tag) == 0) {
                return 0;
            }
            let read_only = header(libc::PT_GNU_RELRO).map(|relro| {
                let first = base + relro.p_vaddr;
                first..first + relro.p_memsz
            });
            let mut tables = vec![(DT_RELA, DT_RELASZ)];
            if value(DT_PLTREL) == DT_RELA as u64 {
                tables.push((DT_JMPREL, DT_PLTRELSZ));
            }
            for (relocations, size) in tables {
                if value(relocations) == 0 {
                    continue;
                }
                let count = value(size) as usize / size_of::<Relocation>();
                let relocations = std::slice::from_raw_parts(table(relocations) as *const Relocation, count);
                for relocation in relocations {
                    let symbol = relocation.info >> 32;
                    if symbol == 0 || relocation.addend != 0 {
                        continue;
                    }
                    let symbol = (table(DT_SYMTAB) as *const libc::Elf64_Sym).add(symbol as usize);
                    let name = (table(DT_STRTAB) as *const c_char).add((*symbol).st_name as usize);
                    if CStr::from_ptr(name) == c"__cxa_atexit" {
                        let place = base + relocation.offset;
                        replace(place, read_only.as_ref().is_some_and(|range| range.contains(&place)));
                    }
                }
            }
        }
        0
    }

    /// Writes our function's address into a table.
    ///
    /// # Safety
    /// `place` holds the address of a function of the type [`Register`].
    unsafe fn replace(place: u64, read_only: bool) {
        let ours = register_late as *const () as usize;
        // SAFETY: aligned as tables of addresses are; other threads only read it.
        let entry = unsafe { AtomicUsize::from_ptr(place as *mut usize) };
        if entry.load(Ordering::SeqCst) == ours {
            return;
        }
        // SAFETY: it has no conditions.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = (place - place % size as u64) as *mut c_void;
        let protect = |rights| {
            // SAFETY: a page of the table, which stays readable throughout.
            unsafe { libc::mprotect(page, size as usize, rights) == 0 }
        };
        if read_only && !protect(libc::PROT_READ | libc::PROT_WRITE) {
            log::warn!(
                "libtorch's table of functions stays read-only: a process that ends while it computes may crash"
            );
            return;
        }
        entry.store(ours, Ordering::SeqCst);
        if read_only {
            protect(libc::PROT_READ);
        }
    }
}
