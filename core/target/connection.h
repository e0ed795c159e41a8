// One TCP connection of an initiator: login, then the full feature phase. Each kind of PDU has a file of its own
// (scsi_command.cpp, data_out.cpp, data_in.cpp, tmf.cpp, text.cpp, nop.cpp, logout.cpp …); what is sent goes through
// connection_send.cpp. Owned by its worker, touched only on its loop.
#pragma once
#include <deque>
#include <memory>
#include <span>
#include <string>

#include "core/io/address.h"
#include "core/io/loop.h"
#include "core/io/zerocopy.h"
#include "core/nego/keys.h"
#include "core/target/login.h"
#include "core/target/session.h"
#include "core/wire/pdu_reader.h"
#include "core/wire/pdu_writer.h"

namespace iscsi::target {

class Connection final : public io::Watcher, public wire::PduSink {
public:
    Connection(Worker& worker, Fd socket);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    bool start();                                   // false: not usable, release it
    // Closes at once; the session is told. Safe to call at any time; `why` is for the log (nullptr: say nothing).
    void close(const char* why);
    uint16_t cid() const { return cid_; }
    const std::string& peer_address() const { return peer_address_; }

    // A task has something to send (Data-In, R2T, status): it is served in turn.
    void queue(Task& task);
    void unqueue(Task& task);
    void forget(Task& task);                        // it is aborted: nothing is sent of it, nothing more received for it
    void schedule_pump() { pump_later_.schedule(); }
    void task_ended() { if (!waiting_.empty()) start_waiting_.schedule(); }
    // Commands that wait for their turn: is there one of this tag, or (lun) of this logical unit; they are aborted.
    bool waits(uint32_t itt, const uint64_t* lun) const;
    void drop_waiting(const uint64_t* lun);
    void resume_reading();
    void async_message(wire::AsyncEvent event, uint16_t parameter1, uint16_t parameter2, uint16_t parameter3);
    void tmf_response(uint32_t itt, wire::TmfResult result);
    // Task events, from transfers and executions that came back.
    void executed(Task& task);
    void transferred(Transfer& transfer);
    // A transfer came back, either way; its task may have been aborted and its connection be gone.
    static void transfer_done(scsi::Chunk& chunk);

private:
    enum class Phase : uint8_t { login, full_feature, logged_out, closed };
    struct Control { wire::Bhs header; std::vector<uint8_t> data; bool counts; };     // counts: advances StatSN
    struct HeldCommand { wire::Bhs header; std::vector<uint8_t> ahs, data; uint32_t cmd_sn; };

    // io::Watcher, wire::PduSink
    void on_ready(uint32_t events) override;
    bool on_header(const wire::Bhs& header, Bytes ahs) override;
    bool on_passing(const wire::Bhs& header, size_t length) override;
    MutableBytes on_landing(const wire::Bhs& header, size_t length, size_t here) override;
    bool on_pdu(const wire::Bhs& header, Bytes ahs, Bytes data) override;
    bool on_data_digest_error(const wire::Bhs& header) override;
    void on_framing_error(const char* why) override;
    void receive();
    void receive_pdus();
    bool heard(ssize_t n);                          // what a receiving call returned; false: nothing came

    // Login (connection_login.cpp)
    bool login_request(const wire::LoginRequest& request, Bytes data);
    void login_send(const Login::Reply& reply);
    bool login_complete();
    bool enter_full_feature();

    // Full feature phase, one file each
    bool dispatch(const wire::Bhs& header, Bytes ahs, Bytes data);
    bool sequenced(const wire::Bhs& header, Bytes ahs, Bytes data);         // CmdSN order
    static bool is_early(const HeldCommand& held);
    bool hold(const wire::DataOut& header, Bytes data);
    void release_held();
    void plug(uint32_t cmd_sn);
    bool perform(const wire::Bhs& header, Bytes ahs, Bytes data);
    bool scsi_command(const wire::ScsiCommand& header, Bytes ahs, Bytes data);
    bool start(const wire::ScsiCommand& header, Bytes ahs, Bytes data);
    void begin_read(Task& task);
    bool begin_parameter_list(Task& task);
    bool begin_data_out(const wire::ScsiCommand& header, Bytes data, Task& task);
    bool data_out(const wire::DataOut& header, Bytes data);
    bool data_out(const wire::DataOut& header, Bytes data, bool in_place, bool passed);
    const char* check_data_out(const wire::DataOut& header, Task*& task, Burst*& burst);
    bool tmf_request(const wire::TmfRequest& header);
    bool is_tmf(uint32_t itt) const;
    void abort_task(const wire::TmfRequest& header, std::function<void()> done);
    std::function<void()> answer_later(uint32_t itt);
    void abort_elsewhere(std::optional<uint64_t> lun, std::function<void()> done);
    bool text_request(const wire::TextRequest& header, Bytes data);
    void text_answer(const wire::TextRequest& header, Bytes data, bool final, bool more);
    bool text_keys(wire::TextKeys keys, std::string& answer);
    bool visible(const Target& target, bool by_account) const;
    bool nop_out(const wire::NopOut& header, Bytes data);
    bool logout_request(const wire::LogoutRequest& header);
    bool reject(wire::RejectReason reason, const wire::Bhs& header);

    // Commands that wait for older ones (task_set.cpp)
    bool must_wait(const wire::ScsiCommand& header, size_t before) const;
    bool put_aside(const wire::ScsiCommand& header, Bytes ahs, Bytes data);
    std::optional<bool> put_aside(const wire::DataOut& header, Bytes data);
    std::vector<HeldCommand> take_waiting(uint32_t itt);
    void start_waiting();

