#include "core/io/engine_uring.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>

#include <algorithm>
#include <atomic>

namespace iscsi::io {
namespace {

constexpr unsigned entries = 128;       // the completion ring has twice as many

// The kernel's side of the rings is another thread.
unsigned load(const void* p) { return __atomic_load_n(static_cast<const unsigned*>(p), __ATOMIC_ACQUIRE); }
void store_release(void* p, unsigned v) { __atomic_store_n(static_cast<unsigned*>(p), v, __ATOMIC_RELEASE); }

}  // namespace

Ring::~Ring() {
    if (entries_) ::munmap(entries_, entries_size_);
    if (rings_) ::munmap(rings_, rings_size_);
}

bool Ring::open(unsigned count) {
    // COOP_TASKRUN (5.19): completions are noticed at our next system call instead of by an interrupt.
    params_.flags = IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN;
    fd_ = Fd(int(::syscall(SYS_io_uring_setup, count, &params_)));
    if (!fd_ && errno == EINVAL) {
        params_ = {};
        params_.flags = IORING_SETUP_CLAMP;
        fd_ = Fd(int(::syscall(SYS_io_uring_setup, count, &params_)));
    }
    // RW_CUR_POS came with 5.6, as did IORING_OP_READ and WRITE.
    constexpr unsigned needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS;
    if (!fd_ || (params_.features & needed) != needed) return false;
    rings_size_ = std::max<size_t>(params_.sq_off.array + params_.sq_entries * sizeof(unsigned),
                                   params_.cq_off.cqes + params_.cq_entries * sizeof(io_uring_cqe));
    entries_size_ = params_.sq_entries * sizeof(io_uring_sqe);
    auto map = [&](size_t size, off_t at) -> void* {
        void* p = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), at);
        return p == MAP_FAILED ? nullptr : p;
    };
    rings_ = static_cast<uint8_t*>(map(rings_size_, IORING_OFF_SQ_RING));
    entries_ = static_cast<io_uring_sqe*>(map(entries_size_, IORING_OFF_SQES));
    if (!rings_ || !entries_) return false;
    auto* array = reinterpret_cast<unsigned*>(rings_ + params_.sq_off.array);
    for (unsigned i = 0; i < params_.sq_entries; i++) array[i] = i;
    return true;
}

unsigned Ring::room() const {
    const unsigned tail = *reinterpret_cast<unsigned*>(rings_ + params_.sq_off.tail);
    return params_.sq_entries - (tail - load(rings_ + params_.sq_off.head));
}

io_uring_sqe* Ring::next() {
    if (room() == 0) return nullptr;
    const unsigned tail = *reinterpret_cast<unsigned*>(rings_ + params_.sq_off.tail);
    io_uring_sqe* sqe = &entries_[tail & (params_.sq_entries - 1)];
    std::memset(sqe, 0, sizeof *sqe);
    store_release(rings_ + params_.sq_off.tail, tail + 1);      // the kernel looks only in submit()
    queued_++;
    return sqe;
}

