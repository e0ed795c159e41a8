// The port where an iSNS server asks whether we are there: Entity Status Inquiry, RFC 4171 §5.6.5.13; and where state change
// notifications are acknowledged. Whoever connects is nobody we trust: few connections, small messages, a deadline each.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/fd.h"
#include "core/io/loop.h"
#include "core/mgmt/isns.h"

namespace iscsi::mgmt::isns {

class InquiryListener final : private io::Watcher {
public:
    // Listens on a port of the kernel's choice, on all addresses. `asked` is called at each inquiry.
    static Result<std::unique_ptr<InquiryListener>> create(io::Loop& loop, std::function<void()> asked);
    ~InquiryListener();
    uint16_t port() const { return port_; }

private:
    class Peer;
    InquiryListener(io::Loop& loop, std::function<void()> asked);
    void on_ready(uint32_t events) override;
    void drop(Peer& peer);

    io::Loop& loop_;
    std::function<void()> asked_;
    Fd fd_;
    uint16_t port_ = 0;
    std::vector<std::unique_ptr<Peer>> peers_;
};

// The answer to what a server sends by itself; nothing if it is nothing that is answered.
std::optional<Message> answer_to(const Message& request);

}  // namespace iscsi::mgmt::isns
