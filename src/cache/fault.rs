//! What happens when a mapped file is cut short, or its disk fails, while its pages are read.
//!
//! The system then sends SIGBUS, which ends a process that does not handle it. Every mapping of an
//! entry is listed here. A fault inside one of them marks it and puts pages of zeros in the place of
//! the lost ones, so that the read goes on; whoever reads asks for the mark before it uses the
//! result ([`Watch::is_torn`]). A fault anywhere else goes to the handler that was there before.
//!
//! On systems other than Unix there is nothing to handle: Windows refuses to cut a mapped file.

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// One listed mapping. Listed ones are never freed, as the handler may look at any of them; those no
/// longer used are listed again for others.
#[derive(Debug)]
struct Listed {
    /// Address of its first byte; 0 while nobody uses it.
    start: AtomicUsize,
    /// Address behind its last byte.
    end: AtomicUsize,
    torn: AtomicBool,
    next: AtomicPtr<Listed>,
}

/// The mapping listed last.
static FIRST: AtomicPtr<Listed> = AtomicPtr::new(std::ptr::null_mut());
/// Listed ones that nobody uses.
static UNUSED: Mutex<Vec<&'static Listed>> = Mutex::new(Vec::new());

/// A mapping whose faults are handled until this is dropped; drop it before the mapping.
#[derive(Debug)]
pub(super) struct Watch(&'static Listed);

impl Watch {
    /// Lists a mapping.
    pub(super) fn new(mapping: &[u8]) -> Self {
        handler::install();
        let unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let listed = unused.unwrap_or_else(|| {
            let listed: &'static Listed = Box::leak(Box::new(Listed {
                start: AtomicUsize::new(0),
                end: AtomicUsize::new(0),
                torn: AtomicBool::new(false),
                next: AtomicPtr::default(),
            }));
            let own = std::ptr::from_ref(listed).cast_mut();
            let mut first = FIRST.load(Ordering::Acquire);
            loop {
                listed.next.store(first, Ordering::Relaxed);
                match FIRST.compare_exchange(first, own, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => break listed,
                    Err(other) => first = other,
                }
            }
        });
        let start = mapping.as_ptr() as usize;
        listed.torn.store(false, Ordering::SeqCst);
        listed.end.store(start + mapping.len(), Ordering::SeqCst);
        listed.start.store(start, Ordering::SeqCst);
        Self(listed)
    }

    /// Returns `true` if pages of the mapping were lost and zeros were read in their place.
    pub(super) fn is_torn(&self) -> bool {
        self.0.torn.load(Ordering::SeqCst)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.start.store(0, Ordering::SeqCst);
        self.0.end.store(0, Ordering::SeqCst);
        let mut unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner);
        unused.push(self.0);
    }
}

#[cfg(unix)]
mod handler {
    #![expect(unsafe_code, reason = "a signal handler works on raw addresses")]

    use super::{FIRST, Listed};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Once, OnceLock};

    /// Bytes of a page.
    static PAGE: AtomicUsize = AtomicUsize::new(4096);
    /// The handler that was there before.
    static EARLIER: OnceLock<libc::sigaction> = OnceLock::new();

    /// Installs the handler with the first mapping of the process.
    pub(super) fn install() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: asks for a number; reads and replaces one signal's action with a handler that
            // lives as long as the program and has the signature SA_SIGINFO asks for.
            unsafe {
                let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).unwrap_or(4096);
                PAGE.store(page, Ordering::SeqCst);
                let mut earlier: libc::sigaction = std::mem::zeroed();
                libc::sigaction(libc::SIGBUS, std::ptr::null(), &mut earlier);
                // Known before the handler can be called.
                let _ = EARLIER.set(earlier);
                let mut action: libc::sigaction = std::mem::zeroed();
                let handler: extern "C" fn(_, _, _) = on_fault;
                action.sa_sigaction = handler as usize;
                // On the stack that the standard library keeps for signals, where there is one.
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigemptyset(&mut action.sa_mask);
                if libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()) != 0 {
                    let reason = std::io::Error::last_os_error();
                    tracing::debug!(%reason, "no handler for faults of mapped files");
                }
            }
        });
    }

    /// Atomics and one system call: nothing here may take a lock or allocate.
    extern "C" fn on_fault(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        // SAFETY: the system passes a valid description of the fault, whose address is one of ours if
        // it is in a listed mapping; such a mapping exists as long as it is listed.
        unsafe {
            let is_read = matches!((*info).si_code, BUS_ADRERR | BUS_OBJERR);
            if !(is_read && replaced((*info).si_addr() as usize)) {
                pass_on(signal, info, context);
            }
        }
    }

    /// Codes of a fault: no such place in the file, an error of its device.
    const BUS_ADRERR: libc::c_int = 2;
    const BUS_OBJERR: libc::c_int = 3;

    /// Marks the mapping of an address and puts zeros behind the address; `false` for other addresses.
    ///
    /// # Safety
    /// To be called by the handler alone, for the address of a fault.
    unsafe fn replaced(address: usize) -> bool {
        let mut listed = FIRST.load(Ordering::Acquire);
        // SAFETY: listed mappings are never freed.
        while let Some(mapping) = unsafe { listed.cast_const().as_ref() } {
            let Listed {
                start,
                end,
                torn,
                next,
            } = mapping;
            let end = end.load(Ordering::SeqCst);
            if (start.load(Ordering::SeqCst)..end).contains(&address) {
                let page = PAGE.load(Ordering::SeqCst);
                let first = address - address % page;
                let bytes = end.next_multiple_of(page) - first;
                // Marked first: another thread may read the zeros at once.
                torn.store(true, Ordering::SeqCst);
                // SAFETY: the range belongs to a mapping of this process that is only read; its pages
                // are replaced in one step.
                let zeros = unsafe {
                    libc::mmap(
                        first as *mut libc::c_void,
                        bytes,
                        libc::PROT_READ,
                        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                        -1,
                        0,
                    )
                };
                return zeros != libc::MAP_FAILED;
            }
            listed = next.load(Ordering::Acquire);
        }
        false
    }

    /// Calls the handler that was there before, or has the system do what it does without one.
    ///
    /// # Safety
    /// To be called by the handler alone, with what the system passed.
    unsafe fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let earlier = EARLIER.get();
        let handler = earlier.map_or(libc::SIG_DFL, |earlier| earlier.sa_sigaction);
        // SAFETY: the address is that of a handler with the signature its flags name; with the default
        // action restored the fault comes again and ends the process.
        unsafe {
            match (handler, earlier) {
                (libc::SIG_DFL | libc::SIG_IGN, _) | (_, None) => {
                    libc::signal(signal, libc::SIG_DFL);
                }
                (handler, Some(earlier)) if earlier.sa_flags & libc::SA_SIGINFO != 0 => {
                    type Long = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
                    std::mem::transmute::<usize, Long>(handler)(signal, info, context);
                }
                (handler, Some(_)) => {
                    type Short = extern "C" fn(libc::c_int);
                    std::mem::transmute::<usize, Short>(handler)(signal);
                }
            }
        }
    }
}

#[cfg(not(unix))]
mod handler {
    /// Nothing to install.
    pub(super) fn install() {}
}
