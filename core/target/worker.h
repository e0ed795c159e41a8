// One thread of the target: its loop, the store engine, the buffers that all its connections share, and the sessions and
// connections that live on it.
#pragma once
#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "core/base/buffer.h"
#include "core/base/fd.h"
#include "core/io/engine.h"
#include "core/io/loop.h"
#include "core/io/transfer_memory.h"
#include "core/io/zerocopy.h"
#include "core/target/directory.h"
#include "core/target/task.h"
#include "core/wire/pdu_writer.h"

namespace iscsi::target {

class Connection;
class Lingering;
class Session;

size_t cold_bytes_here();       // 4 MiB; on a board of little memory, a part of it

struct ServerOptions {
    unsigned threads = 1;
    size_t receive_buffer = 256 * 1024;     // per worker, shared by its connections
    size_t send_arena = 512 * 1024;         // per worker, likewise
    size_t max_cold_bytes = cold_bytes_here();  // per worker: memory of transfers that wait for a disk
    unsigned max_connections = 4096;        // per process
    unsigned login_timeout_s = 15;
    unsigned discovery_timeout_s = 60;      // a discovery session that asks nothing
    std::string congestion = "auto";        // of the connections' TCP: io::choose_congestion_control()
    unsigned busy_poll_us = 0;              // io::Loop::set_busy_poll()
    bool zerocopy = true;                   // io::Zerocopy, where it pays
    unsigned linger_ms = 5000;              // Lingering's patience
    io::EngineOptions engine;
    // Called on any thread, one line's worth: "login", "logout", "error" … for `iscsi export`'s event lines.
    std::function<void(const char* event, const SessionRecord& session)> on_event;
};

struct Pipe {
    Pipe(Fd o, Fd i, std::shared_ptr<size_t> c) : out(std::move(o)), in(std::move(i)), count(std::move(c)) { ++*count; }
    ~Pipe() { --*count; }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    Fd out, in;
    const std::shared_ptr<size_t> count;            // the worker's
};

class Worker {
public:
    Worker(Directory& directory, const ServerOptions& options, std::unique_ptr<io::Loop> loop);
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    void adopt(Fd socket);                          // a new connection; on the loop's thread
    void release(Connection& connection);           // destroys it at the end of this wake-up
    void release(Session& session);
    Session& add(std::unique_ptr<Session> session);

    std::unique_ptr<Task> take_task();
    void give_back(std::unique_ptr<Task> task);
    std::unique_ptr<Transfer> take_transfer();
    void give_back(std::unique_ptr<Transfer> transfer);
    std::shared_ptr<MutableBytes> transfer_memory(size_t size) { return io::TransferMemory::take(transfer_memory_, size); }
    // A buffer for one PDU's payload that arrives in pieces, `size` bytes at least; give it back when the PDU is done with.
    Buffer take_landing(size_t size);
    void give_back(Buffer landing);
    // An empty pipe; nullptr if there is none to be had. Give it back only when it is empty again, or destroy it.
    std::unique_ptr<Pipe> take_pipe();
    size_t max_pipes() const;
    size_t pipes() const { return *pipes_out_; }    // that exist
    void give_back(std::unique_ptr<Pipe> pipe);
    // Accounts for memory of transfers that wait; false: too much, stop reading until it shrinks.
    bool cold_room() const { return cold_bytes_ < options.max_cold_bytes; }
    void add_cold(size_t bytes) { cold_bytes_ += bytes; }
    void remove_cold(size_t bytes);
    // Of that, memory that was read and is on its way (io::Zerocopy): half of all at most, so that the disk can go on; and a
    // connection has `own` and asks for `more` as long as it does not get more than it leaves: who does not acknowledge takes none
    // from the others.
    bool held_room(size_t own, size_t more) const { return own + held_bytes_ + more <= options.max_cold_bytes / 2; }
    void add_held(size_t bytes);
    void remove_held(size_t bytes);
    // Takes over what a closed connection leaves in the kernel.
    void linger(Fd socket, std::unique_ptr<io::Zerocopy> zerocopy);
    void release(Lingering&) { bury_.schedule(); }
    size_t held_bytes() const { return held_bytes_; }
    // Called when cold_room() is true again.
    void wait_for_room(Connection& connection);

    bool idle() const { return connections_.empty() && sessions_.empty(); }
    std::list<std::unique_ptr<Session>>& sessions() { return sessions_; }

    std::atomic<size_t> count{0};                   // connections, those on their way here included; any thread
    Directory& directory;
    const ServerOptions& options;
    const std::unique_ptr<io::Loop> loop;
    std::unique_ptr<io::Engine> engine;             // never replaced
    Buffer receive_buffer;
    wire::PduBatch batch;
    scsi::Chunk chunk;                              // for transfers that complete at once

private:
    std::list<std::unique_ptr<Connection>> connections_;
    std::list<std::unique_ptr<Session>> sessions_;
    std::vector<std::unique_ptr<Connection>> dead_connections_;
    std::vector<std::unique_ptr<Session>> dead_sessions_;
    std::vector<Connection*> waiting_for_room_;
    std::unique_ptr<Lingering> lingering_;
    io::Deferred bury_, wake_waiting_;
    std::unique_ptr<Task> tasks_;
    std::unique_ptr<Transfer> transfers_;
    std::shared_ptr<io::TransferMemory> transfer_memory_ = io::TransferMemory::create();
    std::vector<Buffer> landings_;
    std::shared_ptr<size_t> pipes_out_ = std::make_shared<size_t>(0);
    uint64_t pipes_again_ms_ = 0;                   // none is asked for before
    std::vector<std::unique_ptr<Pipe>> pipes_;
    size_t pooled_tasks_ = 0, pooled_transfers_ = 0, cold_bytes_ = 0, held_bytes_ = 0;
};

}  // namespace iscsi::target
