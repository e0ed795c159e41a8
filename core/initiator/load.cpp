#include "core/initiator/load.h"

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <bit>

#include "core/base/random.h"
#include "core/base/sizes.h"
#include "core/initiator/advice.h"
#include "core/initiator/remote_lun.h"

namespace iscsi::initiator {
namespace {

uint64_t now_ns() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return uint64_t(t.tv_sec) * 1000000000 + uint64_t(t.tv_nsec);
}

constexpr uint64_t ask_limit_ms = 60000;                // for what is asked before the load
constexpr uint64_t grace_ns = 10'000'000'000;           // for commands under way when the time is over
constexpr uint64_t hurried_grace_ns = 1'000'000'000;    // and when somebody waits for it to end

double seconds(const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; }

}  // namespace

unsigned Histogram::place(uint64_t ns) {
    constexpr uint64_t steps = 1u << steps_log2;
    if (ns < steps) return unsigned(ns);
    const unsigned group = unsigned(std::bit_width(ns)) - steps_log2;            // >= 1
    const unsigned step = unsigned(ns >> (group - 1)) & (steps - 1);
    return std::min<unsigned>((group << steps_log2) | step, (groups << steps_log2) - 1);
}

uint64_t Histogram::value(unsigned place) {
    const unsigned group = place >> steps_log2, step = place & ((1u << steps_log2) - 1);
    if (group == 0) return step;
    return ((uint64_t(1) << steps_log2) + step) << (group - 1);
}

void Histogram::add(uint64_t ns) {
    buckets_[place(ns)]++;
    count_++;
    sum_ += ns;
    min_ = std::min(min_, ns);
    max_ = std::max(max_, ns);
}

void Histogram::merge(const Histogram& other) {
    for (size_t i = 0; i < buckets_.size(); i++) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    min_ = std::min(min_, other.min_);
    max_ = std::max(max_, other.max_);
}

uint64_t Histogram::percentile(double p) const {
    uint64_t rank = uint64_t(double(count_) * p / 100.0 + 0.5), seen = 0;
    rank = std::clamp<uint64_t>(rank, 1, std::max<uint64_t>(count_, 1));
    for (size_t i = 0; i < buckets_.size(); i++) {
        seen += buckets_[i];
        if (seen >= rank) return std::clamp(value(unsigned(i)), min(), max());
    }
    return max();
}

namespace {

class Load;

// One session and its commands.
class Stream final : public SessionOwner {
public:
    Stream(Load& load, io::Loop& loop, const SessionConfig& config, unsigned index);
    void begin();                       // submits `depth` commands
    Session session;
    bool up = false, ended = false;
    std::string why;

private:
    struct Slot {
        ScsiRequest request;
        Stream* stream = nullptr;
        uint64_t started = 0;
        bool write = false;
    };
    void session_up(Session&) override { up = true; }
    void session_down(Session&, const std::string& text) override { why = text; }
    void session_ended(Session&, const SessionEnd& end) override;
    void submit(Slot& slot, uint64_t now);
    void completed(Slot& slot);
    uint64_t random() {                 // xorshift64*
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1d;
    }

    Load& load_;
    std::vector<Slot> slots_;
    uint64_t state_, first_ = 0, count_ = 0, next_ = 0;         // in commands' blocks
};

class Load {
public:
    explicit Load(const LoadPlan& p) : plan(p) {}
    Result<LoadResult> run();

