//! Runs a template's render where it can be given up.
//!
//! minijinja's fuel stops what loops or grows step by step, but some single steps of it are
//! unbounded: thirty-three `x + x` build a list of 2^33 items, printing a list that holds itself
//! twice at each of forty levels writes 2^40, and dropping one nested 10^5 deep recurses as far. So
//! a render has a thread with a stack for the deepest value that its fuel can build, a budget of
//! memory, and one of processor time. A thread over budget cannot be unwound from inside an
//! allocation; it is left asleep there, with at most its budget of memory (until its next one it
//! runs only when no other thread wants to), and the caller must not start another for the same
//! template.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::os::unix::thread::JoinHandleExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

pub struct Limits {
    pub memory_bytes: isize,
    pub cpu_time: Duration,
    pub stack_bytes: usize,
}

pub enum End<T> {
    Done(T),
    Panicked,
    /// The thread is lost.
    OverBudget,
}

const POLL: Duration = Duration::from_millis(20);

struct Budgeted;

#[global_allocator]
static ALLOCATOR: Budgeted = Budgeted;

thread_local! {
    /// Memory this thread may still allocate; no limit but in the sandbox.
    static LEFT: Cell<isize> = const { Cell::new(isize::MAX / 2) };
    /// In the sandbox: whether this thread is to stop for good, as it or the caller found.
    static GIVEN_UP: Cell<*const AtomicBool> = const { Cell::new(ptr::null()) };
}

fn spend(bytes: isize) {
    let left = LEFT.get().wrapping_sub(bytes);
    LEFT.set(left);
    let given_up = GIVEN_UP.get();
    if given_up.is_null() || bytes <= 0 {
        return;
    }
    // SAFETY: `run` keeps the flag alive as long as its thread.
    let given_up = unsafe { &*given_up };
    if left < 0 || given_up.load(Ordering::Relaxed) {
        given_up.store(true, Ordering::Relaxed);
        sleep_for_good();
    }
}

#[cold]
fn sleep_for_good() -> ! {
    loop {
        // SAFETY: waits for a signal; touches nothing.
        unsafe { libc::pause() };
    }
}

// SAFETY: every request goes to the system's allocator unchanged, or nowhere.
unsafe impl GlobalAlloc for Budgeted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        spend(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        spend(layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, data: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        spend(size as isize - layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(data, layout, size) }
    }

    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        spend(-(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(data, layout) }
    }
}

/// Runs `work` within `limits`; fails only if no thread can be started.
pub fn run<T: Send + 'static>(
    limits: &Limits,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<End<T>> {
    // Leaked with its thread if that is given up; freed here otherwise.
    let given_up: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let memory_bytes = limits.memory_bytes;
    let (sender, receiver) = channel();
    let thread = Builder::new().stack_size(limits.stack_bytes).spawn(move || {
        GIVEN_UP.set(given_up);
        LEFT.set(memory_bytes);
        let result = catch_unwind(AssertUnwindSafe(work)).ok();
        GIVEN_UP.set(ptr::null());
        let _ = sender.send(result);
    });
    let end = thread.map(|thread| watch(thread, &receiver, given_up, limits.cpu_time));
    if !matches!(end, Ok(End::OverBudget)) {
        // SAFETY: from Box::leak above; the thread, joined or never started, is done with it.
        drop(unsafe { Box::from_raw(ptr::from_ref(given_up).cast_mut()) });
    }
    end
}

fn watch<T>(
    thread: JoinHandle<()>,
    receiver: &Receiver<Option<T>>,
    given_up: &AtomicBool,
    cpu_time: Duration,
) -> End<T> {
    loop {
        match receiver.recv_timeout(POLL) {
            Err(RecvTimeoutError::Timeout) => {
                if given_up.load(Ordering::Relaxed) || time_spent(&thread) > cpu_time {
                    given_up.store(true, Ordering::Relaxed);
                    yield_to_all(&thread);
                    return End::OverBudget;
                }
            }
            result => {
                let _ = thread.join();
                return result.ok().flatten().map_or(End::Panicked, End::Done);
            }
        }
    }
}

fn yield_to_all(thread: &JoinHandle<()>) {
    // SAFETY: all-zero is a valid sched_param; the thread is not joined, so its id is valid.
    unsafe {
        let none: libc::sched_param = std::mem::zeroed();
        libc::pthread_setschedparam(thread.as_pthread_t(), libc::SCHED_IDLE, &none);
    }
}

/// Processor time, so that a busy machine does not count against a render.
fn time_spent(thread: &JoinHandle<()>) -> Duration {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the thread is not joined yet, so its id is valid; both results are ours.
    unsafe {
        if libc::pthread_getcpuclockid(thread.as_pthread_t(), &mut clock) == 0 {
            libc::clock_gettime(clock, &mut time);
        }
    }
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