int Ring::submit(unsigned wait_for) {
    for (;;) {
        long n = ::syscall(SYS_io_uring_enter, fd_.get(), queued_, wait_for, wait_for ? IORING_ENTER_GETEVENTS : 0, nullptr, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        queued_ -= std::min(queued_, unsigned(n));
        return 0;
    }
}

bool Ring::register_buffer(MutableBytes buffer) {
    iovec whole{buffer.data(), buffer.size()};
    return ::syscall(SYS_io_uring_register, fd_.get(), IORING_REGISTER_BUFFERS, &whole, 1) == 0;
}

const io_uring_cqe* Ring::peek() const {
    const unsigned head = *reinterpret_cast<unsigned*>(rings_ + params_.cq_off.head);
    if (head == load(rings_ + params_.cq_off.tail)) return nullptr;
    auto* cqes = reinterpret_cast<io_uring_cqe*>(rings_ + params_.cq_off.cqes);
    return &cqes[head & (params_.cq_entries - 1)];
}

void Ring::seen() {
    auto* head = reinterpret_cast<unsigned*>(rings_ + params_.cq_off.head);
    store_release(head, *head + 1);
}

UringEngine::UringEngine(Loop& loop, unsigned threads_per_store)
    : loop_(loop), threads_(loop, threads_per_store), flush_(loop, [this] { push(); }) {}

UringEngine::~UringEngine() {
    while (state_ == State::open && in_ring_ + waiting() > 0) {
        push();
        if (in_ring_ > 0 && !ring_.peek()) ring_.submit(1);
        drain();
    }
    if (state_ == State::open) loop_.remove(ring_.fd(), *this);
}

bool UringEngine::ready() {
    if (state_ == State::untried) {
        state_ = ring_.open(entries) && loop_.add(ring_.fd(), EPOLLIN, *this) ? State::open : State::unavailable;
        slots_.reserve(entries);
        free_.reserve(entries);
    }
    return state_ == State::open;
}

void UringEngine::submit(const std::shared_ptr<store::Store>& store, store::Request& request) {
    if (store->fd_for(request) < 0 || !ready()) return threads_.submit(store, request);
    request.error = 0;
    request.progress = 0;
    uint32_t slot;
    if (free_.empty()) {
        slot = uint32_t(slots_.size());
        slots_.push_back({store, &request});
    } else {
        slot = free_.back();
        free_.pop_back();
        slots_[slot] = {store, &request};
    }
    queue_.push_back(slot);
    flush_.schedule();
}

// Past the page cache the kernel needs the pages themselves, and looks up and pins each per request, unless it has them already.
// They are resident from then on: not where memory is dear. A limit on locked memory is no error.
bool UringEngine::registered(Bytes data) {
    const auto at = reinterpret_cast<uintptr_t>(data.data()), begin = reinterpret_cast<uintptr_t>(arena_.data());
    if (at < begin || at + data.size() > begin + arena_.size()) return false;
    if (registration_ == Registration::untried) {
        struct sysinfo info {};
        const bool rich = ::sysinfo(&info) == 0 && uint64_t(info.totalram) * info.mem_unit / 64 >= arena_.size();
        registration_ = rich && ring_.register_buffer(arena_) ? Registration::done : Registration::refused;
    }
    return registration_ == Registration::done;
}

// Puts what is left of a slot's request into the ring.
bool UringEngine::start(uint32_t slot) {
    // As many in flight as the completion ring holds: it never overflows.
    if (in_ring_ >= 2 * entries) return false;
    io_uring_sqe* sqe = ring_.next();
    if (!sqe) return false;
    const store::Request& r = *slots_[slot].request;
    sqe->fd = slots_[slot].store->fd();
    sqe->user_data = slot;
    if (r.op == store::Op::flush) {
        sqe->opcode = IORING_OP_FSYNC;
        sqe->fsync_flags = IORING_FSYNC_DATASYNC;
    } else {
        const bool read = r.op == store::Op::read;
        if (slots_[slot].store->direct() && registered(r.data))
            sqe->opcode = read ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
        else
            sqe->opcode = read ? IORING_OP_READ : IORING_OP_WRITE;
        sqe->off = r.offset + r.progress;
        sqe->addr = reinterpret_cast<uintptr_t>(r.data.data() + r.progress);
        sqe->len = unsigned(std::min<size_t>(r.data.size() - r.progress, 1u << 30));
    }
    in_ring_++;
    return true;
}

void UringEngine::push() {
    size_t taken = 0;
    while (taken < queue_.size()) {
        if (!start(queue_[taken])) {
            if (ring_.unsubmitted() == 0 || ring_.submit(0) != 0) break;
            if (!start(queue_[taken])) break;
        }
        taken++;
    }
    queue_.erase(queue_.begin(), queue_.begin() + long(taken));
    if (ring_.unsubmitted() == 0) return;
    // EAGAIN, EBUSY: the kernel is short of memory, or wants completions taken first; try again in the next wake-up.
    if (ring_.submit(0) != 0) flush_.schedule();
}

void UringEngine::on_ready(uint32_t) {
    drain();
    if (!queue_.empty()) flush_.schedule();
}

void UringEngine::drain() {
    while (const io_uring_cqe* cqe = ring_.peek()) {
        const auto slot = uint32_t(cqe->user_data);
        const int result = cqe->res;
        ring_.seen();
        in_ring_--;
        completed(slot, result);
    }
}

void UringEngine::completed(uint32_t slot, int result) {
    store::Request& r = *slots_[slot].request;
    const bool again = result == -EAGAIN || result == -EINTR;
    if (result > 0 && r.op != store::Op::flush) r.progress += size_t(result);
    if (again || (result > 0 && r.op != store::Op::flush && r.progress < r.data.size())) {
        queue_.push_back(slot);
        flush_.schedule();
        return;
    }
    std::shared_ptr<store::Store> store = std::move(slots_[slot].store);
    slots_[slot].request = nullptr;
    free_.push_back(slot);
    // A descriptor that io_uring will not take (EINVAL, EOPNOTSUPP) is no failure of the medium: let perform() say.
    if (result == -EINVAL || result == -EOPNOTSUPP) return threads_.submit(store, r);
    if (result < 0) r.error = -result;
    else if (r.op != store::Op::flush && result == 0) r.error = EIO;      // past the end: the medium shrank
    else store->done_through_fd(r);
    store.reset();
    r.done(r);
}

}  // namespace iscsi::io
