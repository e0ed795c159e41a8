// READ, WRITE, VERIFY, WRITE AND VERIFY, ORWRITE, PRE-FETCH, SYNCHRONIZE CACHE, COMPARE AND WRITE: SBC-3 clause 5.
#include <algorithm>

#include "core/io/engine.h"
#include "core/scsi/disk.h"
#include "core/scsi/table.h"

namespace iscsi::scsi {
namespace {

constexpr size_t piece = 128 << 10;         // what worker threads read or write at a time

int blocking(store::Store& s, store::Op op, uint64_t offset, MutableBytes data) {
    store::Request r;
    r.op = op;
    r.offset = offset;
    r.length = data.size();
    r.data = data;
    return s.perform(r);
}

int flush_now(store::Store& s) { return blocking(s, store::Op::flush, 0, {}); }

}  // namespace

// All commands whose blocks go between initiator and medium. RDPROTECT and WRPROTECT: there is no protection information.
bool Handlers::check_medium(Unit& u, Command& c) {
    Disk& d = disk(u);
    const Extent e = extent(c.cdb);
    c.medium_op = c.row->op;
    if (c.row->length > 6) {
        if (c.cdb[1] >> 5) return illegal(c, 0x24);
        c.fua = c.cdb[1] & 8;
    }
    if (c.row->op == MediumOp::write_verify) {
        // Verified against the data sent (BYTCHK 01b), or by the medium having taken them: a flush, either way.
        const unsigned check = (c.cdb[1] >> 1) & 3;
        if (check > 1) return illegal(c, 0x24);
        if (check == 0) c.medium_op = MediumOp::write;
        c.fua = true;
    }
    if (!in_range(d, c, e)) return false;
    c.offset = e.lba << d.block_shift_;
    c.length = uint64_t(e.blocks) << d.block_shift_;
    return true;
}

// BYTCHK 00b: the medium can be read. 01b: it equals the data sent. 11b: each block equals the one block sent.
bool Handlers::check_verify(Unit& u, Command& c) {
    Disk& d = disk(u);
    const Extent e = extent(c.cdb);
    const unsigned check = (c.cdb[1] >> 1) & 3;
    if ((c.cdb[1] >> 5) || check == 2) return illegal(c, 0x24);
    if (!in_range(d, c, e)) return false;
    c.medium_op = MediumOp::verify;
    c.offset = e.lba << d.block_shift_;
    if (check == 1) {
        c.flow = Flow::medium_write;
        c.length = uint64_t(e.blocks) << d.block_shift_;
    } else if (check == 3 && e.blocks) {
        c.flow = Flow::data_out;
        c.length = d.block_size();
    }
    return true;
}

bool Handlers::verify_medium(Unit& u, Command& c) {
    if (extent(c.cdb).blocks == 0) return true;
    if (c.flow == Flow::data_out && c.parameters.size() != c.length) return illegal(c, 0x1a), true;
    return submit(disk(u), c, [](Disk& d, Command& command) {
        store::Store& s = *d.medium().store;
        const bool compare = command.flow == Flow::data_out;
        std::vector<uint8_t> buffer(piece);
        const uint64_t start = command.offset, end = start + (uint64_t(extent(command.cdb).blocks) << d.block_shift_);
        for (uint64_t at = start; at < end;) {
            if (!compare) {
                store::Extent e = s.extent_at(at, end - at);
                if (!e.mapped && e.length > 0) { at += e.length; continue; }
            }
            const size_t n = size_t(std::min<uint64_t>(piece, end - at));
            if (int error = blocking(s, store::Op::read, at, MutableBytes(buffer).first(n)))
                return fail_store(command, error, store::Op::read);
            for (size_t i = 0; compare && i < n; i += command.parameters.size())
                if (std::memcmp(&buffer[i], command.parameters.data(), command.parameters.size()) != 0)
                    return fail(command, SenseKey::miscompare, 0x1d);
            at += n;
        }
    });
}

bool Handlers::check_range(Unit& u, Command& c) { return in_range(disk(u), c, extent(c.cdb)); }

bool Handlers::prefetch(Unit& u, Command& c) {
    return submit(disk(u), c, [](Disk& d, Command& command) {
        constexpr uint64_t most = 32 << 20;     // no more than a cache may reasonably be asked to keep
        const Extent e = extent(command.cdb);
        const uint64_t blocks = e.blocks ? e.blocks : d.blocks() - std::min(e.lba, d.blocks());
        d.medium().store->prefetch(e.lba << d.block_shift_, std::min(blocks << d.block_shift_, most));
    });
}

// The whole cache, whatever the range says. IMMED would let us answer first; an answer after the flush is worth more.
bool Handlers::synchronize(Unit& u, Command& c) { return disk(u).flush(c); }

// SBC-3 5.2. One at a time for each disk, on a worker thread.
bool Handlers::check_compare_and_write(Unit& u, Command& c) {
    Disk& d = disk(u);
    const Extent e{get64(c.cdb + 2), c.cdb[13]};
    // Another amount of data than the CDB says is refused: 256 blocks, say, are 0 in their one byte.
    if ((c.cdb[1] >> 5) || e.blocks > max_compare_blocks) return illegal(c, 0x24);
    if (!in_range(d, c, e)) return false;
    c.fua = c.cdb[1] & 8;
    c.offset = e.lba << d.block_shift_;
    c.length = uint64_t(e.blocks) << d.block_shift_ << 1;
    if (c.expected_out && c.expected_out != c.length) return illegal(c, 0x24);
    if (e.blocks == 0) c.flow = Flow::none;
    return true;
}

bool Handlers::compare_and_write(Unit& u, Command& c) {
    if (c.length == 0) return true;
    if (c.parameters.size() != c.length) return illegal(c, 0x1a), true;
    return submit(disk(u), c, [](Disk& d, Command& command) {
        store::Store& s = *d.medium().store;
        const MutableBytes expected = MutableBytes(command.parameters).first(command.parameters.size() / 2);
        const MutableBytes wanted = MutableBytes(command.parameters).subspan(expected.size());
        std::vector<uint8_t> now(expected.size());
        std::lock_guard lock(d.rmw_);
        if (int error = blocking(s, store::Op::read, command.offset, now)) return fail_store(command, error, store::Op::read);
        auto differs = std::mismatch(now.begin(), now.end(), expected.begin()).first;
        if (differs != now.end()) {
            Sense sense{SenseKey::miscompare, 0x1d, 0, uint64_t(differs - now.begin()), {}};
            return fail(command, sense);
        }
        if (int error = blocking(s, store::Op::write, command.offset, wanted)) return fail_store(command, error, store::Op::write);
        if (command.fua || d.flag(Unit::State::write_through))
            if (int error = flush_now(s)) fail_store(command, error, store::Op::flush);
    });
}

// ---- Disk's part of the medium flows

bool Disk::flush(Command& c) {
    c.request = {};
    c.request.op = store::Op::flush;
    c.request.owner = &c;
    c.request.done = [](store::Request& r) {
        auto& command = *static_cast<Command*>(r.owner);
        if (r.error) fail_store(command, r.error, store::Op::flush);
        command.done(command);
    };
    c.engine->submit(medium().store, c.request);
    return false;
}

// Writes that must be durable are flushed once per command, not once per chunk.
bool Disk::finish(Command& c) {
    if (c.status != Status::good || c.flow != Flow::medium_write || c.medium_op == MediumOp::verify) return true;
    if (!c.fua && !flag(State::write_through)) return true;
    return flush(c);
}

namespace {

// Only plain READ and WRITE leave the bytes as they are.
bool plain(const Command& c, uint64_t position, size_t length) {
    const bool reads = c.flow == Flow::medium_read && c.medium_op == MediumOp::read;
    const bool writes = c.flow == Flow::medium_write && c.medium_op == MediumOp::write;
    return (reads || writes) && position <= c.length && length <= c.length - position;
}

}  // namespace

MutableBytes Disk::in_place(Command& c, uint64_t position, size_t length) {
    if (!plain(c, position, length)) return {};
    return medium().store->map(c.offset + position, length, c.flow == Flow::medium_write);
}

store::FileRange Disk::in_file(Command& c, uint64_t position, size_t length) {
    if (c.flow != Flow::medium_read || !plain(c, position, length)) return {};
    return medium().store->in_file(c.offset + position, length);
}

bool Disk::splices(Command& c, uint64_t position, size_t length) {
    return c.flow == Flow::medium_write && plain(c, position, length) && medium().store->splices(c.offset + position, length);
}

ssize_t Disk::splice(Command& c, uint64_t position, int pipe, size_t length) {
    if (c.flow != Flow::medium_write || !plain(c, position, length)) return -EAGAIN;
    return medium().store->try_splice(pipe, length, c.offset + position);
}

namespace {

bool give_up(Chunk& chunk, int error, store::Op op) {
    fail_store(*chunk.command, error, op);
    chunk.failed = true;
    return true;
}

void plain_done(store::Request& r) {
    auto& chunk = *static_cast<Chunk*>(r.owner);
    if (r.error) give_up(chunk, r.error, r.op);
    chunk.done(chunk);
}

// What combine() answers, to be made sense data of on the loop: other chunks of the command may be failing there.
constexpr int miscompared = -1, reading = 1 << 16;

}  // namespace

// At once as far as the store lets us, the rest by the engine.
bool Disk::move(Chunk& chunk, store::Op op, uint64_t offset) {
    const Medium& m = medium();
    size_t done = 0;
    while (done < chunk.data.size()) {
        const MutableBytes rest = chunk.data.subspan(done);
        const ssize_t n = op == store::Op::read ? m.store->try_read(rest, offset + done) : m.store->try_write(rest, offset + done);
        if (n == -EAGAIN) break;
        if (n < 0) return give_up(chunk, int(-n), op);
        if (n == 0) return give_up(chunk, EIO, op);
        done += size_t(n);
    }
    if (done == chunk.data.size()) return true;
    if (chunk.at_once) return false;        // what has been written will be written again
    chunk.request = {};
    chunk.request.op = op;
    chunk.request.offset = offset + done;
    chunk.request.data = chunk.data.subspan(done);
    chunk.request.length = chunk.request.data.size();
    chunk.request.owner = &chunk;
    chunk.request.done = plain_done;
    chunk.command->engine->submit(m.store, chunk.request);
    return false;
}

// VERIFY, WRITE AND VERIFY with BYTCHK, ORWRITE: rare, so the whole chunk is done on a worker thread.
int Disk::combine(Chunk& chunk, uint64_t offset) {
    store::Store& s = *medium().store;
    const MediumOp op = chunk.command->medium_op;
    chunk.scratch.resize(chunk.data.size());
    std::unique_lock lock(rmw_, std::defer_lock);
    if (op == MediumOp::orwrite) lock.lock();
    if (op == MediumOp::write_verify)
        if (int error = blocking(s, store::Op::write, offset, chunk.data)) return error;
    if (int error = blocking(s, store::Op::read, offset, chunk.scratch)) return error | reading;
    if (op != MediumOp::orwrite)
        return std::memcmp(chunk.scratch.data(), chunk.data.data(), chunk.data.size()) == 0 ? 0 : miscompared;
    for (size_t i = 0; i < chunk.data.size(); i++) chunk.scratch[i] |= chunk.data[i];
    return blocking(s, store::Op::write, offset, chunk.scratch);
}

bool Disk::transfer(Chunk& chunk) {
    Command& c = *chunk.command;
    if (chunk.position > c.length || chunk.data.size() > c.length - chunk.position) return give_up(chunk, EIO, store::Op::read);
    const uint64_t offset = c.offset + chunk.position;
    if (chunk.data.empty()) return true;
    if (c.medium_op == MediumOp::read) return move(chunk, store::Op::read, offset);
    if (c.medium_op == MediumOp::write) return move(chunk, store::Op::write, offset);
    if (chunk.at_once) return false;
    chunk.request = {};
    chunk.request.op = store::Op::work;
    chunk.request.offset = offset;
    chunk.request.owner = &chunk;
    chunk.request.work = [](store::Request& r) {
        auto& k = *static_cast<Chunk*>(r.owner);
        return static_cast<Disk&>(*k.command->lu).combine(k, r.offset);
    };
    chunk.request.done = [](store::Request& r) {
        auto& k = *static_cast<Chunk*>(r.owner);
        if (r.error == miscompared) {
            if (k.command->status == Status::good) fail(*k.command, SenseKey::miscompare, 0x1d);
            k.failed = true;
        } else if (r.error) {
            give_up(k, r.error & ~reading, r.error & reading ? store::Op::read : store::Op::write);
        }
        k.done(k);
    };
    c.engine->submit(medium().store, chunk.request);
    return false;
}

}  // namespace iscsi::scsi
