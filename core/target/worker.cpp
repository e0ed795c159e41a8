#include "core/target/worker.h"

#include <fcntl.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>

#include "core/target/connection.h"
#include "core/target/lingering.h"

namespace iscsi::target {

namespace {
constexpr size_t max_pooled = 256;
constexpr size_t landing_size = 256 * 1024;     // the MaxRecvDataSegmentLength we declare
constexpr size_t max_landings = 4;
constexpr int least_pipe = 64 * 1024;           // bytes
constexpr uint64_t pipe_pause_ms = 200;         // after one could not be had
constexpr size_t keep_parameters = 4096;        // a pooled task keeps at most this much of a parameter list's memory
}

size_t cold_bytes_here() {
    constexpr uint64_t least = 512 * 1024, most = 4 * 1024 * 1024;
    struct sysinfo here {};
    if (::sysinfo(&here) != 0) return most;
    return size_t(std::clamp<uint64_t>(uint64_t(here.totalram) * here.mem_unit / 32, least, most));
}

Worker::Worker(Directory& d, const ServerOptions& o, std::unique_ptr<io::Loop> l)
    : directory(d), options(o), loop(std::move(l)), engine(io::make_engine(*loop, o.engine)), receive_buffer(o.receive_buffer),
      batch(o.send_arena),
      bury_(*loop, [this] {
          dead_connections_.clear();
          dead_sessions_.clear();
          for (auto* place = &lingering_; *place;) {
              if ((*place)->done())
                  *place = std::move((*place)->next);
              else
                  place = &(*place)->next;
          }
      }),
      wake_waiting_(*loop, [this] {
          auto waiting = std::move(waiting_for_room_);
          waiting_for_room_.clear();
          for (Connection* c : waiting) c->resume_reading();
      }) {
    loop->set_busy_poll(o.busy_poll_us);
    if (transfer_memory_) engine->use_memory(transfer_memory_->arena());
}

Worker::~Worker() {
    // What is in flight comes back while the sessions that own it are still there.
    while (!connections_.empty()) connections_.front()->close(nullptr);
    engine.reset();
    // The process ends: its pages are the kernel's alone then, and TCP sends them as they are: what lingers is just closed.
    while (tasks_) tasks_ = std::move(tasks_->pool_next);           // not by recursion
    while (transfers_) transfers_ = std::move(transfers_->next);
}

void Worker::adopt(Fd socket) {
    connections_.push_back(std::make_unique<Connection>(*this, std::move(socket)));
    if (connections_.back()->start()) return;
    connections_.pop_back();
    count--;
}

void Worker::release(Connection& connection) {
    std::erase(waiting_for_room_, &connection);
    auto place = std::find_if(connections_.begin(), connections_.end(), [&](const auto& c) { return c.get() == &connection; });
    if (place == connections_.end()) return;
    dead_connections_.push_back(std::move(*place));
    connections_.erase(place);
    count--;
    bury_.schedule();
}

Session& Worker::add(std::unique_ptr<Session> session) {
    sessions_.push_back(std::move(session));
    return *sessions_.back();
}

void Worker::release(Session& session) {
    auto place = std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& s) { return s.get() == &session; });
    if (place == sessions_.end()) return;
    if (!session.discovery()) {
        for (const auto& [number, unit] : session.luns()) unit->nexus_lost(session.nexus);
        if (options.on_event) options.on_event(session.record->logged_out ? "logout" : "lost", *session.record);
        directory.sessions.remove(*session.record);
    }
    dead_sessions_.push_back(std::move(*place));
    sessions_.erase(place);
    bury_.schedule();
}

std::unique_ptr<Task> Worker::take_task() {
    if (!tasks_) return std::make_unique<Task>();
    auto task = std::move(tasks_);
    tasks_ = std::move(task->pool_next);
    pooled_tasks_--;
    return task;
}

void Worker::give_back(std::unique_ptr<Task> task) {
    if (task->charged > 0) remove_cold(task->charged);
    if (pooled_tasks_ >= max_pooled) return;
    task->command.reset();
    if (task->command.parameters.capacity() > keep_parameters) std::vector<uint8_t>().swap(task->command.parameters);
    task->reset();
    task->pool_next = std::move(tasks_);
    tasks_ = std::move(task);
    pooled_tasks_++;
}

std::unique_ptr<Transfer> Worker::take_transfer() {
    if (!transfers_) return std::make_unique<Transfer>();
    auto transfer = std::move(transfers_);
    transfers_ = std::move(transfer->next);
    pooled_transfers_--;
    return transfer;
}

void Worker::give_back(std::unique_ptr<Transfer> transfer) {
    if (pooled_transfers_ >= max_pooled) return;
    transfer->buffer.reset();
    transfer->task = nullptr;
    transfer->next = std::move(transfers_);
    transfers_ = std::move(transfer);
    pooled_transfers_++;
}

Buffer Worker::take_landing(size_t size) {
    if (size > landing_size || landings_.empty()) return Buffer(std::max(size, landing_size));
    Buffer landing = std::move(landings_.back());
    landings_.pop_back();
    return landing;
}

void Worker::give_back(Buffer landing) {
    if (landing.size() == landing_size && landings_.size() < max_landings) landings_.push_back(std::move(landing));
}

std::unique_ptr<Pipe> Worker::take_pipe() {
    if (!pipes_.empty()) {
        auto pipe = std::move(pipes_.back());
        pipes_.pop_back();
        return pipe;
    }
    // A connection whose payload trickles in holds its pipe, two descriptors and up to 256 KiB, as long as it likes.
    if (*pipes_out_ >= max_pipes() || loop->now_ms() < pipes_again_ms_) return nullptr;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        pipes_again_ms_ = loop->now_ms() + pipe_pause_ms;
        return nullptr;
    }
    auto pipe = std::make_unique<Pipe>(Fd(ends[0]), Fd(ends[1]), pipes_out_);
    // What is refused leaves 64 KiB: more calls, nothing else. But over /proc/sys/fs/pipe-user-pages-soft it is a page or two,
    // and to copy takes fewer calls.
    if (::fcntl(ends[1], F_SETPIPE_SZ, landing_size) < 0 && ::fcntl(ends[1], F_GETPIPE_SZ) < least_pipe) {
        pipes_again_ms_ = loop->now_ms() + pipe_pause_ms;
        return nullptr;
    }
    return pipe;
}

size_t Worker::max_pipes() const { return std::max<size_t>(4 * options.max_cold_bytes / landing_size, max_landings); }

void Worker::give_back(std::unique_ptr<Pipe> pipe) {
    if (pipe && pipes_.size() < max_landings) pipes_.push_back(std::move(pipe));
}

void Worker::remove_cold(size_t bytes) {
    cold_bytes_ -= bytes;
    if (!waiting_for_room_.empty() && cold_room()) wake_waiting_.schedule();
}

void Worker::add_held(size_t bytes) {
    held_bytes_ += bytes;
    add_cold(bytes);
}

void Worker::remove_held(size_t bytes) {
    held_bytes_ -= bytes;
    if (bytes > 0) remove_cold(bytes);
}

void Worker::linger(Fd socket, std::unique_ptr<io::Zerocopy> zerocopy) {
    auto lingering = std::make_unique<Lingering>(*this, std::move(socket), std::move(zerocopy));
    lingering->next = std::move(lingering_);
    lingering_ = std::move(lingering);
}

void Worker::wait_for_room(Connection& connection) {
    if (std::find(waiting_for_room_.begin(), waiting_for_room_.end(), &connection) == waiting_for_room_.end())
        waiting_for_room_.push_back(&connection);
}

}  // namespace iscsi::target