    const LoadPlan& plan;
    LoadResult result;
    DiskInfo disk;
    uint64_t commands = 0;              // whole ones that fit the range
    std::vector<uint8_t> data;
    uint64_t begin_ns = 0, end_ns = 0, last_ns = 0, submitted = 0;
    bool measuring = false, stopping = false;
    std::string failure;
    unsigned in_flight = 0;

private:
    Result<void> prepare();
    Result<void> connect(io::Loop& loop);
    std::unique_ptr<io::Loop> own_loop_;                        // outlives the sessions on it, whatever ends the run
    std::vector<std::unique_ptr<Stream>> streams_;
};

Stream::Stream(Load& load, io::Loop& loop, const SessionConfig& config, unsigned index)
    : session(loop, config, *this), load_(load), slots_(load.plan.depth),
      state_((load.plan.seed + index) * 0x9e3779b97f4a7c15 | 1) {
    // A sequential stream has a part of the range for itself.
    const unsigned n = load.plan.sessions;
    first_ = load.commands / n * index;
    count_ = index + 1 == n ? load.commands - first_ : load.commands / n;
    if (load.plan.random || count_ == 0) {
        first_ = 0;
        count_ = load.commands;
    }
}

void Stream::session_ended(Session&, const SessionEnd& end) {
    ended = true;
    why = end.text + advice(end, !load_.plan.session.login.chap.account.user.empty());
}

void Stream::begin() {
    const uint64_t now = now_ns();
    for (Slot& slot : slots_) {
        slot.stream = this;
        slot.request.lun = load_.plan.lun;
        slot.request.owner = &slot;
        slot.request.done = [](ScsiRequest& r) {
            Slot& s = *static_cast<Slot*>(r.owner);
            s.stream->completed(s);
        };
        submit(slot, now);
    }
}

void Stream::submit(Slot& slot, uint64_t now) {
    const LoadPlan& plan = load_.plan;
    if (load_.stopping || (plan.count > 0 && load_.submitted >= plan.count)) return;
    load_.submitted++;
    load_.in_flight++;
    uint64_t at;
    if (plan.random) {
        at = random() % count_;
    } else {
        at = first_ + next_;
        if (++next_ == count_) next_ = 0;
    }
    const uint32_t blocks = plan.block / load_.disk.block_size;
    slot.write = plan.write_percent == 100 || (plan.write_percent > 0 && random() % 100 < plan.write_percent);
    ScsiRequest& r = slot.request;
    r.in = {};
    r.out = {};
    r.discard = 0;
    if (slot.write) {
        make_write(r, at * blocks, blocks);
        r.out = Bytes(load_.data).first(plan.block);
    } else {
        make_read(r, at * blocks, blocks);
        if (plan.discard) r.discard = plan.block;
        else r.in = MutableBytes(load_.data).first(plan.block);
    }
    slot.started = now;
    session.submit(r);
}

void Stream::completed(Slot& slot) {
    load_.in_flight--;
    const uint64_t now = now_ns();
    ScsiRequest& r = slot.request;
    if (!r.good()) {
        if (worth_retry(r) && load_.result.retries < 1000) {
            load_.result.retries++;
            load_.submitted--;
            return submit(slot, now);
        }
        if (load_.failure.empty()) load_.failure = (slot.write ? "write: " : "read: ") + explain(r, {});
        load_.stopping = true;
        return;
    }
    if (!slot.write && r.transferred != load_.plan.block && load_.failure.empty()) {
        load_.failure = "read: the target sent less than was asked for and calls it GOOD";
        load_.stopping = true;
        return;
    }
    if (load_.measuring && now <= load_.end_ns) {
        LoadResult::Side& side = slot.write ? load_.result.write : load_.result.read;
        side.bytes += load_.plan.block;
        side.latency.add(now - slot.started);
        load_.last_ns = now;
    }
    if (now >= load_.end_ns) load_.stopping = true;
    submit(slot, now);
}

Result<void> Load::prepare() {
    auto client = TRY(Client::connect(plan.session, nullptr, ask_limit_ms));
    disk = TRY(disk_info(*client, plan.lun));
    if (plan.block % disk.block_size) return Error{0, "block size is no multiple of the unit's", std::to_string(disk.block_size)};
    if (plan.write_percent > 0 && disk.read_only) return Error{0, write_protected, ""};
    uint64_t range = plan.range ? std::min(plan.range, disk.bytes()) : disk.bytes();
    commands = range / plan.block;
    if (commands == 0) return Error{0, "the unit is smaller than one command", brief_size(range)};
    data.resize(plan.block);
    if (plan.write_percent > 0) fill_random(MutableBytes(data));
    return {};
}

Result<void> Load::connect(io::Loop& loop) {
    SessionConfig config = plan.session;
    config.max_commands = plan.depth;
    config.replacement_timeout_ms = 0;
    config.receive_buffer = std::clamp<size_t>(size_t(plan.depth) * (plan.block + 64), 8192, 256 * 1024);
    const uint64_t begin = now_ns();
    for (unsigned i = 0; i < plan.sessions; i++) {
        config.login.isid = random_isid();
        streams_.push_back(std::make_unique<Stream>(*this, loop, config, i));
        streams_.back()->session.start();
    }
    for (auto& s : streams_) {
        while (!s->up && !s->ended) loop.run_once(-1);
        if (s->ended) return Error{0, s->why, ""};
    }
    result.login_us = (now_ns() - begin) / 1000;
    result.header_digest = streams_[0]->session.params().header_digest;
    result.data_digest = streams_[0]->session.params().data_digest;
    return {};
}

Result<LoadResult> Load::run() {
    TRY_VOID(prepare());
    if (!plan.loop) own_loop_ = TRY(io::Loop::create());
    io::Loop* const loop = plan.loop ? plan.loop : own_loop_.get();
    loop->set_busy_poll(plan.busy_poll_us);
    TRY_VOID(connect(*loop));
    if (plan.begins) plan.begins();
    auto interrupted = [&] { return plan.interrupted && *plan.interrupted; };
    rusage before{}, after{};
    begin_ns = now_ns();
    end_ns = UINT64_MAX;
    measuring = plan.ramp_ms == 0;
    for (auto& s : streams_) s->begin();
    if (!measuring) {
        const uint64_t ramp_end = begin_ns + plan.ramp_ms * 1000000;
        while (now_ns() < ramp_end && !stopping && !interrupted()) loop->run_once(10);
        measuring = !interrupted();
        begin_ns = now_ns();
    }
    ::getrusage(RUSAGE_SELF, &before);
    if (plan.count == 0) end_ns = begin_ns + plan.time_ms * 1000000;
    io::Timer clock(*loop, [] {});                      // wakes the loop at the end even if nothing answers
    if (plan.count == 0) clock.arm(plan.time_ms + 1);
    auto ended = [&] { return std::any_of(streams_.begin(), streams_.end(), [](auto& s) { return s->ended; }); };
    uint64_t stopped_ns = 0;
    while (in_flight > 0) {
        loop->run_once(1000);
        const uint64_t now = now_ns();
        if (!result.interrupted && interrupted()) {
            result.interrupted = stopping = true;
            end_ns = std::min(end_ns, now);
        }
        if (!stopping && now >= end_ns) stopping = true;
        if (stopping && !stopped_ns) stopped_ns = now;
        if (result.interrupted && now - stopped_ns >= hurried_grace_ns) break;
        if (stopping && now - stopped_ns >= grace_ns) return Error{0, std::to_string(in_flight) + " commands are not answered", ""};
    }
    ::getrusage(RUSAGE_SELF, &after);
    if (!failure.empty()) return Error{0, failure + (ended() && !streams_[0]->why.empty() ? ": " + streams_[0]->why : ""), ""};
    for (auto& s : streams_) in_flight > 0 ? s->session.abandon("interrupted") : s->session.logout();
    for (auto& s : streams_)
        while (!s->ended) loop->run_once(1000);
    result.seconds = double((plan.count ? last_ns : std::max(last_ns, std::min(end_ns, now_ns()))) - begin_ns) / 1e9;
    result.user_seconds = seconds(after.ru_utime) - seconds(before.ru_utime);
    result.system_seconds = seconds(after.ru_stime) - seconds(before.ru_stime);
    return std::move(result);
}

}  // namespace

Result<LoadResult> run_load(const LoadPlan& plan) { return Load(plan).run(); }

}  // namespace iscsi::initiator
