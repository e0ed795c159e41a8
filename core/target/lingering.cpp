#include "core/target/lingering.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/target/worker.h"

namespace iscsi::target {

Lingering::Lingering(Worker& worker, Fd socket, std::unique_ptr<io::Zerocopy> zerocopy)
    : worker_(worker), socket_(std::move(socket)), zerocopy_(std::move(zerocopy)), timer_(*worker.loop, [this] { lose_patience(); }) {
    ::shutdown(socket_.get(), SHUT_RDWR);
    // By edges: EPOLLHUP comes soon, and stays. If it cannot be watched the timer looks after it.
    (void)worker_.loop->add(socket_.get(), uint32_t(EPOLLET), *this);
    timer_.arm(worker_.options.linger_ms);
}

Lingering::~Lingering() { worker_.loop->remove(socket_.get(), *this); }

void Lingering::on_ready(uint32_t) {
    const size_t before = zerocopy_->held_bytes();
    while (zerocopy_->take_notification(socket_.get())) {}
    worker_.remove_held(before - zerocopy_->held_bytes());
    if (done()) worker_.release(*this);
}

void Lingering::lose_patience() {
    sockaddr nowhere{};
    nowhere.sa_family = AF_UNSPEC;
    ::connect(socket_.get(), &nowhere, sizeof nowhere);
    timer_.arm(worker_.options.linger_ms);
    on_ready(0);
}

}  // namespace iscsi::target
