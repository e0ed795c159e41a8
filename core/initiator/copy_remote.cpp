#include <algorithm>

#include "core/initiator/advice.h"
#include "core/initiator/copy_side.h"

namespace iscsi::initiator {
namespace {

constexpr uint64_t max_same_piece = 32 << 20;           // bytes of one WRITE SAME: a target works on it in one go
constexpr uint64_t max_zero_write = 1 << 20;
constexpr uint32_t lba_status_answer = 8 + 16 * 256;
constexpr unsigned max_attempts = 50;
constexpr uint64_t retry_ms = 100;

class RemoteSide final : public CopySide {
public:
    RemoteSide(std::unique_ptr<Client> client, const Url& url, const DiskInfo& disk)
        : client_(std::move(client)), retry_(client_->loop(), [this] { retry_all(); }), name_(url.text()), lun_(lun_field(*url.lun)),
          disk_(disk), has_extents_(disk.thin),
          zero_way_(disk.write_same_unmap || disk.unmap ? Zero::same_unmap : Zero::same), zeros_(max_zero_write) {}

    uint64_t size() const override { return disk_.bytes(); }
    uint32_t block() const override { return disk_.block_size; }
    uint64_t max_transfer() const override { return uint64_t(disk_.max_transfer) * disk_.block_size; }
    std::string name() const override { return name_; }
    std::string identity() const override { return name_ + ":" + std::to_string(disk_.bytes()); }
    bool is_remote() const override { return true; }
    bool sends_blindly() const override { return !client_->session().params().data_digest; }

    void read(CopyOp& op) override {
        begin(op, Kind::read);
        make_read(op.request, op.offset / disk_.block_size, uint32_t(op.length / disk_.block_size));
        op.request.in = {op.data, size_t(op.length)};
        submit(op);
    }

    void write(CopyOp& op) override {
        begin(op, Kind::write);
        make_write(op.request, op.offset / disk_.block_size, uint32_t(op.length / disk_.block_size));
        op.request.out = {op.data, size_t(op.length)};
        submit(op);
    }

    void zero(CopyOp& op) override {
        op.progress = 0;
        zero_piece(op);
    }

    void flush(CopyOp& op) override {
        begin(op, Kind::flush);
        make_synchronize_cache(op.request);
        submit(op);
    }

    void extent(CopyOp& op) override {
        op.mapped = true;
        if (!has_extents_ || known(op)) return op.done(op);
        answer_.resize(lba_status_answer);
        begin(op, Kind::extent);
        make_get_lba_status(op.request, op.offset / disk_.block_size, lba_status_answer);
        op.request.in = answer_;
        submit(op);
    }

private:
    enum class Zero : uint8_t { same_unmap, same, write };
    enum class Kind : uint8_t { read, write, zero, flush, extent };

    // From what GET LBA STATUS told before.
    bool known(CopyOp& op) {
        const uint64_t lba = op.offset / disk_.block_size, want = op.length / disk_.block_size;
        for (const LbaExtent& e : extents_) {
            if (lba < e.lba || lba - e.lba >= e.blocks) continue;
            op.mapped = e.mapped || !disk_.zeros;       // without LBPRZ an unmapped block may read as anything
            op.length = std::min(want, e.blocks - (lba - e.lba)) * disk_.block_size;
            return true;
        }
        return false;
    }

    // WRITE SAME of zeros; with the UNMAP bit the target gives the space back and still guarantees zeros (SBC-3 5.49),
    // which the UNMAP command does not. What a target refuses is not tried again.
    void zero_piece(CopyOp& op) {
        begin(op, Kind::zero);
        const uint64_t left = op.length - op.progress, lba = (op.offset + op.progress) / disk_.block_size;
        if (zero_way_ == Zero::write) {
            op.piece = std::min(left, max_zero_write);
            if (max_transfer()) op.piece = std::min(op.piece, max_transfer());
            make_write(op.request, lba, uint32_t(op.piece / disk_.block_size));
            op.request.out = Bytes(zeros_).first(op.piece);
        } else {
            op.piece = std::min(left, max_same_piece);
            if (disk_.max_write_same && disk_.max_write_same < op.piece / disk_.block_size)
                op.piece = disk_.max_write_same * disk_.block_size;
            make_write_same(op.request, lba, uint32_t(op.piece / disk_.block_size), zero_way_ == Zero::same_unmap);
            op.request.out = Bytes(zeros_).first(disk_.block_size);
        }
        submit(op);
    }