    // Data-Out of a task (data_out.cpp)
    Transfer& cold_transfer(Task& task, uint32_t position, size_t length);
    MutableBytes take_landing(size_t length);
    void close_burst(Task& task, Burst& burst);
    void take_data(Task& task, uint32_t offset, Bytes data);
    void want_more(Task& task);                     // opens R2T bursts as far as allowed, or goes on when all is there
    // Long payloads that stay in the kernel (data_out_splice.cpp)
    bool pass();
    bool deliver(size_t ready);
    bool empty_pipe();
    bool take_passed(Bytes data);
    void stop_passing();
    // Execution and status (scsi_command.cpp), Data-In (data_in.cpp)
    void execute(Task& task);
    void finish_medium(Task& task);
    void respond(Task& task);                       // queues the status
    bool produce(Task& task);                       // sends what it can; false: it has more, in its next turn
    bool produce_medium_read(Task& task);
    bool produce_parameters(Task& task);
    void produce_status(Task& task);
    wire::DataIn data_in_header(Task& task, uint32_t length, bool last);
    uint32_t data_in_limit(const Task& task) const;
    bool finished_read(Task& task);
    bool read_ahead(Task& task);
    bool start_cold_read(Task& task);
    void retire_after(Task& task);
    void count_data_in();
    void residual(const Task& task, uint8_t& flags, uint32_t& count) const;
    void account_start(Task& task);
    void account_done(Task& task);

    // Output
    void control(const wire::Bhs& header, Bytes data, bool counts);
    template <class Header>
    void control(const Header& header, Bytes data = {}, bool counts = true) {
        control(wire::header_cast<wire::Bhs>(header), data, counts);
    }
    template <class Header>
    void stamp(Header& header, bool counts) {       // StatSN, ExpCmdSN, MaxCmdSN
        header.stat_sn = stat_sn_;
        if (counts) stat_sn_++;
        header.exp_cmd_sn = exp_cmd_sn();
        header.max_cmd_sn = max_cmd_sn();
    }
    uint32_t exp_cmd_sn() const;
    uint32_t max_cmd_sn();
    void pump();
    bool flush();                                   // false: closed
    ssize_t send(std::span<iovec> pieces, std::span<const wire::ApartPiece> apart, const std::vector<std::shared_ptr<const void>>& kept);
    bool sends_by_reference(size_t length) { return length >= io::Zerocopy::least && may_refer(length); }
    bool may_refer(size_t length);
    ssize_t send_by_reference(const iovec& piece, const io::Zerocopy::Memory& memory, size_t whole, int flags);
    bool take_notification();
    void watch();                                   // EPOLLIN/EPOLLOUT as needed
    void ping();

    Worker& worker_;
    Fd socket_;
    io::Address local_;
    std::string peer_address_;
    Phase phase_ = Phase::login;
    uint16_t cid_ = 0;
    std::unique_ptr<Login> login_;
    Login::Reply login_reply_;                      // the last one, while an older session goes away
    std::unique_ptr<io::Timer> reinstating_;
    Session* session_ = nullptr;
    std::shared_ptr<ConnectionRecord> record_;
    wire::PduReader reader_;
    wire::Digests digests_, digests_after_login_;   // in force; to be in force once the login response is in the batch
    uint32_t stat_sn_ = 0;
    uint32_t max_xmit_ = 8192;                      // the peer's MaxRecvDataSegmentLength
    wire::Unsent unsent_;
    std::unique_ptr<io::Zerocopy> zerocopy_;        // since the first long payload that could go so
    std::deque<Control> control_;                   // at most the answers to one receive buffer: see watch()
    Task* send_head_ = nullptr;
    Task* send_tail_ = nullptr;
    std::vector<HeldCommand> held_;
    size_t held_bytes_ = 0;
    std::vector<HeldCommand> waiting_;              // oldest first, unsolicited data behind its command; cmd_sn: bytes set aside
    size_t waiting_bytes_ = 0;
    io::Deferred start_waiting_;
    std::string user_;                              // who authenticated; empty: nobody
    std::vector<uint8_t> text_;                     // a text negotiation over several PDUs (C bit)
    std::vector<uint8_t> text_reply_;               // a long answer,
    size_t text_sent_ = 0;                          // and how much of it has gone
    uint32_t text_itt_ = wire::reserved_tag, text_ttt_ = 0;
    std::unique_ptr<nego::Negotiation> text_negotiation_;   // from the first text of a sequence to its F bit (§6.4)
    Buffer landing_;                                // a payload on its way in, of this PDU only
    Task* data_out_task_ = nullptr;                 // whose Data-Out is coming in; nullptr: nobody's, it will be dropped
    uint32_t bulk_bursts_ = 0;                      // long R2T bursts that are open: large payloads are about to come
    bool landed_in_place_ = false;                  // … or it goes straight to the medium's memory,
    std::shared_ptr<scsi::LogicalUnit> landing_lu_; // which this keeps
    bool passing_ = false;                          // … or it is taken off the socket by pass(),
    std::unique_ptr<Pipe> pipe_;                    // through this, unless it had to be given up;
    uint32_t passing_at_ = 0;                       // the next byte's place in the task's data,
    size_t in_pipe_ = 0;                            // behind those that are in the pipe
    // For callbacks that may outlive the connection: points to nullptr once it is closed.
    std::shared_ptr<Connection*> handle_ = std::make_shared<Connection*>(this);
    std::vector<uint32_t> tmfs_;                    // task management functions that wait for tasks to end: their tags
    uint32_t watched_ = 0;
    bool reading_paused_ = false;
    bool close_when_sent_ = false;
    bool pumping_ = false;
    io::Deferred pump_later_;
    io::Timer timer_;                               // login time-out, then pings
    int unanswered_pings_ = 0;
    uint64_t last_heard_ms_ = 0;
    uint32_t pings_ = 0;
};

}  // namespace iscsi::target