    void begin(CopyOp& op, Kind kind) {
        op.request = ScsiRequest();
        op.request.lun = lun_;
        op.request.owner = &op;
        op.request.done = [](ScsiRequest& r) {
            CopyOp& o = *static_cast<CopyOp*>(r.owner);
            static_cast<RemoteSide*>(o.side)->answered(o);
        };
        op.kind = uint8_t(kind);
        op.attempts = 0;
        op.side = this;
    }
    void submit(CopyOp& op) { client_->session().submit(op.request); }

    void answered(CopyOp& op) {
        ScsiRequest& r = op.request;
        const Kind kind = Kind(op.kind);
        if (r.good()) return succeeded(op, kind);
        if (worth_retry(r) && op.attempts++ < max_attempts) {
            if (sense_code(r).key == 6) return submit(op);
            waiting_.push_back(&op);
            if (!retry_.armed()) retry_.arm(retry_ms);
            return;
        }
        const bool refused = sense_code(r).key == 5;            // illegal request: the target does not know this
        if (kind == Kind::zero && refused && r.cdb[0] == 0x93) {
            const Zero tried = r.cdb[1] & 0x08 ? Zero::same_unmap : Zero::same;
            if (zero_way_ == tried) zero_way_ = Zero(uint8_t(tried) + 1);
            return zero_piece(op);
        }
        if (kind == Kind::flush && refused) return op.done(op);
        if (kind == Kind::extent && r.outcome == ScsiRequest::Outcome::answered) {
            has_extents_ = false;
            return op.done(op);
        }
        static const char* const names[] = {"read", "write", "write zeros", "flush", "GET LBA STATUS"};
        fail(op, std::string(names[op.kind]) + " at byte " + std::to_string(op.offset) + ": " + explain(r, client_->end_text()));
    }

    void succeeded(CopyOp& op, Kind kind) {
        if (kind == Kind::read && op.request.transferred != op.length)
            return fail(op, "read: the target sent less than was asked for and calls it GOOD");
        if (kind == Kind::zero && (op.progress += op.piece) < op.length) return zero_piece(op);
        if (kind == Kind::extent) {
            extents_ = parse_lba_status(Bytes(answer_).first(std::min<size_t>(op.request.transferred, answer_.size())),
                                        op.offset / disk_.block_size);
            if (!known(op)) has_extents_ = false;
        }
        op.done(op);
    }

    void retry_all() {
        std::vector<CopyOp*> again;
        again.swap(waiting_);
        for (CopyOp* op : again) submit(*op);
    }

    void fail(CopyOp& op, const std::string& why) {
        op.failed = true;
        op.error = name_ + ": " + why;
        op.done(op);
    }

    std::unique_ptr<Client> client_;
    io::Timer retry_;
    std::string name_;
    uint64_t lun_;
    DiskInfo disk_;
    bool has_extents_;
    Zero zero_way_;
    std::vector<uint8_t> zeros_, answer_;
    std::vector<LbaExtent> extents_;
    std::vector<CopyOp*> waiting_;
};

}  // namespace

Result<std::unique_ptr<CopySide>> open_remote_side(const Url& url, SessionConfig config, io::Loop& loop, bool write) {
    config.receive_buffer = 32 * 1024;                  // large segments land where they belong
    auto client = Client::connect(config, &loop);
    if (!client) return Error{0, url.text() + ": " + client.error().text(), ""};
    auto disk = disk_info(**client, lun_field(*url.lun));
    if (!disk) return Error{0, url.text() + ": " + disk.error().text(), ""};
    if (write && disk->read_only) return Error{0, url.text() + ":", write_protected};
    return std::unique_ptr<CopySide>(std::make_unique<RemoteSide>(std::move(*client), url, *disk));
}

}  // namespace iscsi::initiator
